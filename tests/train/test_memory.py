"""What a step takes: weights by their numbers, activations as autograd keeps them, and the article's claims."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig

from chunfen.models.shapes import build, config_of
from chunfen.settings.tuner import TUNER_TYPES, TunerSettings
from chunfen.train import memory
from chunfen.train.memory import BITS, MemoryPlan, memory_plan
from chunfen.train.planning import UNPLANNED
from chunfen.tuners import TUNERS

TINY = LlamaConfig(
    vocab_size=500,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    tie_word_embeddings=True,
)
SETTINGS = {
    "galore": {"galore_rank": 8},
    "lisa": {"lisa_activated_layers": 1},
    "oft": {"oft_block_size": 8},
    "llamapro": {"llamapro_num_new_blocks": 2},
}
GPU = {"device": "cuda", "compute": torch.bfloat16}


def planned(config=TINY, tuner="full", dtype=torch.float32, rows=1, length=32, attn="eager", **more) -> MemoryPlan:
    asked = {name: more.pop(name) for name in list(more) if name in TunerSettings.model_fields}
    settings = TunerSettings(tuner_type=tuner, **SETTINGS.get(tuner, {}) | asked)
    with torch.device("meta"):
        model = TUNERS[tuner](build(config, dtype, attn_impl=attn), settings).model
    bits = settings.quant_bits
    return memory_plan(model, rows=rows, length=length, tuner=settings, quant_bits=bits, **more)


def count(config=TINY) -> int:
    with torch.device("meta"):
        return sum(weight.numel() for weight in build(config, torch.float32).parameters())


def test_the_parts_of_full_tuning_by_their_numbers():
    plan = planned()
    numbers = count()
    assert (plan.count, plan.trainable) == (numbers, numbers)
    assert plan.gradients == 4 * numbers and plan.optimizer == 8 * numbers
    assert plan.weights == pytest.approx(4 * numbers, abs=200)  # and what rotary positions keep
    parts = (plan.weights, plan.gradients, plan.optimizer, plan.activations, plan.logits, plan.overhead)
    assert plan.total == sum(parts) and min(parts) > 0


def test_of_an_adapter_only_the_trained_part_has_gradients():
    plan = planned(tuner="lora", lora_rank=4, target_modules=("q_proj",), dtype=torch.bfloat16)
    adapter = 4 * 4 * (64 + 64)  # A and B of rank 4, in 4 layers
    assert plan.trainable == adapter and plan.gradients == 4 * adapter and plan.optimizer == 8 * adapter
    assert plan.weights == pytest.approx(2 * count() + 4 * adapter, abs=200)


def test_quantized_weights_are_those_of_the_layers():
    whole = planned(tuner="lora", lora_rank=4, target_modules=("q_proj",), dtype=torch.bfloat16)
    few = planned(tuner="lora", lora_rank=4, target_modules=("q_proj",), dtype=torch.bfloat16, quant_bits=4)
    linear = 4 * (64 * 64 * 2 + 2 * 64 * 32 + 3 * 64 * 128)
    assert whole.weights - few.weights == pytest.approx(linear * (2 - BITS[4] / 8), abs=2)
    assert (few.trainable, few.gradients) == (whole.trainable, whole.gradients)


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
@pytest.mark.parametrize("tuner", ["full", "lora"])
@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16])
def test_activations_are_what_autograd_really_keeps(tuner, compute, attn):
    """The same step with real numbers, and a look at each tensor that is saved for the backward pass."""
    settings = (
        TunerSettings(tuner_type=tuner, target_modules=("all-linear",))
        if tuner == "lora"
        else TunerSettings(tuner_type=tuner)
    )
    model = TUNERS[tuner](build(TINY, torch.float32, attn_impl=attn), settings).model.train()
    for module in model.modules():
        if hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False
    own = {weight.untyped_storage().data_ptr() for weight in (*model.parameters(), *model.buffers())}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids, mask = torch.randint(0, 500, (2, 48)), torch.ones(2, 48, dtype=torch.long)
    mask[1, -1] = 0  # without any mask SDPA has a shorter way; packed rows always have one
    keeping = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with keeping, torch.autocast("cpu", compute, enabled=compute != torch.float32):
        loss = model(input_ids=ids, attention_mask=mask, labels=ids, use_cache=False).loss
    saved = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    assert loss.requires_grad
    more = {"target_modules": ("all-linear",)} if tuner == "lora" else {}
    plan = planned(tuner=tuner, rows=2, length=48, attn=attn, compute=compute, **more)
    assert plan.activations + plan.logits == pytest.approx(saved, rel=0.02)


def test_what_activations_grow_with():
    one, two = planned(rows=1).activations, planned(rows=2).activations
    assert two == pytest.approx(2 * one, rel=0.05)
    long, flash = planned(length=512).activations, planned(length=512, attn="sdpa").activations
    scores = 4 * 4 * 512 * 512 * 4  # of 4 heads in 4 layers
    assert long - flash == pytest.approx(scores, rel=0.35)
    assert planned(length=512, checkpointing=True).activations < 0.1 * long


@pytest.mark.parametrize("tuner", ["full", "lora", "reft", "freeze", "lisa"])
@pytest.mark.parametrize("length", [8, 300])
def test_of_many_layers_a_few_tell(tuner, length, monkeypatch):
    deep = of_layers(12)
    few = planned(deep, tuner, length=length)
    monkeypatch.setattr(memory, "FEW", 100)
    assert planned(deep, tuner, length=length) == few


def test_logits_are_computed_where_they_are_read():
    whole, few = planned(length=256), planned(length=256, reads=16)
    assert few.logits < whole.logits / 10
    assert few.activations == pytest.approx(whole.activations, rel=0.05)


def test_other_optimizers_hold_less():
    held = {name: planned(optim=name).optimizer for name in ("adamw_torch", "paged_adamw_8bit", "adafactor", "sgd")}
    assert held["adamw_torch"] == 4 * held["paged_adamw_8bit"] and held["sgd"] == 0
    assert 0 < held["adafactor"] < held["adamw_torch"] / 20


def test_lisa_and_galore_hold_less_than_full_tuning():
    full, lisa, galore = planned(), planned(tuner="lisa"), planned(tuner="galore")
    layer = (count() - count(of_layers(0))) // 4
    assert lisa.weights == full.weights and full.gradients - lisa.gradients == 4 * 3 * layer
    assert lisa.optimizer == 2 * lisa.gradients
    assert galore.gradients == full.gradients and galore.optimizer < full.optimizer


def of_layers(layers: int) -> LlamaConfig:
    return LlamaConfig(**{**TINY.to_dict(), "num_hidden_layers": layers, "layer_types": None})


@pytest.mark.parametrize("tuner", [name for name in TUNER_TYPES if name not in UNPLANNED])
def test_every_tuner_is_planned(tuner):
    plan = planned(tuner=tuner, reads=8)
    real = TUNERS[tuner](build(TINY, torch.float32), TunerSettings(tuner_type=tuner, **SETTINGS.get(tuner, {}))).model
    learning = sum(weight.numel() for weight in real.parameters() if weight.requires_grad)
    assert plan.trainable == learning or (tuner == "lisa" and plan.trainable < learning)
    assert plan.gradients == 4 * plan.trainable


@pytest.mark.parametrize("tuner", UNPLANNED)
def test_those_that_are_not_cannot_be(tuner):
    with pytest.raises(Exception, match=r"[Mm]eta tensors"):
        planned(tuner=tuner)


@pytest.mark.slow
def test_lora_on_7b_takes_less_than_a_third_of_full_tuning():
    """Of the same rows, on a GPU in bfloat16; full tuning keeps float32 weights."""
    step = {"rows": 1, "length": 1024, "reads": 512, "attn": "sdpa", **GPU}
    config = config_of("qwen-7b")
    named = ("q_proj", "v_proj", "k_proj", "o_proj")
    lora = planned(config, "lora", torch.bfloat16, lora_rank=64, lora_dropout=0.1, target_modules=named, **step)
    full = planned(config, "full", torch.float32, **step)
    assert lora.total < 0.3 * full.total
    assert lora.total < 24 * 2**30 < 120 * 2**30 < full.total


@pytest.mark.slow
def test_qlora_on_65b_takes_two_cards_of_24_gib_or_one_of_48():
    """Its weights alone have 32 GiB in 4 bits. In 24 GiB there is room for 30B."""
    step = {
        "rows": 1,
        "length": 512,
        "reads": 256,
        "attn": "sdpa",
        "optim": "paged_adamw_8bit",
        "checkpointing": True,
        **GPU,
    }
    tuner = {"quant_bits": 4, "lora_rank": 16, "target_modules": ("q_proj", "v_proj")}
    large = planned(config_of("llama-65b"), "lora", torch.bfloat16, **step, **tuner)
    assert 31 * 2**30 < large.weights < 33 * 2**30 and large.total < 36 * 2**30
    small = planned(config_of("llama-30b"), "lora", torch.bfloat16, **step, **tuner)
    assert small.total < 20 * 2**30


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("tuner", "dtype", "allocator"),
    [("lora", "float32", {}), ("full", "bfloat16", {"MALLOC_MMAP_THRESHOLD_": "131072"})],
)
def test_the_plan_is_what_a_real_training_takes(tuner, dtype, allocator):
    sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
    try:
        from memory import SMALL, TOLERANCE, Case, in_fresh_process
    finally:
        sys.path.pop(0)
    found = in_fresh_process(Case(SMALL, tuner, dtype, 256), allocator)
    plan = found["plan"] - (found["fragments"] if allocator else 0)
    assert plan == pytest.approx(found["measured"], rel=0.05 if allocator else TOLERANCE)
