"""The repair as a stage of training: rows of several objectives in one step."""

from __future__ import annotations

import torch
from torch import Tensor

from chunfen.settings.repair import RepairSettings
from chunfen.train.forward import TextBatch, score
from chunfen.train.losses import even_split
from chunfen.train.reference import TOP, Referred
from chunfen.train.repair.encode import EncodedRow
from chunfen.train.repair.objective import batch_losses, needs_reference
from chunfen.train.stage import Stage, Watched


class RepairStage(Stage):
    """See `objective`; `settings` are its weights."""

    settings: RepairSettings

    def needs_reference(self, example: EncodedRow) -> bool:
        return needs_reference(example.row, self.settings)

    def distributions(self, example: EncodedRow) -> range:
        """keep: at all of them. parity: at the first, if there the two texts part with the same words before them."""
        row = example.row
        if row.objective == "keep":
            return range(len(example.texts[0].reads))
        return range(row.objective == "parity" and row.rejected_prompt is None)

    def target(self, example: EncodedRow, logits: Tensor) -> tuple[Tensor, Tensor]:
        top = min(TOP, logits.shape[-1])
        ids = logits.topk(top, dim=-1).indices
        if example.row.objective == "parity":
            pair = torch.tensor([text.ids[text.reads[0]] for text in example.texts], device=ids.device)
            others = ids[0][~torch.isin(ids[0], pair)]
            ids = torch.cat([pair, others])[None, :top]
        target = logits.softmax(-1).gather(-1, ids)
        if example.row.objective == "parity":
            target = even_split(ids, target, ids[:, 0], ids[:, 1], self.settings.overshoot)
        return ids, target

    def items(self, batch: TextBatch) -> None:
        return None

    def losses(self, logits: Tensor, batch: TextBatch, reference: Referred | None) -> tuple[Tensor, Watched]:
        assert reference is not None
        sums, ids, target = reference
        return batch_losses(batch, score(logits, batch, ids), (sums, target), self.settings)
