"""Adapters on quantized weights (QLoRA), by bitsandbytes on a CPU."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, set_seed

from chunfen.errors import SettingError
from chunfen.models.adapters import MergeError
from chunfen.models.loading import load_model
from chunfen.settings.tuner import TunerSettings
from chunfen.tuners import TUNERS
from chunfen.tuners.base import Tuner
from engines.families import tiny
from tuners.cases import CASES, IDS, LORA, logits, train


@pytest.fixture(scope="module")
def folders(tiny_model_dir, tmp_path_factory) -> dict[str, Path]:
    """Models of 32 channels, so that a block of 64 weights is more than a row of a matrix, with some tokenizer."""
    places = {}
    for family in ("llama", "gpt2"):
        places[family] = tmp_path_factory.mktemp(family)
        tiny(family).save_pretrained(places[family])
        AutoTokenizer.from_pretrained(tiny_model_dir).save_pretrained(places[family])
    return places


@pytest.fixture
def folder(folders) -> Path:
    return folders["llama"]


def quantized(folder: Path, bits: int = 4, **settings) -> Tuner:
    loaded = load_model(str(folder), device="cpu", quant_bits=bits)
    assert loaded.model.is_quantized
    given = TunerSettings(**settings, quant_bits=bits)
    set_seed(5)
    return TUNERS[given.tuner_type](loaded.model, given)


@pytest.mark.parametrize("bits", [4, 8])
def test_lora_learns_on_weights_of_few_bits(folder, tmp_path, bits):
    plain = load_model(str(folder), device="cpu", quant_bits=bits)
    tuner = quantized(folder, bits, **LORA)
    assert torch.equal(logits(tuner.model), logits(plain.model))
    train(tuner, tmp_path / "run")
    with tuner.reference():
        assert torch.equal(logits(tuner.model), logits(plain.model)), "the quantized weights stay"
    tuner.save(tmp_path / "adapter")
    again = load_model(str(folder), device="cpu", quant_bits=bits, adapters=[tmp_path / "adapter"])
    assert torch.equal(logits(again.model), logits(tuner.model))
    assert not torch.allclose(logits(again.model), logits(plain.model), rtol=1e-3)
    with pytest.raises(MergeError, match=r"quant_bits: .* Load the model without quant_bits"):
        again_tuner = quantized(folder, bits, **LORA)
        again_tuner.merge()
    assert load_model(str(folder), device="cpu").fingerprint != plain.fingerprint


def test_an_interrupted_qlora_ends_with_the_same_weights(folder, tmp_path):
    whole, again = quantized(folder, **LORA), quantized(folder, **LORA)
    train(whole, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole" / "checkpoint-2", tmp_path / "again" / "checkpoint-2")
    train(again, tmp_path / "again", resume=tmp_path / "again" / "checkpoint-2")
    assert torch.equal(logits(again.model), logits(whole.model))


@pytest.mark.parametrize("case", ["dora", "adalora", "vera", "ia3", "oft"])
def test_other_adapters_learn_on_them_too(folder, tmp_path, case):
    tuner = quantized(folder, **CASES[case].settings)
    before = logits(tuner.model)
    train(tuner, tmp_path)
    assert not torch.allclose(logits(tuner.model), before, rtol=1e-3)
    with tuner.reference():
        plain = load_model(str(folder), device="cpu", quant_bits=4).model
        assert torch.equal(logits(tuner.model), logits(plain))


def test_a_pass_without_gradients_leaves_weights_that_can_be_trained_on(folder):
    """As every reference is computed before training. bitsandbytes would repack the weights on this occasion."""
    gradients = []
    for asked_before in (False, True):
        tuner = quantized(folder, **LORA)
        if asked_before:
            logits(tuner.model)
        tuner.model.train()(input_ids=IDS, labels=IDS).loss.backward()
        gradients.append([p.grad for p in tuner.model.parameters() if p.requires_grad])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_loftq_begins_with_what_quantization_lost(folders, family, tmp_path):
    folder = folders[family]
    exact, plain = logits(load_model(str(folder), device="cpu").model), quantized(folder, **LORA)
    tuner = quantized(folder, **{**LORA, "lora_rank": 16, "lora_alpha": 16, "init_weights": "loftq"})
    error, before = ((logits(t.model) - exact).pow(2).mean() for t in (tuner, plain))
    assert error < 0.7 * before
    train(tuner, tmp_path / "run")
    tuner.save(tmp_path / "adapter")
    again = load_model(str(folder), device="cpu", quant_bits=4, adapters=[tmp_path / "adapter"])
    assert torch.equal(logits(again.model), logits(tuner.model))


def test_wrong_bits_are_named(folder):
    with pytest.raises(SettingError, match="quant_bits 3"):
        load_model(str(folder), device="cpu", quant_bits=3)


@pytest.mark.slow
def test_qlora_of_the_default_model(tmp_path):
    """Its loss falls, on weights that take a quarter of the memory."""
    loaded = load_model(device="cpu", quant_bits=4)
    whole = load_model(device="cpu").model.get_memory_footprint()
    assert loaded.model.get_memory_footprint() < 0.6 * whole, "the embeddings, a fifth of it, stay as they are"
    tuner = TUNERS["lora"](loaded.model, TunerSettings(quant_bits=4, lora_dropout=0, target_modules=("all-linear",)))
    ids = torch.tensor([loaded.tokenizer("The capital of Austria is Vienna.")["input_ids"]])
    optimizer = torch.optim.AdamW([p for p in tuner.model.parameters() if p.requires_grad], lr=1e-3)
    losses = []
    for _ in range(4):
        loss = tuner.model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
    assert losses[-1] < losses[0] - 0.5
    tuner.save(tmp_path)
    again = load_model(device="cpu", quant_bits=4, adapters=[tmp_path]).model
    with torch.no_grad():
        assert torch.equal(again(input_ids=ids).logits, tuner.model.eval()(input_ids=ids).logits)
