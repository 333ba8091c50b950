"""One training, whatever the stage: steps, checkpoints, a clean stop, and going on where an earlier call ended."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainingArguments

from chunfen.errors import ChunfenError
from chunfen.settings.train import OptimizerSettings
from chunfen.train.trainer import Watch, last_checkpoint

OUT_OF_MEMORY = (
    "there is not enough memory for a step. In this order: --gradient_checkpointing true, a smaller "
    "--per_device_train_batch_size, a smaller --max_length, --torch_dtype bfloat16, --quant_method bnb --quant_bits 4, "
    "a smaller model. --dry_run shows what a training needs."
)


def fit(trainer: Trainer, work: Path, *, begin: Path | None = None) -> None:
    """Train to the end, from the newest finished checkpoint in `work`, or else from the checkpoint `begin`.

    Raises ChunfenError where memory does not suffice. A first Ctrl-C or SIGTERM lets the step end, saves a checkpoint
    and raises what the signal raises otherwise; a second one does not wait.
    """
    trainer.remove_callback(PrinterCallback)  # the numbers go to the run's metrics.jsonl
    checkpoint = last_checkpoint(work) or begin
    trainer.args.resume_from_checkpoint = str(checkpoint) if checkpoint else None  # callbacks look there, too
    with _waiting_signals() as stop:
        watch = next(c for c in trainer.callback_handler.callbacks if isinstance(c, Watch))
        watch.stopping = lambda: bool(stop)
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise ChunfenError(f"step {trainer.state.global_step + 1}: {OUT_OF_MEMORY}") from error
        except RuntimeError as error:
            if "DefaultCPUAllocator" not in str(error):
                raise
            raise ChunfenError(f"step {trainer.state.global_step + 1}: {OUT_OF_MEMORY}") from error


@contextmanager
def _waiting_signals() -> Iterator[list[int]]:
    """Within this the first SIGINT or SIGTERM is only noted; it is delivered at the end."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        restore()

    for number in signals:
        if before[number] not in (signal.SIG_IGN, None):
            signal.signal(number, note)
    try:
        yield noted
    finally:
        restore()
    if noted:
        os.kill(os.getpid(), noted[0])


def arguments(
    work: Path,
    settings: OptimizerSettings,
    *,
    seed: int,
    max_steps: int,
    kind: type[TrainingArguments] = TrainingArguments,
    **more: Any,
) -> TrainingArguments:
    """transformers' own arguments for batches that are made already: one element of the data set is one of them.

    kind: the class of them. more: what else is set, or set otherwise.
    """
    given: dict[str, Any] = {
        "output_dir": str(work),
        "max_steps": max_steps,
        "per_device_train_batch_size": 1,
        "train_sampling_strategy": "sequential",
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.lr_scheduler_type,
        "warmup_steps": round(settings.warmup_ratio * max_steps),
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "save_steps": settings.save_steps,
        "save_total_limit": settings.save_total_limit,
        "logging_steps": settings.logging_steps,
        "seed": seed,
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
    }
    return kind(**given | more)


def describe(numbers: Mapping[str, float]) -> str:
    """What a line of metrics says, for the user; nothing of lines that are not for him.

    >>> describe({"loss": 2.25, "tokens_per_second": 310.0})
    'loss 2.25, 310 tokens a second'
    """
    if "eval_loss" in numbers:
        return f"loss of the validation rows {numbers['eval_loss']:.4g}"
    if "tokens_per_second" not in numbers:
        return ""
    return f"loss {numbers['loss']:.4g}, {numbers['tokens_per_second']:.0f} tokens a second"


def telling(
    metric: Callable[..., None],
    say: Callable[[str], None],
    steps: int,
    describe: Callable[[Mapping[str, float]], str] = describe,
) -> Callable[..., None]:
    """`metric` that also tells the user, twenty times in a training and at each evaluation, how it goes.

    >>> tell = telling(lambda **numbers: None, print, 40)
    >>> tell(step=1, loss=2.5, tokens_per_second=300.4); tell(step=2, loss=2.25, tokens_per_second=310.0)
    step 2 of 40: loss 2.25, 310 tokens a second
    """
    each, told = max(1, steps // 20), 0

    def tell(step: int, **numbers: float) -> None:
        nonlocal told
        metric(step=step, **numbers)
        said, evaluated = describe(numbers), any(name.startswith("eval_") for name in numbers)
        if said and (evaluated or step // each > told):
            told = told if evaluated else step // each
            say(f"step {step} of {steps}: {said}")

    return tell


def watcher(progress: Callable[[str, int, int], None], metric: Callable[..., None], *, epochs: float = 1.0) -> Watch:
    """The callback that tells a run how far its training is; see `Watch`."""
    return Watch(lambda done, total: progress("training", done, total), metric, epochs)
