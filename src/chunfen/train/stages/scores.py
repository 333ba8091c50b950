"""Learning to judge whole texts: their class, or how good they are. The model has a new head for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from chunfen.data.formats import RowError
from chunfen.data.row import Row
from chunfen.engines.transformers.scoring import inner
from chunfen.errors import DataError
from chunfen.train.encode import Encoder
from chunfen.train.example import Example
from chunfen.train.forward import TextBatch, precision
from chunfen.train.losses.reward import bradley_terry, reward_gains
from chunfen.train.reference import Referred
from chunfen.train.stage import Stage, Watched


class Judging(Stage):
    """What both have in common: texts side by side, padded, and the head at the last token of each."""

    def forward(self, model: Any, batch: TextBatch, *, tree: bool, dtype: Any = None) -> Tensor:
        """The head's numbers for each text [texts, outputs]."""
        texts = [text for row in batch.rows for text in row.texts]
        ids = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(text.ids) for text in texts], batch_first=True, padding_value=inner(model).config.pad_token_id
        )
        lengths = torch.tensor([len(text.ids) for text in texts])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        with precision(model, dtype):
            logits: Tensor = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device)).logits
        return logits.float()


class Classification(Judging):
    """The class of a text or conversation."""

    kinds = ("labelled",)
    streams = False
    head = "classes"

    def prepare(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Find out what the classes are. Validation rows of another class are of no use."""
        self.classes = tuple(sorted({row.label for row in rows}, key=str))
        wanted = self.settings.num_labels
        if len(self.classes) < 2 or wanted not in (None, len(self.classes)):
            named = ", ".join(map(str, self.classes))
            raise DataError(f"num_labels {wanted}: the rows have {len(self.classes)} classes ({named}); two at least.")
        return rows

    def wording(self) -> str:
        return f"{super().wording()} {self.classes}"

    def encode(self, row: Row, encoder: Encoder) -> list[Example]:
        if row.label not in self.classes:
            raise RowError(f"label {row.label!r} is none of {', '.join(map(str, self.classes))}")
        return [Example((encoder.whole(row),), label=float(self.classes.index(row.label)))]

    def losses(self, logits: Tensor, batch: TextBatch, reference: Referred | None) -> tuple[Tensor, Watched]:
        wanted = torch.tensor([int(row.label) for row in batch.rows], device=logits.device)
        right = (logits.detach().argmax(-1) == wanted).float().mean()
        return F.cross_entropy(logits, wanted, reduction="none"), {"accuracy": right}


class RewardModelling(Judging):
    """A score, higher for the chosen conversation of a pair than for the rejected one."""

    kinds = ("preference",)
    head = "score"

    def encode(self, row: Row, encoder: Encoder) -> list[Example]:
        return [Example(encoder.whole_pair(row), margin=row.margin or 0.0)]

    def losses(self, logits: Tensor, batch: TextBatch, reference: Referred | None) -> tuple[Tensor, Watched]:
        scores = logits[:, 0]
        margin = torch.tensor([row.margin for row in batch.rows], device=scores.device)
        center = self.settings.center_rewards_coefficient or 0.0
        watched = reward_gains(scores[0::2], scores[1::2])
        return bradley_terry(scores[0::2], scores[1::2], margin, center), {n: v.mean() for n, v in watched.items()}
