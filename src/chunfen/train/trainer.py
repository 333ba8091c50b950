"""The training loop: transformers' `Trainer`, with our loss step and checkpoints that can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from chunfen.errors import ChunfenError
from chunfen.settings.repair import RepairSettings
from chunfen.train.encode import EncodedRow
from chunfen.train.forward import pack_rows, row_logits, score
from chunfen.train.objective import batch_losses
from chunfen.train.reference import Reference

COMPLETE = "complete"
"""An empty file in a checkpoint, written last: without it a checkpoint is the rest of a killed run."""


class Steps(Dataset):  # type: ignore[type-arg]
    """The schedule as a data set: `parts` elements in a row hold the rows of one optimizer step, dealt out in turn.

    Parts of a step are computed one after the other, which takes a fraction of the memory.
    """

    def __init__(self, plan: Sequence[Sequence[int]], parts: int = 1) -> None:
        self.plan, self.parts = plan, parts

    def __len__(self) -> int:
        return len(self.plan) * self.parts

    def __getitem__(self, number: int) -> Sequence[int]:
        step, part = divmod(number, self.parts)
        return self.plan[step][part :: self.parts]


class PreferenceTrainer(Trainer):
    """`Trainer` over the steps of a schedule with the repair objective.

    rows, reference: all rows and what the reference model says of them. objective: what they pull on, and how hard.
    tree: whether the model can attend to a tree.
    """

    def __init__(
        self,
        *,
        rows: Sequence[EncodedRow],
        reference: Reference,
        objective: RepairSettings,
        tree: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_collator=lambda steps: {"rows": torch.tensor(steps[0])}, **kwargs)
        self.rows, self.reference, self.settings, self.tree = rows, reference, objective, tree
        self.model_accepts_loss_kwargs = False  # so that the losses of a step's parts are averaged
        self.watched: dict[str, float] = {}

    def compute_loss(
        self,
        model: Any,
        inputs: Mapping[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Tensor:
        """Mean loss over the rows of one part of a step."""
        chosen = inputs["rows"].tolist()
        batch = pack_rows([self.rows[k] for k in chosen], tree=self.tree)
        sums, ids, target = self.reference.of(chosen)
        scored = score(row_logits(model, batch, tree=self.tree), batch, ids)
        losses, watched = batch_losses(batch, scored, (sums, target), self.settings)
        self.watched = {name: float(value) for name, value in watched.items()}
        loss = losses.mean()
        if not torch.isfinite(loss):
            raise ChunfenError(
                f"step {self.state.global_step + 1}: the loss is {float(loss)}. "
                "Lower --learning_rate, or train in float32 (--train_dtype float32)."
            )
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log({**logs, **self.watched}, start_time)


class Watch(TrainerCallback):
    """Marks finished checkpoints, and passes on what happens."""

    def __init__(self, progress: Callable[[int, int], None], metric: Callable[..., None]) -> None:
        self.progress, self.metric = progress, metric

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.progress(state.global_step, state.max_steps)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        self.metric(step=state.global_step, **more.get("logs", {}))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        (checkpoint_folder(Path(str(args.output_dir)), state.global_step) / COMPLETE).touch()


def checkpoint_folder(folder: Path, step: int) -> Path:
    return folder / f"checkpoint-{step}"


def last_checkpoint(folder: Path) -> Path | None:
    """The newest finished checkpoint, or None."""
    found = [p.parent for p in folder.glob(f"checkpoint-*/{COMPLETE}")]
    return max(found, key=lambda p: int(p.name.rpartition("-")[2]), default=None)
