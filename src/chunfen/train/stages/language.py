"""Learning text: running text in pre-training, the answers of conversations in fine-tuning."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from chunfen.data.row import Row
from chunfen.train.encode import Encoder
from chunfen.train.example import Example
from chunfen.train.forward import TextBatch, token_logprobs
from chunfen.train.losses.lm import TOKEN_LOSSES
from chunfen.train.reference import Referred
from chunfen.train.stage import Stage, Watched


class Finetuning(Stage):
    """The answers of conversations. A step's loss is the mean over the tokens that are learned in it."""

    kinds: ClassVar[tuple[str, ...]] = ("conversation", "text", "preference")

    def encode(self, row: Row, encoder: Encoder) -> list[Example]:
        return [Example((text,)) for text in encoder.texts(row)]

    def items(self, batch: TextBatch) -> int:
        return len(batch.packed.targets)

    def losses(self, logits: Tensor, batch: TextBatch, reference: Referred | None) -> tuple[Tensor, Watched]:
        found = token_logprobs(logits, batch)
        losses = TOKEN_LOSSES[getattr(self.settings, "loss_type", "nll")](found)
        owner = batch.sequence(found)
        right = (logits.detach().argmax(-1)[batch.pick(logits)] == batch.targets(logits)).float().mean()
        return torch.zeros(batch.texts, device=found.device).index_add(0, owner, losses), {"token_accuracy": right}


class Pretraining(Finetuning):
    """Running text, every token of it."""

    kinds = ("text",)
