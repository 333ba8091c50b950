"""Adapters of random weights, strong enough that each changes what a tiny model says."""

from __future__ import annotations

from pathlib import Path


def random_adapter(model: Path, folder: Path, seed: int, **more: object) -> Path:
    """A LoRA of random weights for the model in a folder, saved as PEFT saves it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    settings = {"r": 4, "lora_alpha": 64, "target_modules": "all-linear", "task_type": "CAUSAL_LM"} | more
    config = LoraConfig(init_lora_weights=False, **settings)
    get_peft_model(AutoModelForCausalLM.from_pretrained(model), config).save_pretrained(folder)
    return folder
