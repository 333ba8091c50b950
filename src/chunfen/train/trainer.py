"""The training loop: transformers' `Trainer` with the loss of a stage, and checkpoints that can be trusted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from chunfen.engines.transformers.scoring import evaluating
from chunfen.errors import ChunfenError
from chunfen.train.forward import TextBatch, pack_rows, row_logits, score
from chunfen.train.reference import Reference, Referred, sums_of
from chunfen.train.stage import Stage

COMPLETE = "complete"
"""An empty file in a checkpoint, written last: without it a checkpoint is the rest of a killed run."""


class Batches(Dataset):  # type: ignore[type-arg]
    """Examples in the batches and the order in which training sees them, fixed before it begins.

    plan: one list of places in `examples` for each batch.
    """

    def __init__(self, examples: Sequence[Any], plan: Sequence[Sequence[int]]) -> None:
        self.examples, self.plan = examples, plan

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, number: int) -> list[Any]:
        return [self.examples[k] for k in self.plan[number]]


class StageTrainer(Trainer):
    """`Trainer` over batches of examples with the loss of a stage.

    reference: what the reference model says of every example; if the stage asks for it and there is none, it is
    computed batch by batch within `as_reference`, which makes the model its own reference. penalty: what the tuner adds
    to the loss of a step. tree: whether the model can attend to a tree. dtype: number format of the products of
    matrices; None: that of the weights.
    """

    def __init__(
        self,
        *,
        stage: Stage,
        reference: Reference | None = None,
        as_reference: Callable[[], AbstractContextManager[Any] | None] = lambda: None,
        penalty: Callable[[], Tensor | None] = lambda: None,
        tree: bool = True,
        dtype: torch.dtype | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_collator=self.collate, **kwargs)
        self.stage, self.reference, self.as_reference = stage, reference, as_reference
        self.penalty, self.tree, self.dtype = penalty, tree, dtype
        self.model_accepts_loss_kwargs = True  # so that a step's loss is the mean over all that is in it
        self._watched: list[dict[str, float]] = []
        self._tokens, self._since = 0, time.perf_counter()

    def collate(self, batches: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """One batch, and as many labels as its loss has items: by them `Trainer` counts the items of a step."""
        batch = pack_rows(batches[0], tree=self.tree, distributions=self.stage.distributions)
        items = self.stage.items(batch)
        if items is None:
            return {"batch": batch}
        labels = torch.zeros(1, items, dtype=torch.long)
        return {"labels": labels, "shift_labels": labels, "batch": batch}

    def compute_loss(
        self,
        model: Any,
        inputs: Mapping[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """The loss of one batch: its share of the mean over the items of the step."""
        batch: TextBatch = inputs["batch"]
        losses, watched = self._losses(model, batch)
        loss = losses.mean() if num_items_in_batch is None else losses.sum() / num_items_in_batch
        if not torch.isfinite(loss):
            raise ChunfenError(
                f"step {self.state.global_step + 1}: the loss is {float(loss.detach())}. Lower --learning_rate, or "
                "train in float32 (--torch_dtype float32; of a repair: --train_dtype float32)."
            )
        self._watched.append({name: float(value.detach()) for name, value in watched.items()})
        self._tokens += int(batch.packed.lengths.sum())
        if (penalty := self.penalty()) is not None:
            loss = loss + penalty / self.args.gradient_accumulation_steps
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # the mean over processes is taken later
        return loss

    def _losses(self, model: Any, batch: TextBatch) -> tuple[Tensor, dict[str, Tensor]]:
        referred = self._referred(model, batch)
        logits = self.stage.forward(model, batch, tree=self.tree, dtype=self.dtype)
        return self.stage.losses(logits, batch, referred)

    def _referred(self, model: Any, batch: TextBatch) -> Referred | None:
        if self.reference is not None:
            return self.reference.of([row.number for row in batch.rows])
        if not any(map(self.stage.needs_reference, batch.rows)):
            return None
        as_reference = self.as_reference()
        assert as_reference is not None
        with torch.no_grad(), as_reference, evaluating(model):
            logits = row_logits(model, batch, tree=self.tree, dtype=self.dtype)
            sums = sums_of(score(logits, batch).sums, batch.first)
        return sums, torch.zeros(0, 1, dtype=torch.long), torch.zeros(0, 1)

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval") -> dict:  # type: ignore[type-arg]
        """The mean loss over all items of the validation rows, and the means of what is watched."""
        batches: Any = self.eval_dataset if eval_dataset is None else eval_dataset
        model: Any = self.model
        total, items, found = 0.0, 0, []
        with torch.no_grad(), evaluating(model):
            for number in range(len(batches)):
                batch = pack_rows(batches[number], tree=self.tree, distributions=self.stage.distributions)
                losses, watched = self._losses(model, batch)
                total, items = total + float(losses.sum()), items + (self.stage.items(batch) or len(losses))
                found.append({name: float(value) for name, value in watched.items()})
        metrics = {"loss": total / items, **_means(found)}
        named = {f"{metric_key_prefix}_{name}": value for name, value in metrics.items()}
        self.log(named)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, named)
        return named

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """What `Trainer` logs, the means of what was watched since the last line, and tokens a second."""
        if "loss" in logs and self._watched:
            now = time.perf_counter()
            logs = {**logs, **_means(self._watched), "tokens_per_second": self._tokens / (now - self._since)}
            self._watched, self._tokens, self._since = [], 0, now
        super().log(logs, start_time)


def _means(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each name over where it is.

    >>> _means([{"a": 1.0}, {"a": 3.0, "b": 5.0}])
    {'a': 2.0, 'b': 5.0}
    """
    names = dict.fromkeys(name for one in found for name in one)
    values = {name: [one[name] for one in found if name in one] for name in names}
    return {name: sum(of) / len(of) for name, of in values.items()}


class Watch(TrainerCallback):
    """Marks finished checkpoints, passes on what happens, and ends training where `stopping` says so.

    epochs: how often all batches together go through the rows; to transformers they are one epoch.
    """

    def __init__(
        self,
        progress: Callable[[int, int], None],
        metric: Callable[..., None],
        epochs: float = 1.0,
    ) -> None:
        self.progress, self.metric, self.epochs = progress, metric, epochs
        self.stopping: Callable[[], bool] = lambda: False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.progress(state.global_step, state.max_steps)
        if self.stopping():
            control.should_save = control.should_training_stop = True

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        logs = dict(more.get("logs", {}))
        if "epoch" in logs:
            logs["epoch"] = round(logs["epoch"] * self.epochs, 4)
        self.metric(step=state.global_step, **logs)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        (checkpoint_folder(Path(str(args.output_dir)), state.global_step) / COMPLETE).touch()


def checkpoint_folder(folder: Path, step: int) -> Path:
    return folder / f"checkpoint-{step}"


def last_checkpoint(folder: Path) -> Path | None:
    """The newest finished checkpoint, or None."""
    found = [path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}")]
    return max(found, key=lambda p: int(p.name.rpartition("-")[2]), default=None)
