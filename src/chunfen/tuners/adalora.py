"""AdaLoRA (Zhang et al. 2023): LoRA as a product P Λ Q whose rank falls where it matters least."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import AdaLoraConfig
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from chunfen.errors import ChunfenError, SettingError
from chunfen.settings.tuner import TunerSettings
from chunfen.tuners.base import QUANTIZED
from chunfen.tuners.peft import PLACED, PeftTuner, transposed

if TYPE_CHECKING:
    from torch import nn

STATE = "adalora.safetensors"
"""In a checkpoint: how much each weight has mattered so far."""
SCORES = ("ipt", "exp_avg_ipt", "exp_avg_unc")
"""PEFT's names of these tables, one tensor a weight."""


class Method(PeftTuner):
    """AdaLoRA by PEFT. The ranks that fell are zeros in the saved adapter, which loads like any other."""

    peft_type = "ADALORA"
    options = frozenset(
        {
            "lora_alpha",
            "lora_dropout",
            "adalora_init_r",
            "adalora_target_r",
            "adalora_tinit",
            "adalora_tfinal",
            "adalora_delta_t",
            "adalora_orth_reg_weight",
        }
        | PLACED
        | QUANTIZED
    )

    def config(self, model: nn.Module) -> AdaLoraConfig:
        settings = self.settings
        if settings.adalora_init_r <= settings.adalora_target_r:
            raise SettingError(
                f"adalora_init_r {settings.adalora_init_r} must be above adalora_target_r {settings.adalora_target_r}: "
                "ranks only fall."
            )
        return AdaLoraConfig(
            init_r=settings.adalora_init_r,
            target_r=settings.adalora_target_r,
            deltaT=settings.adalora_delta_t,
            orth_reg_weight=settings.adalora_orth_reg_weight,
            total_step=2**31,  # until training begins and says how long it is
            lora_alpha=settings.lora_alpha,  # type: ignore[arg-type]  # PEFT divides it; a fraction is meant
            lora_dropout=settings.lora_dropout,
            **self.shared(model),
            **transposed(model),
        )

    def _go_on(self, model: Any) -> Any:
        raise SettingError("adapters: the ranks of an AdaLoRA have fallen for good; merge it, and begin a new one.")

    def callbacks(self) -> list[TrainerCallback]:
        return [Allocation(self.model, self.settings)]

    def penalty(self) -> torch.Tensor:
        """Mean distance of PᵀP and QQᵀ from the identity. PEFT adds it itself where the model is called with labels."""
        factors = [
            p if "lora_A" in name else p.T
            for name, p in self.model.named_parameters()
            if "lora_A" in name or "lora_B" in name
        ]
        distances = [torch.linalg.norm(q @ q.T - torch.eye(len(q), device=q.device)) for q in factors]
        return self.settings.adalora_orth_reg_weight * torch.stack(distances).mean()


class Allocation(TrainerCallback):
    """Lets ranks fall after each step, and keeps what it knows in the checkpoints.

    PEFT would cut what it saves to the present ranks (rank_pattern), but ranks can come back until the last phase:
    so the pattern stays here, and checkpoints are whole.
    """

    def __init__(self, model: Any, settings: TunerSettings) -> None:
        self.lora, self.settings = model.base_model, settings
        self.config = model.active_peft_config
        self.pattern: dict[str, list[bool]] | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """The phases, now that the number of steps is known; and what the interrupted training knew."""
        steps = state.max_steps
        first = steps // 10 if self.settings.adalora_tinit is None else self.settings.adalora_tinit
        last = steps * 3 // 10 if self.settings.adalora_tfinal is None else self.settings.adalora_tfinal
        if first + last + 1 >= steps:
            raise SettingError(f"adalora_tinit {first} and adalora_tfinal {last} leave no steps of {steps} in between.")
        self.config.tinit, self.config.tfinal, self.config.total_step = first, last, steps
        if state.global_step:
            self._load([_folder(args, state), Path(args.resume_from_checkpoint or "")])

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.config.rank_pattern = self.pattern
        self.lora.update_and_allocate(state.global_step + 1)
        self.pattern, self.config.rank_pattern = self.config.rank_pattern, None

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        tensors = {
            f"{score}/{name}": value.contiguous()
            for score in SCORES
            for name, value in getattr(self.lora.rankallocator, score).items()
        }
        tensors |= {f"kept/{name}": torch.tensor(kept) for name, kept in (self.pattern or {}).items()}
        save_file(tensors, _folder(args, state) / STATE)

    def _load(self, checkpoints: Sequence[Path]) -> None:
        """Read what was known at a checkpoint, from the first of these folders that has it."""
        path = next((folder / STATE for folder in checkpoints if (folder / STATE).is_file()), None)
        if path is None:
            raise ChunfenError(f"{checkpoints[0] / STATE} is missing: AdaLoRA cannot go on from that checkpoint.")
        for key, value in load_file(path).items():
            score, _, name = key.partition("/")
            if score in SCORES:
                device = self.lora.get_parameter(f"model.{name}").device
                getattr(self.lora.rankallocator, score)[name] = value.to(device)
            else:
                self.pattern = {**(self.pattern or {}), name: value.tolist()}


def _folder(args: TrainingArguments, state: TrainerState) -> Path:
    """The checkpoint of the present step."""
    return Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
