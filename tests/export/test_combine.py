"""Combined adapters are what the papers say, weight by weight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoHaConfig, PeftModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from chunfen.errors import SettingError
from chunfen.export.check import logits_of
from chunfen.export.merge import merge
from chunfen.settings.merge import MergeCommand
from export.conftest import IDS, adapter_logits, lora, plain_logits

LAYER = "model.layers.1.mlp.down_proj.weight"


@pytest.fixture
def base(make_model) -> Path:
    return make_model("llama")


@pytest.fixture
def pair(base, make_adapter) -> tuple[Path, Path]:
    """Two LoRAs of different rank, scale and layers."""
    return (
        make_adapter(base, lora(r=4, lora_alpha=6), seed=1, name="a"),
        make_adapter(base, lora("down_proj", "q_proj", r=2, lora_alpha=1), seed=2, name="b"),
    )


def combined(base: Path, output: Path, adapters: tuple[Path, ...], method: str, **more: Any) -> Path:
    command = MergeCommand(
        model=str(base), output=output, adapters=tuple(map(str, adapters)), merge_method=method, **more
    )
    return merge(command).folder


def weight(folder: Path, name: str = LAYER) -> Tensor:
    return load_file(folder / "model.safetensors")[name]


def change(base: Path, adapter: Path) -> Tensor:
    """B A · alpha / r of one layer, from the adapter's file."""
    loaded = load_file(adapter / "adapter_model.safetensors")
    a, b = (loaded[f"base_model.model.{LAYER.replace('.weight', f'.lora_{half}.weight')}"] for half in "AB")
    scale = {"a": 6 / 4, "b": 1 / 2}[adapter.name]
    return scale * b @ a


def test_a_sum_has_the_logits_of_both_adapters_on(base, pair, tmp_path):
    both = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), pair[0], adapter_name="one")
    both.load_adapter(pair[1], adapter_name="other")
    both.base_model.set_adapter(["one", "other"])
    wanted = logits_of(both.eval(), IDS)
    out = combined(base, tmp_path / "out", pair, "linear", weights=(1.0, 1.0))
    assert (plain_logits(out) - wanted).abs().max() < 1e-4
    assert (wanted - adapter_logits(base, pair[0])).abs().max() > 0.1


def test_a_weighted_sum_of_changes(base, pair, tmp_path):
    one, other = (change(base, adapter) for adapter in pair)
    mean = combined(base, tmp_path / "mean", pair, "linear")
    assert torch.allclose(weight(mean) - weight(base), 0.5 * one + 0.5 * other, atol=1e-6)
    less = combined(base, tmp_path / "less", pair, "linear", weights=(0.3, -2.0))
    assert torch.allclose(weight(less) - weight(base), 0.3 * one - 2 * other, atol=1e-6)
    alone = combined(base, tmp_path / "alone", pair, "linear", weights=(1.0, 0.0))
    assert (plain_logits(alone) - adapter_logits(base, pair[0])).abs().max() < 1e-4


def test_ties_trims_elects_a_sign_and_averages_what_agrees(base, pair, tmp_path):
    out = combined(base, tmp_path / "out", pair, "ties", density=0.25)
    trimmed = []
    for adapter in pair:
        delta = change(base, adapter)
        limit = delta.abs().flatten().sort(descending=True).values[int(0.25 * delta.numel()) - 1]
        trimmed.append(torch.where(delta.abs() >= limit, delta, 0.0))
    stacked = torch.stack(trimmed)
    sign = torch.where(stacked.sum(0) >= 0, 1.0, -1.0)
    agree = stacked.sign() == sign
    wanted = (stacked * agree).sum(0) / agree.sum(0).clamp_min(1)
    assert torch.allclose(weight(out) - weight(base), wanted, atol=1e-5)
    assert 0.2 < (wanted != 0).float().mean() < 0.6


def test_dare_drops_at_random_by_the_seed_and_scales_up_the_rest(base, pair, tmp_path):
    one, again, other = (
        combined(base, tmp_path / name, pair, "dare_linear", density=0.25, weights=(1.0, 0.0), seed=seed)
        for name, seed in (("one", 1), ("again", 1), ("other", 2))
    )
    assert torch.equal(weight(one), weight(again)) and not torch.equal(weight(one), weight(other))
    delta, found = change(base, pair[0]), weight(one) - weight(base)
    kept = found.abs() > 1e-6
    assert kept.float().mean() == pytest.approx(0.25, abs=0.05)
    assert torch.allclose(found[kept], 4 * delta[kept], atol=1e-5)
    signed = combined(base, tmp_path / "signed", pair, "dare_ties", density=1.0)
    sums = change(base, pair[0]) + change(base, pair[1])
    moved = weight(signed) - weight(base)
    assert (moved.sign() == sums.sign()).float().mean() > 0.99


def test_other_kinds_of_adapters_combine_with_their_own(base, make_adapter, tmp_path):
    one, other = (
        make_adapter(base, LoHaConfig(r=2, target_modules=["down_proj"]), seed=seed, name=name)
        for seed, name in ((1, "a"), (2, "b"))
    )
    alone = combined(base, tmp_path / "alone", (one, other), "linear", weights=(1.0, 0.0))
    assert (plain_logits(alone) - adapter_logits(base, one)).abs().max() < 1e-4
    scaling = make_adapter(base, IA3Config(task_type="CAUSAL_LM"), name="c")
    with pytest.raises(SettingError, match=r"a' \(LOHA\) and .*c' \(IA3\) are of different kinds"):
        combined(base, tmp_path / "out", (one, scaling), "ties")


def test_dora_counts_with_its_magnitudes(base, make_adapter, tmp_path):
    dora = make_adapter(base, lora(use_dora=True), name="a")
    plain = make_adapter(base, lora(r=2), seed=2, name="b")
    alone = combined(base, tmp_path / "alone", (dora, plain), "linear", weights=(1.0, 0.0))
    assert (plain_logits(alone) - adapter_logits(base, dora)).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("more", "why"),
    [({"modules_to_save": ["lm_head"]}, "modules_to_save"), ({"bias": "all"}, "bias 'all'")],
)
def test_what_exists_once_in_a_model_is_not_combined(more, why, base, pair, make_adapter, tmp_path):
    with pytest.raises(SettingError, match=f"c.*has {why}.*sequential"):
        combined(base, tmp_path / "out", (pair[0], make_adapter(base, lora(**more), name="c")), "linear")


def test_tied_embeddings_are_not_combined(make_model, make_adapter, tmp_path):
    tied = make_model("llama-tied")
    pair = tuple(make_adapter(tied, lora("embed_tokens"), seed=seed, name=str(seed)) for seed in (1, 2))
    with pytest.raises(SettingError, match=r"embed_tokens.*share their weights"):
        combined(tied, tmp_path / "out", pair, "linear")
    assert not (tmp_path / "out").exists()
