"""The table in docs/tuners.md is true of the default model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from chunfen.settings.tuner import TUNER_TYPES, TunerSettings
from chunfen.tuners import TUNERS
from chunfen.tuners.layers import decoder_layers
from chunfen.tuners.peft import PLACED

PAGE = (Path(__file__).parents[2] / "docs" / "tuners.md").read_text(encoding="utf-8")
SHARES = {name: float(share) for name, share in re.findall(r"^\| `(\w+)` \| [^|]+ \| ([\d.]+) % ", PAGE, re.MULTILINE)}


def test_every_method_has_its_row():
    assert list(SHARES) == list(TUNER_TYPES)


@pytest.mark.slow
@pytest.mark.parametrize("tuner_type", TUNER_TYPES)
def test_the_share_of_the_default_model_that_is_trained(tuner_type, default_model_dir):
    model = AutoModelForCausalLM.from_pretrained(default_model_dir, dtype=torch.float32)
    whole = sum(p.numel() for p in model.parameters())
    given = {"target_modules": ("all-linear",)} if TUNERS[tuner_type].options >= PLACED else {}
    given |= {"lora_rank": 8} if tuner_type == "lora" else {}
    settings = TunerSettings(tuner_type=tuner_type, **given)
    tuner = TUNERS[tuner_type](model, settings)
    trained = sum(p.numel() for p in tuner.model.parameters() if p.requires_grad)
    if tuner_type == "lisa":
        layers = decoder_layers(tuner.model)
        trained -= (
            sum(p.numel() for p in layers.parameters()) * (len(layers) - settings.lisa_activated_layers) / len(layers)
        )
    assert 100 * trained / whole == pytest.approx(SHARES[tuner_type], abs=0.006)
