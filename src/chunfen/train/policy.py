"""TRL's trainers of policies, GRPO and RLOO, around a model that a tuner has made trainable.

Needs the extra chunfen[rl].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from huggingface_hub import constants
from peft import PeftModel
from torch import Tensor
from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer  # type: ignore[attr-defined]  # lazily there

from chunfen.errors import ChunfenError, SettingError
from chunfen.train.fit import arguments
from chunfen.train.rewards.trl import TrlReward
from chunfen.train.trainer import Watch
from chunfen.tuners.base import Tuner, to_float32

REFERENCE = "ref"
"""What TRL calls the copy of an adapter that it makes for the reference."""


class OwnLoss(Trainer):
    """TRL's loss with what the tuner adds to it (`penalty`), and an error where it is no number; no model cards."""

    penalty: Callable[[], Tensor | None] = staticmethod(lambda: None)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        loss: Any = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if not torch.isfinite(loss):
            raise ChunfenError(
                f"step {self.state.global_step + 1}: the loss is {float(loss.detach())}. Lower --learning_rate, or "
                "train in float32 (--torch_dtype float32)."
            )
        penalty = self.penalty() if model.training else None
        return loss if penalty is None else loss + penalty / self.args.gradient_accumulation_steps

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Checkpoints are not published."""


class Grpo(OwnLoss, GRPOTrainer):
    """GRPO (Shao et al. 2024)."""


class Rloo(OwnLoss, RLOOTrainer):
    """RLOO (Ahmadian et al. 2024)."""


POLICIES: dict[str, tuple[type[Any], type[TrainingArguments]]] = {
    "grpo": (Grpo, GRPOConfig),
    "rloo": (Rloo, RLOOConfig),
}
"""Verb → its trainer and the class of its arguments."""
TERMS = (
    "num_generations",
    "max_completion_length",
    "temperature",
    "top_p",
    "beta",
    "num_iterations",
    "epsilon",
    "loss_type",
)
"""Settings that TRL knows by the same name."""


class Between(Watch):
    """Watch that ends training only where the next answers are drawn: those at hand are not in a checkpoint."""

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        if state.global_step % args.num_iterations == 0:
            super().on_step_end(args, state, control, **more)
        else:
            self.progress(state.global_step, state.max_steps)


def policy_arguments(name: str, work: Path, settings: Any, *, max_steps: int, **more: Any) -> TrainingArguments:
    """The arguments of the trainer of this name."""
    terms = {term: getattr(settings, term) for term in TERMS if hasattr(settings, term)}
    return arguments(
        work,
        settings,
        seed=settings.seed,
        max_steps=max_steps,
        kind=POLICIES[name][1],
        reward_weights=list(settings.reward_weights) or None,
        shuffle_dataset=False,
        gradient_checkpointing=None,  # the older name, which TRL would set
        trust_remote_code=settings.trust_remote_code,
        **terms,
        **more,
    )


def policy_trainer(
    name: str,
    given: Any,
    tuner: Tuner,
    rewards: Sequence[TrlReward],
    *,
    train_dataset: Dataset,
    eval_dataset: Dataset | None,
    tokenizer: Any,
    watch: Watch,
) -> Trainer:
    """The trainer of this name. given: from `policy_arguments`.

    Raises SettingError for a tuner that TRL cannot compute with.
    """
    if not tuner.whole and not isinstance(tuner.model, PeftModel):
        raise SettingError(f"tuner_type {tuner.settings.tuner_type} cannot learn from rewards. Use lora.")
    constants.HF_HUB_DISABLE_TELEMETRY = True  # the variable is read once, perhaps before this package was imported
    with plain_copies(tuner.model):
        trainer: OwnLoss = POLICIES[name][0](
            model=tuner.model,
            args=given,
            reward_funcs=list(rewards),
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=tokenizer,
            optimizers=(tuner.optimizer(given), None),
            callbacks=[*tuner.callbacks(), watch],
        )
    trainer.penalty = tuner.penalty
    to_float32(tuner.model)  # TRL makes adapters beside quantized weights bfloat16
    if not given.beta or tuner.reference() is not None:
        forget_reference(tuner.model)  # TRL then switches the adapter off
    return trainer


@contextmanager
def plain_copies(model: Any) -> Iterator[None]:
    """Within this a second adapter by the config of the first, such as TRL makes, begins plainly.

    It is frozen, as AdaLoRA has room for one that learns; and it takes nothing out of the weights, as PiSSA would do
    once more.
    """
    config = model.active_peft_config if isinstance(model, PeftModel) else None
    held = {key: getattr(config, key) for key in ("inference_mode", "init_lora_weights") if hasattr(config, key)}
    for key in held:
        setattr(config, key, True)
    try:
        yield
    finally:
        for key, value in held.items():
            setattr(config, key, value)


def forget_reference(model: Any) -> None:
    """Take TRL's copy of the adapter away, where there is one."""
    if isinstance(model, PeftModel) and REFERENCE in model.peft_config:
        model.delete_adapter(REFERENCE)
