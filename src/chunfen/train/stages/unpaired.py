"""Learning from single answers that are wanted or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from chunfen.data.row import Row
from chunfen.errors import DataError
from chunfen.train.encode import Encoder
from chunfen.train.example import Example
from chunfen.train.forward import TextBatch, score
from chunfen.train.losses.unpaired import NEEDS_KL, UNPAIRED_LOSSES, desirability, kto_kl, mismatched
from chunfen.train.reference import Referred
from chunfen.train.stage import Stage, Watched


class Kto(Stage):
    """KTO. The second text of an example is another row's answer below its prompt: by it the divergence is estimated.

    The estimate is the mean over the rows that are computed at once: give it some (`per_device_train_batch_size`).
    """

    kinds = ("labelled",)
    streams = False

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.asks = not settings.reference_free

    def prepare(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Each row with another one's answer as its rejected one."""
        if len(rows) < 2:
            raise DataError("kto estimates a divergence from other rows' answers: give two rows or more.")
        if not all(row.answered and isinstance(row.label, bool | int | float) for row in rows):
            raise DataError("kto learns from answers with a label: true for a wanted one, false for an unwanted one.")
        others = mismatched([row.messages[-1] for row in rows])
        return [replace(row, rejected=(*row.prompt, other)) for row, other in zip(rows, others, strict=True)]

    def wording(self) -> str:
        return f"{super().wording()} {self.settings.loss_type}"

    def encode(self, row: Row, encoder: Encoder) -> list[Example]:
        texts = encoder.pair(row)
        return [Example(texts if self._needs_kl else texts[:1], label=float(bool(row.label)))]

    def losses(self, logits: Tensor, batch: TextBatch, reference: Referred | None) -> tuple[Tensor, Watched]:
        sums = score(logits, batch).sums
        before = (torch.zeros(len(batch.rows), 2) if reference is None else reference[0]).to(sums.device)
        first = batch.first.to(sums.device)
        ratio = sums[first] - before[:, 0]
        kl = kto_kl(sums[first + 1], before[:, 1]) if self._needs_kl else torch.zeros((), device=sums.device)
        wanted = torch.tensor([row.label > 0.5 for row in batch.rows], device=sums.device)
        losses = UNPAIRED_LOSSES[self.settings.loss_type](ratio, wanted, self.settings.beta, kl)
        weights = desirability(wanted, self.settings.desirable_weight, self.settings.undesirable_weight)
        gains = self.settings.beta * ratio.detach()
        watched = {"kl": kl}
        if wanted.any():
            watched["rewards/chosen"] = gains[wanted].mean()
        if not wanted.all():
            watched["rewards/rejected"] = gains[~wanted].mean()
        return losses * weights, watched

    @property
    def _needs_kl(self) -> bool:
        return self.settings.loss_type in NEEDS_KL
