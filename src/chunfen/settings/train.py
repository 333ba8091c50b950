"""How training runs: steps, learning rate, checkpoints."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from chunfen.settings.base import Settings


class TrainSettings(Settings):
    """How long and how fast to train, in what precision, and how often to save."""

    max_steps: Annotated[int, Field(ge=1)] = 56
    """Optimizer steps."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    """Highest learning rate of the schedule."""
    lr_scheduler_type: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    """How the learning rate falls after warm-up."""
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps in which the learning rate rises."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW weight decay of the adapter."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients are scaled down to this norm."""
    train_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the frozen weights while training; the adapter itself is always float32. auto: bfloat16 where
    the processor computes it natively, else float32. Measuring is not touched by it."""
    save_steps: Annotated[int, Field(ge=1)] = 20
    """Steps between checkpoints."""
    save_total_limit: Annotated[int, Field(ge=1)] = 2
    """Newest checkpoints to keep."""
    logging_steps: Annotated[int, Field(ge=1)] = 5
    """Steps between lines in metrics.jsonl."""
