"""Where the default adapter sits: on every layer that writes into the residual stream, whatever a family calls it."""

from __future__ import annotations

import pytest

from chunfen.settings.tuner import RepairTunerSettings
from chunfen.tuners import TUNERS
from engines.families import TREE, tiny


@pytest.mark.parametrize("family", TREE)
def test_attention_and_mlp_of_every_layer_write_through_an_adapter(family):
    model = tiny(family)
    layers = model.config.num_hidden_layers
    tuned = TUNERS["lora"](model, RepairTunerSettings()).model
    adapted = [name for name, _ in tuned.named_modules() if name.endswith(".lora_B.default")]
    assert len(adapted) == 2 * layers
    assert all(p.dtype.is_floating_point and "lora_" in n for n, p in tuned.named_parameters() if p.requires_grad)
