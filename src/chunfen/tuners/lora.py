"""LoRA (Hu et al. 2021): a low-rank update beside frozen linear layers, by PEFT."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from chunfen.settings.tuner import TunerSettings

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def attach(model: PreTrainedModel, settings: TunerSettings) -> PeftModel:
    """The model with a fresh adapter, which alone is trainable and float32.

    A fresh adapter changes nothing (B = 0); with it disabled the model is its own reference. Its random half is drawn
    from torch's generator: seed that first.
    """
    from peft import LoraConfig, get_peft_model

    targets = settings.target_modules
    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,  # type: ignore[arg-type]  # PEFT divides it; a fraction is meant
        lora_dropout=settings.lora_dropout,
        target_modules="all-linear" if targets == ("all-linear",) else list(targets),
        task_type="CAUSAL_LM",
    )
    tuned = get_peft_model(model, config)
    for parameter in tuned.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
    return tuned
