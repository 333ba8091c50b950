"""LoRA (Hu et al. 2021): a low-rank update beside frozen linear layers. With its relatives:

rsLoRA (Kalajdzievski 2023), DoRA (Liu et al. 2024), LoRA+ (Hayou et al. 2024), QLoRA (Dettmers et al. 2023), and the
beginnings PiSSA (Meng et al. 2024), OLoRA (Büyükakyüz 2024) and LoftQ (Li et al. 2023).
"""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig
from peft.optimizers import create_loraplus_optimizer

from chunfen.errors import SettingError
from chunfen.settings.tuner import TunerSettings
from chunfen.tuners.base import QUANTIZED
from chunfen.tuners.layers import is_classifier
from chunfen.tuners.loftq import take_up_loss
from chunfen.tuners.peft import PLACED, PeftTuner, transposed

if TYPE_CHECKING:
    from torch import nn
    from transformers import TrainingArguments

MOVED = ("pissa", "pissa_niter_16", "olora")
"""Beginnings that take their update out of the weights: what stays frozen is no longer the model as it was."""


class Method(PeftTuner):
    """LoRA by PEFT. A fresh one changes nothing, and off it is its own reference, but for the `MOVED` beginnings."""

    peft_type = "LORA"
    options = frozenset(
        {"lora_rank", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "lorap_lr_ratio", "init_weights"}
        | PLACED
        | QUANTIZED
    )

    def config(self, model: nn.Module) -> LoraConfig:
        settings = self.settings
        _refuse(settings, model)
        begin: Any = {"default": True, "loftq": True}.get(settings.init_weights, settings.init_weights)
        return LoraConfig(
            r=settings.lora_rank,
            lora_alpha=settings.lora_alpha,  # type: ignore[arg-type]  # PEFT divides it; a fraction is meant
            lora_dropout=settings.lora_dropout,
            use_rslora=settings.use_rslora,
            use_dora=settings.use_dora,
            init_lora_weights=begin,
            **self.shared(model),
            **transposed(model),
        )

    def attach(self, model: Any) -> Any:
        tuned = super().attach(model)
        self._start: TemporaryDirectory[str] | None = None
        if not self.continued and self.settings.init_weights in MOVED:
            self._start = TemporaryDirectory()  # what is trained is told from this when it is saved
            tuned.save_pretrained(self._start.name)
        if not self.continued and self.settings.init_weights == "loftq":
            take_up_loss(tuned)
        return tuned

    def reference(self) -> AbstractContextManager[Any] | None:
        return None if self._start else super().reference()

    def save(self, folder: Path) -> None:
        """A PEFT folder for the model as it was. From a `MOVED` beginning it has twice the rank: end minus start."""
        more = {"path_initial_model_for_weight_conversion": self._start.name} if self._start else {}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".* changes the base weights")  # which the conversion undoes
            self.model.save_pretrained(folder, **more)

    def optimizer(self, arguments: TrainingArguments) -> torch.optim.Optimizer | None:
        """LoRA+: a larger learning rate for B. None without lorap_lr_ratio."""
        from transformers import Trainer

        if self.settings.lorap_lr_ratio is None:
            return None
        kind, more = Trainer.get_optimizer_cls_and_kwargs(arguments)
        return create_loraplus_optimizer(
            self.model,
            kind,
            loraplus_lr_ratio=self.settings.lorap_lr_ratio,
            loraplus_weight_decay=arguments.weight_decay,
            **more,
        )


def _refuse(settings: TunerSettings, model: nn.Module) -> None:
    """Combinations that PEFT would get wrong in silence, or late."""
    start, quantized = settings.init_weights, getattr(model, "is_quantized", False)
    if start == "loftq" and settings.quant_bits != 4:
        raise SettingError(f"init_weights loftq makes up for quant_bits 4, but quant_bits is {settings.quant_bits}.")
    if start not in MOVED:
        return
    if quantized or settings.quant_bits:
        raise SettingError(
            f"init_weights {start} changes the frozen weights, so they cannot be quantized (quant_bits)."
        )
    if settings.use_dora:
        raise SettingError(f"init_weights {start} and use_dora true: each changes what the other starts from.")
    if settings.modules_to_save or is_classifier(model):
        what = "modules_to_save" if settings.modules_to_save else "a new head"
        raise SettingError(f"init_weights {start} and {what}: such an adapter cannot be saved for the model.")
    if start == "olora" and transposed(model)["fan_in_fan_out"]:
        raise SettingError(f"init_weights olora is not made for the layers of {type(model).__name__}; use pissa.")
