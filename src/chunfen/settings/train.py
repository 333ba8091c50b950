"""How training runs: steps, learning rate, batches, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from chunfen.settings.base import Settings

Scheduler = Literal["cosine", "linear", "constant_with_warmup", "constant"]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]

EFFECTIVE_BATCH = 16
"""Rows of an optimizer step, unless gradient_accumulation_steps says otherwise."""


class OptimizerSettings(Settings):
    """The optimizer, its learning rate, and how often training saves and logs."""

    max_steps: Count | None = None
    """Optimizer steps; none: as many as num_train_epochs asks for."""
    learning_rate: Positive | None = None
    """Highest learning rate of the schedule; none: 1e-4 for adapters, 1e-5 where the model's own weights learn."""
    lr_scheduler_type: Scheduler = "cosine"
    """How the learning rate falls after warm-up."""
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the steps in which the learning rate rises."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    """AdamW weight decay of what is trained."""
    max_grad_norm: Positive = 1.0
    """Gradients are scaled down to this norm."""
    save_steps: Count = 500
    """Steps between checkpoints."""
    save_total_limit: Count = 2
    """Newest checkpoints to keep."""
    logging_steps: Count = 5
    """Steps between lines in metrics.jsonl."""


class TrainSettings(OptimizerSettings):
    """How long and how fast to train, in what batches, and how often to evaluate and save."""

    num_train_epochs: Positive = 3.0
    """How often training goes through the rows."""
    per_device_train_batch_size: Count | None = None
    """Rows that are computed at once; with packing: packs of max_length tokens. none: as many of a step's rows as have
    about 1,024 tokens together (8,192 on a GPU); one pack."""
    gradient_accumulation_steps: Count | None = None
    """Batches that make one optimizer step; none: as many as make 16 rows. Where batches go by tokens: its rows."""
    per_device_eval_batch_size: Count | None = None
    """Rows that are computed at once in an evaluation; none: as in training, or 4."""
    eval_strategy: Literal["steps", "epoch", "no"] = "steps"
    """When the validation rows are evaluated, if there are any: every eval_steps, after each epoch, or never."""
    eval_steps: Count | None = None
    """Steps between evaluations; none: as save_steps."""
    optim: str = "adamw_torch"
    """Optimizer, by the name that transformers gives it (adamw_torch, adafactor, sgd, paged_adamw_8bit …)."""
    adam_beta2: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Decay of Adam's second moment."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: much less memory, about a third more time."""
    resume_from_checkpoint: Path | None = None
    """Begin where this checkpoint ends. To go on with an interrupted run, --resume is enough."""
    full_determinism: bool = False
    """Use only deterministic kernels; slower on a GPU, and on a CPU the default already."""
    report_to: tuple[str, ...] = ()
    """Where else metrics are sent: tensorboard, trackio, wandb, swanlab, mlflow (each a package of its own)."""
    deepspeed: str | None = None
    """ZeRO of DeepSpeed: zero0, zero1, zero2, zero2_offload, zero3, zero3_offload, or a file with its configuration."""

    @property
    def accumulation(self) -> int:
        """Batches that make one optimizer step."""
        return self.gradient_accumulation_steps or -(-EFFECTIVE_BATCH // (self.per_device_train_batch_size or 1))

    @property
    def evaluated_at_once(self) -> int:
        """Rows of an evaluation that are computed at once."""
        return self.per_device_eval_batch_size or self.per_device_train_batch_size or 4


class RepairTrainSettings(OptimizerSettings):
    """How long and how fast a repair is trained, in what precision, and how often it saves."""

    max_steps: Count = 56
    """Optimizer steps."""
    learning_rate: Positive = 2e-3
    """Highest learning rate of the schedule."""
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps in which the learning rate rises."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW weight decay of the adapter."""
    save_steps: Count = 20
    """Steps between checkpoints."""
    train_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the frozen weights while training; the adapter itself is always float32. auto: bfloat16 where
    the processor computes it natively, else float32. Measuring is not touched by it."""
