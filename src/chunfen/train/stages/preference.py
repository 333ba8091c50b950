"""Learning from pairs of answers: the better one rather than the worse one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from chunfen.data.formats import RowError
from chunfen.data.row import Row
from chunfen.train.encode import Encoder
from chunfen.train.example import Example
from chunfen.train.forward import TextBatch, score
from chunfen.train.losses.combine import check_losses, combined
from chunfen.train.losses.pair import Options, Pair, rewards, smoothed
from chunfen.train.losses.preference import NEEDS_REFERENCE, USES_LABEL
from chunfen.train.reference import Referred
from chunfen.train.stage import Stage, Watched

PER_TOKEN = frozenset({"simpo", "odds_ratio"})
"""Losses of mean log-probabilities: rewards are logged per token beside them."""


class Dpo(Stage):
    """Direct preference optimisation with any sum of losses in `losses.preference`."""

    kinds = ("preference",)

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.types, self.weights = self.terms()
        self.options = Options(
            **{name: getattr(settings, name) for name in Options.__dataclass_fields__ if hasattr(settings, name)}
        )
        self.smoothing: float = getattr(settings, "label_smoothing", 0.0)
        check_losses(
            self.types,
            self.weights,
            label_smoothing=self.smoothing,
            f_divergence_type=self.options.f_divergence_type,
        )
        self.asks = not getattr(settings, "reference_free", False) and bool(NEEDS_REFERENCE.intersection(self.types))

    def terms(self) -> tuple[Sequence[str], Sequence[float]]:
        """The losses that are added, and the weight of each."""
        types, weights = self.settings.loss_type, self.settings.loss_weights or [1.0] * len(self.settings.loss_type)
        alpha = self.settings.rpo_alpha
        return ((*types, "sft"), (*weights, alpha)) if alpha else (types, weights)

    def encode(self, row: Row, encoder: Encoder) -> list[Example]:
        label = float(row.label) if isinstance(row.label, int | float) else 1.0
        if label != 1.0:
            self._check_label(label)
        return [Example(encoder.pair(row), label=label, margin=row.margin or 0.0)]

    def _check_label(self, label: float) -> None:
        """A soft label must lie where every loss that is asked for can heed it."""
        deaf = [name for name in self.types if name not in USES_LABEL | {"sft"}]
        if deaf:
            raise RowError(f"label {label:g}: {', '.join(deaf)} takes the chosen answer as the better one for certain")
        least = 0.5 if "robust" in self.types else 0.0
        if not least < smoothed(label, self.smoothing) < 1:
            raise RowError(f"label {label:g} has to lie between {least:g} and 1")

    def losses(self, logits: Tensor, batch: TextBatch, reference: Referred | None) -> tuple[Tensor, Watched]:
        pair = self.pair(logits, batch, reference)
        watched = rewards(pair, self.options.beta, per_token=bool(PER_TOKEN.intersection(self.types)))
        return combined(pair, self.types, self.weights, self.options), {n: v.mean() for n, v in watched.items()}

    def pair(self, logits: Tensor, batch: TextBatch, reference: Referred | None) -> Pair:
        """What the losses are functions of. The chosen text of a row stands before the rejected one."""
        sums = score(logits, batch).sums
        lengths = torch.tensor([len(text.reads) for row in batch.rows for text in row.texts], device=sums.device)
        before = torch.zeros(len(batch.rows), 2) if reference is None else reference[0]
        label = torch.tensor([row.label for row in batch.rows], device=sums.device)
        return Pair(
            chosen=sums[0::2],
            rejected=sums[1::2],
            chosen_length=lengths[0::2],
            rejected_length=lengths[1::2],
            ref_chosen=before[:, 0].to(sums.device),
            ref_rejected=before[:, 1].to(sums.device),
            label=smoothed(label, self.smoothing),
        )


class SimPO(Dpo):
    """The lead per token, without a reference."""

    def terms(self) -> tuple[Sequence[str], Sequence[float]]:
        alpha = self.settings.cpo_alpha
        return (("simpo", "sft"), (1.0, alpha)) if alpha else (("simpo",), (1.0,))


class Cpo(Dpo):
    """The margin without a reference, and the likelihood of the chosen answer."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.asks = False

    def terms(self) -> tuple[Sequence[str], Sequence[float]]:
        return (self.settings.loss_type, "sft"), (1.0, self.settings.cpo_alpha)


class Orpo(Dpo):
    """The odds ratio beside the likelihood of the chosen answer."""

    def terms(self) -> tuple[Sequence[str], Sequence[float]]:
        return ("odds_ratio", "sft"), (1.0, 1.0)
