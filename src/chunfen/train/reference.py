"""What the reference model says about every row: computed once, before training begins, and kept beside the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from chunfen.engines.transformers.scoring import LOGITS, evaluating
from chunfen.train.forward import HasTexts, pack_rows, row_logits, score

if TYPE_CHECKING:
    from chunfen.train.stage import Stage

TOP = 64
"""Tokens of a target distribution that are kept; all others share one bucket."""

AT_ONCE = 16
"""Most rows that are computed together."""

Referred = tuple[Tensor, Tensor, Tensor]
"""Of some rows: sums [rows, 2], and ids and target [kept, K]; see `Reference`."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Targets of all rows, in their order.

    sums [rows, 2]: log-probabilities of the chosen and the rejected text (0 where there is none).
    ids, target [kept, K]: the wanted distributions, row after row. begin [rows + 1]: where each row's begin.
    """

    sums: Tensor
    ids: Tensor
    target: Tensor
    begin: Tensor

    def save(self, path: Path) -> None:
        from safetensors.torch import save_file

        part = path.with_name(path.name + ".part")
        save_file({"sums": self.sums, "ids": self.ids, "target": self.target, "begin": self.begin}, part)
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Reference:
        from safetensors.torch import load_file

        return cls(**load_file(path))

    def of(self, rows: Sequence[int]) -> Referred:
        """(sums, ids, target) of some rows, in the order given."""
        parts = [slice(int(self.begin[k]), int(self.begin[k + 1])) for k in rows]
        return (
            self.sums[list(rows)],
            torch.cat([self.ids[part] for part in parts]),
            torch.cat([self.target[part] for part in parts]),
        )


def compute_reference(
    model: Any,
    rows: Sequence[HasTexts],
    stage: Stage,
    *,
    tree: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Reference:
    """One pass without gradients. The model must already be the reference.

    Rows whose loss asks for no reference are not computed: their sums stay 0, and their distributions must be none.
    """
    sums = torch.zeros(len(rows), 2)
    ids: dict[int, Tensor] = {}
    target: dict[int, Tensor] = {}
    # Neighbours in token order share most of their beginnings.
    order = sorted((k for k, row in enumerate(rows) if stage.needs_reference(row)), key=lambda k: rows[k].texts[0].ids)
    with torch.no_grad(), evaluating(model):
        done = 0
        for chosen in _together(order, rows, max(1, LOGITS // model.get_output_embeddings().weight.shape[0])):
            batch = pack_rows([rows[k] for k in chosen], tree=tree, distributions=stage.distributions)
            logits = row_logits(model, batch, tree=tree)
            sums[chosen] = sums_of(score(logits, batch).sums, batch.first).cpu()
            for n, k in enumerate(chosen):
                place = batch.place[batch.owner == n]
                if len(place):
                    ids[k], target[k] = (part.cpu() for part in stage.target(rows[k], logits[place].float()))
            done += len(chosen)
            if progress:
                progress(done, len(order))
    counts = torch.tensor([len(stage.distributions(row)) for row in rows])
    return Reference(
        sums,
        torch.cat([ids[k] for k in sorted(ids)]) if ids else torch.zeros(0, TOP, dtype=torch.long),
        torch.cat([target[k] for k in sorted(target)]) if target else torch.zeros(0, TOP),
        torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)]),
    )


def _together(order: Sequence[int], rows: Sequence[HasTexts], most_reads: int) -> Iterator[list[int]]:
    """Neighbours in an order, so few that their logits can be held at once."""
    chosen: list[int] = []
    reads = 0
    for k in order:
        own = sum(len(text.reads) for text in rows[k].texts)
        if chosen and (len(chosen) == AT_ONCE or reads + own > most_reads):
            yield chosen
            chosen, reads = [], 0
        chosen.append(k)
        reads += own
    if chosen:
        yield chosen


def sums_of(texts: Tensor, first: Tensor) -> Tensor:
    """The values [texts] of each row's one or two texts as [rows, 2]; 0 where there is no second.

    >>> sums_of(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 2]))
    tensor([[1., 2.],
            [3., 0.]])
    """
    ends = torch.cat([first[1:], torch.tensor([len(texts)])])
    two = (ends - first == 2).to(texts.device)
    second = (first + 1).clamp_max(len(texts) - 1)
    return torch.stack([texts[first], torch.where(two, texts[second], 0.0)], dim=1)


def referred(
    path: Path,
    model: Any,
    rows: Sequence[HasTexts],
    stage: Stage,
    *,
    tree: bool,
    progress: Callable[[str, int, int], None],
) -> Reference:
    """The reference that is kept at this path; computed now if it is not there."""
    if not path.exists():
        found = compute_reference(
            model, rows, stage, tree=tree, progress=lambda done, total: progress("reference", done, total)
        )
        found.save(path)
    return Reference.load(path)
