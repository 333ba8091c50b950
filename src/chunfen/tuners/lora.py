"""LoRA (Hu et al. 2021): a low-rank update beside frozen linear layers, by PEFT."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from chunfen.settings.tuner import TunerSettings

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


RESIDUAL = ("o_proj", "out_proj", "down_proj", "c_proj", "dense", "dense_4h_to_h", "fc2", "fc_out", "wo", "w2")
"""What families of decoders call the layers that write into the residual stream."""


def attach(model: PreTrainedModel, settings: TunerSettings) -> PeftModel:
    """The model with a fresh adapter, which alone is trainable and float32.

    A fresh adapter changes nothing (B = 0); with it disabled the model is its own reference. Its random half is drawn
    from torch's generator: seed that first.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,  # type: ignore[arg-type]  # PEFT divides it; a fraction is meant
        lora_dropout=settings.lora_dropout,
        target_modules=_targets(model, settings.target_modules),
        task_type="CAUSAL_LM",
    )
    tuned = get_peft_model(model, config)
    for parameter in tuned.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
    return tuned


def _targets(model: PreTrainedModel, names: tuple[str, ...]) -> str | list[str]:
    """What PEFT is told; a family whose layers have other names gets an adapter in all of them."""
    if names != ("residual",):
        return "all-linear" if names == ("all-linear",) else list(names)
    there = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    return [name for name in RESIDUAL if name in there] or "all-linear"
