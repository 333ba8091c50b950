"""Small models of several architectures with a tokenizer, and adapters whose weights are far from zero."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from chunfen.export.check import logits_of
from engines.families import MODERN, TREE

KINDS = {**TREE, "llama-tied": ("llama", {**MODERN, "tie_word_embeddings": True})}
IDS = [[5, 9, 20, 100, 7, 3, 8, 8], [1, 2, 200, 13, 40, 11]]
MLP = ["gate_proj", "up_proj", "down_proj"]

MakeModel = Callable[..., Path]
MakeAdapter = Callable[..., Path]


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> MakeModel:
    """make_model("qwen2", **settings) → the folder of a random model of that family."""
    made: dict[str, Path] = {}

    def make(kind: str, **more: Any) -> Path:
        key = f"{kind} {sorted(more.items())}"
        if key not in made:
            family, settings = KINDS[kind]
            made[key] = tmp_path_factory.mktemp("base") / kind
            torch.manual_seed(0)
            config = AutoConfig.for_model(family, **{**settings, "eos_token_id": 1, "bos_token_id": 0, **more})
            AutoModelForCausalLM.from_config(config).save_pretrained(made[key])
            AutoTokenizer.from_pretrained(tiny_model_dir).save_pretrained(made[key])
        return made[key]

    return make


@pytest.fixture
def make_adapter(tmp_path: Path) -> MakeAdapter:
    """make_adapter(base, config, seed=1, name="a") → the folder of an adapter of that model, with random weights."""

    def make(base: Path, config: Any, *, seed: int = 1, name: str = "a", size: float = 0.1) -> Path:
        from peft import get_peft_model

        torch.manual_seed(seed)
        tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(base), deepcopy(config))  # PEFT fills it in
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.data += size * torch.randn_like(parameter)
        folder = tmp_path / "adapters" / name
        tuned.save_pretrained(folder)
        return folder

    return make


def lora(*targets: str, r: int = 4, **more: Any) -> Any:
    from peft import LoraConfig

    return LoraConfig(r=r, target_modules=list(targets) or "all-linear", task_type="CAUSAL_LM", **more)


def plain_logits(folder: Path) -> torch.Tensor:
    """Logits of a folder as any program reads it."""
    return logits_of(AutoModelForCausalLM.from_pretrained(folder).eval(), IDS)


def adapter_logits(base: Path, *adapters: Path) -> torch.Tensor:
    """Logits of a model with adapters on: all but the last merged by PEFT, the last one beside the layers."""
    from chunfen.models.loading import load_model

    return logits_of(load_model(str(base), adapters=adapters, torch_dtype="float32").model, IDS)
