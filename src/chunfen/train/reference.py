"""What the reference model says about every row: computed once, with the adapter off, and kept beside the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chunfen.data.rows import PreferenceRow
from chunfen.engines.transformers.scoring import evaluating
from chunfen.train.encode import EncodedRow
from chunfen.train.forward import distributions, pack_rows, row_logits, score
from chunfen.train.losses import even_split

TOP = 64
"""Tokens of a target distribution that are kept; all others share one bucket."""


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

    def of(self, rows: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """(sums, ids, target) of some rows, in the order given."""
        parts = [slice(int(self.begin[k]), int(self.begin[k + 1])) for k in rows]
        return (
            self.sums[list(rows)],
            torch.cat([self.ids[part] for part in parts]),
            torch.cat([self.target[part] for part in parts]),
        )


def compute_reference(
    model: Any,
    rows: Sequence[EncodedRow],
    *,
    tree: bool = True,
    overshoot: float = 0.0,
    needed: Callable[[PreferenceRow], bool] = lambda row: True,
    rows_at_once: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> Reference:
    """One pass without gradients. The model must already be the reference: adapters off.

    overshoot: how far beyond an even split the targets of parity rows lie (see `losses.even_split`). needed: which
    rows to ask about; the sums of the others stay 0, and their distributions must be none.
    """
    sums = torch.zeros(len(rows), 2)
    ids: dict[int, Tensor] = {}
    target: dict[int, Tensor] = {}
    # Neighbours in token order share most of their beginnings.
    order = sorted((k for k, row in enumerate(rows) if needed(row.row)), key=lambda k: rows[k].texts[0].ids)
    with torch.no_grad(), evaluating(model):
        for start in range(0, len(order), rows_at_once):
            chosen = order[start : start + rows_at_once]
            batch = pack_rows([rows[k] for k in chosen], tree=tree)
            logits = row_logits(model, batch, tree=tree)
            found = score(logits, batch).sums.cpu()
            for n, k in enumerate(chosen):
                first, texts = int(batch.first[n]), len(rows[k].texts)
                sums[k, :texts] = found[first : first + texts]
                ids[k], target[k] = _targets(rows[k], logits[batch.place[batch.owner == n]].float(), overshoot)
            if progress:
                progress(min(start + rows_at_once, len(order)), len(order))
    counts = torch.tensor([len(distributions(row)) for row in rows])
    return Reference(
        sums,
        torch.cat([ids[k] for k in sorted(ids)]) if ids else torch.zeros(0, TOP, dtype=torch.long),
        torch.cat([target[k] for k in sorted(target)]) if target else torch.zeros(0, TOP),
        torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)]),
    )


def _targets(row: EncodedRow, logits: Tensor, overshoot: float) -> tuple[Tensor, Tensor]:
    """Token ids and wanted probabilities [positions, TOP] of one row. logits [positions, vocabulary]."""
    top = min(TOP, logits.shape[-1])
    if not len(logits):
        return torch.zeros(0, top, dtype=torch.long), torch.zeros(0, top)
    ids = logits.topk(top, dim=-1).indices
    if row.row.objective == "parity":
        pair = torch.tensor([text.ids[text.start] for text in row.texts], device=ids.device)
        others = ids[0][~torch.isin(ids[0], pair)]
        ids = torch.cat([pair, others])[None, :top]
    target = logits.softmax(-1).gather(-1, ids)
    if row.row.objective == "parity":
        target = even_split(ids, target, ids[:, 0], ids[:, 1], overshoot)
    return ids.cpu(), target.cpu()
