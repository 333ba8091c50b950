"""A mixture of experts: equal experts are the dense model, different ones are found by their router."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from chunfen.data.encode import Tokens
from chunfen.errors import DataError, SettingError
from chunfen.export.check import logits_of
from chunfen.export.moe.build import merge_to_moe
from chunfen.export.moe.router import collate, directions, mean_states, place, train
from chunfen.export.moe.routing import expert_shares, experts_at_work, loss_of, only_expert, routers
from chunfen.settings.merge import MergeCommand
from export.conftest import IDS, MLP, adapter_logits, lora, plain_logits

CLASSES = {
    "llama": "MixtralForCausalLM",
    "llama-tied": "MixtralForCausalLM",
    "mistral-window": "MixtralForCausalLM",
    "qwen2": "Qwen2MoeForCausalLM",
    "qwen2-window": "Qwen2MoeForCausalLM",
    "qwen3": "Qwen3MoeForCausalLM",
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8,
}


def command(base: Path, output: Path, *adapters: Path, **more: Any) -> MergeCommand:
    names = tuple(map(str, adapters))
    return MergeCommand(model=str(base), output=output, adapters=names, to_moe=True, **more)


def mixture(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.mark.parametrize("experts_per_tok", [1, 2, 3])
@pytest.mark.parametrize("kind", CLASSES)
def test_equal_experts_have_the_logits_of_the_dense_model(kind, experts_per_tok, make_model, make_adapter, tmp_path):
    base = make_model(kind)
    same = [make_adapter(base, lora(*MLP), name=name) for name in "abc"]
    made = merge_to_moe(command(base, tmp_path / "out", *same, num_experts_per_tok=experts_per_tok))
    assert made.record["architecture"] == CLASSES[kind] == type(mixture(made.folder)).__name__
    assert (plain_logits(made.folder) - adapter_logits(base, same[0])).abs().max() < 1e-4
    assert (plain_logits(made.folder) - plain_logits(base)).abs().max() > 0.1


def test_scaled_positions_and_biases_are_kept(make_model, make_adapter, tmp_path):
    for kind, more in (("llama", {"rope_parameters": LLAMA3}), ("qwen3", {"attention_bias": True})):
        base = make_model(kind, **more)
        same = [make_adapter(base, lora(*MLP), name=f"{kind}-{name}") for name in "ab"]
        made = merge_to_moe(command(base, tmp_path / kind, *same))
        assert (plain_logits(made.folder) - adapter_logits(base, same[0])).abs().max() < 1e-4


def test_a_mixture_is_a_whole_model_that_generates(make_model, make_adapter, tmp_path):
    base, out = make_model("llama"), tmp_path / "out"
    adapters = [make_adapter(base, lora(*MLP), seed=seed, name=str(seed)) for seed in (1, 2)]
    merge_to_moe(command(base, out, *adapters, torch_dtype="bfloat16"))
    model = mixture(out)
    assert model.dtype == torch.bfloat16
    assert AutoTokenizer.from_pretrained(out).chat_template == AutoTokenizer.from_pretrained(base).chat_template
    new = model.generate(torch.tensor(IDS[:1]), max_new_tokens=5, min_new_tokens=5, do_sample=False)
    assert new.shape == (1, len(IDS[0]) + 5)
    record = json.loads((out / "merge.json").read_text(encoding="utf-8"))
    assert record["num_experts_per_tok"] == 2 and len(record["adapters"]) == 2 and "router" not in record
    assert sorted(p.name for p in tmp_path.iterdir()) == ["adapters", "out"]


def test_each_expert_is_its_adapter_and_attention_is_shared(make_model, make_adapter, tmp_path):
    base = make_model("qwen2")
    adapters = [make_adapter(base, lora(*MLP), seed=seed, name=str(seed)) for seed in (1, 2)]
    model = mixture(merge_to_moe(command(base, tmp_path / "out", *adapters)).folder)
    for expert, adapter in enumerate(adapters):
        with only_expert(model, expert):
            found = logits_of(model, IDS)
        assert (found - adapter_logits(base, adapter)).abs().max() < 1e-4
        assert (found - adapter_logits(base, adapters[1 - expert])).abs().max() > 0.1


def test_attention_is_the_base_s_or_the_average(make_model, make_adapter, tmp_path):
    base = make_model("llama")
    adapters = [make_adapter(base, lora("q_proj", *MLP), seed=seed, name=str(seed)) for seed in (1, 2)]
    name = "model.layers.0.self_attn.q_proj"
    before = load_file(base / "model.safetensors")[f"{name}.weight"]
    changes = []
    for adapter in adapters:
        loaded = load_file(adapter / "adapter_model.safetensors")
        a, b = (loaded[f"base_model.model.{name}.lora_{half}.weight"] for half in "AB")
        changes.append(2 * b @ a)  # alpha 8 / r 4
    for attention, wanted in (("base", before), ("average", before + sum(changes) / 2)):
        out = merge_to_moe(command(base, tmp_path / attention, *adapters, moe_attention=attention)).folder
        assert torch.allclose(load_file(out / "model.safetensors")[f"{name}.weight"], wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "settings", "why"),
    [
        ("gpt2", {}, "gpt2 models cannot be made a mixture"),
        ("gemma2", {}, "gemma2 models cannot be made a mixture"),
        ("llama", {"attention_bias": True}, "has attention_bias; Mixtral has no place"),
        ("llama", {"mlp_bias": True}, "has mlp_bias; Mixtral has no place"),
        ("qwen3", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}, "a sliding window"),
    ],
)
def test_architectures_without_a_mixture_are_refused_by_name(kind, settings, why, make_model, make_adapter, tmp_path):
    base = make_model(kind, **settings)
    adapters = [make_adapter(base, lora(), seed=seed, name=str(seed)) for seed in (1, 2)]
    with pytest.raises(SettingError, match=why):
        merge_to_moe(command(base, tmp_path / "out", *adapters))
    assert not (tmp_path / "out").exists()


def test_adapters_that_make_no_experts_are_refused(make_model, make_adapter, tmp_path):
    base, out = make_model("llama"), tmp_path / "out"
    good, other = (make_adapter(base, lora(*MLP), seed=seed, name=str(seed)) for seed in (1, 2))
    attention, head, more = (
        make_adapter(base, config, name=name)
        for name, config in (
            ("attention", lora("q_proj")),
            ("head", lora("lm_head", *MLP)),
            ("save", lora(*MLP, modules_to_save=["lm_head"])),
        )
    )
    for adapters, settings, why in (
        ((good,), {}, "at least two adapters"),
        ((good, attention), {}, "attention.*changes no layer of an MLP"),
        ((good, head), {}, "change lm_head, which all experts share"),
        ((good, more), {}, "modules_to_save"),
        ((good, other), {"num_experts_per_tok": 3}, "there are 2 experts"),
        ((good, other), {"router_data": ("a.jsonl",)}, "give one for each"),
        ((good, other), {"merge_method": "ties"}, "have no part"),
    ):
        with pytest.raises(SettingError, match=why):
            merge_to_moe(command(base, out, *adapters, **settings))
    assert not out.exists()


def rows_file(path: Path, *words: str) -> Path:
    """Conversations about some words."""
    turns = [(words[n % len(words)], words[(n + 1) % len(words)]) for n in range(12)]
    rows = [{"query": f"who is {a} {b}", "response": f"{a} {a} {b}"} for a, b in turns]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_router_is_placed_by_the_rows_and_trained_and_shows_how_it_routes(make_model, make_adapter, tmp_path):
    base, out = make_model("llama"), tmp_path / "out"
    adapters = [make_adapter(base, lora(*MLP), seed=seed, name=str(seed)) for seed in (1, 2)]
    sets = [rows_file(tmp_path / "a.jsonl", "nurse", "woman"), rows_file(tmp_path / "b.jsonl", "system", "man")]
    with sets[1].open("a", encoding="utf-8") as file:
        file.write("{broken\n")
    data = tuple(map(str, sets))
    settings = {"router_data": data, "router_steps": 8, "router_eval_rows": 4, "num_experts_per_tok": 1}
    settings["router_learning_rate"] = 0.05
    made = merge_to_moe(command(base, out, *adapters, **settings))
    told = made.record["router"]["data"]
    assert [d["rows"] for d in told] == [
        {"training": 8, "held": 4, "rejected": 0},
        {"training": 8, "held": 4, "rejected": 1},
    ]
    rejected = [json.loads(line) for line in (out / "rejected_rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["file"], row["line"]) for row in rejected] == [(str(sets[1]), 13)]
    for number, found in enumerate(told):
        for when in ("before", "after"):
            assert sum(found["share"][when]) == pytest.approx(1)
        assert found["share"]["before"][number] > 0.6
        assert found["share"]["after"] != found["share"]["before"]
        assert set(found["loss"]) == {"base", "expert 0", "expert 1", "mixture before", "mixture after"}
    untrained = merge_to_moe(command(base, tmp_path / "two", *adapters, **settings | {"router_steps": 0}))
    one, two = (load_file(folder / "model.safetensors") for folder in (out, untrained.folder))
    changed = {name for name in one if not torch.equal(one[name], two[name])}
    assert changed == {name for name in one if ".gate.weight" in name}
    again = merge_to_moe(command(base, tmp_path / "three", *adapters, **settings))
    three = load_file(again.folder / "model.safetensors")
    assert all(torch.equal(one[name], three[name]) for name in one)
    held = told[0]["loss"]["mixture after"]
    assert held < max(told[0]["loss"]["expert 0"], told[0]["loss"]["expert 1"]) + 0.5


def test_data_sets_by_name_and_rows_without_answers(make_model, make_adapter, tmp_path):
    base = make_model("llama")
    adapters = [make_adapter(base, lora(*MLP), seed=seed, name=str(seed)) for seed in (1, 2)]
    shipped = ("instructions-en#8", "instructions-zh#8")
    made = merge_to_moe(command(base, tmp_path / "out", *adapters, router_data=shipped, router_steps=1))
    assert [found["name"] for found in made.record["router"]["data"]] == list(shipped)
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"query": "who"}\n{"query": "is"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="0 rows have an answer"):
        merge_to_moe(command(base, tmp_path / "two", *adapters, router_data=(str(prompts), shipped[0])))
    assert not (tmp_path / "two").exists()


@pytest.fixture(scope="module")
def moe() -> Any:
    """A random mixture of three experts."""
    from transformers import MixtralConfig, MixtralForCausalLM

    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3}
    return MixtralForCausalLM(MixtralConfig(**sizes, **heads, num_local_experts=3)).eval()


def text(*ids: int) -> Tokens:
    return Tokens(ids, (False, *(True for _ in ids[1:])))


def test_placed_routers_lead_on_their_own_mean_and_on_no_average():
    torch.manual_seed(0)
    means = 5 + torch.randn(3, 2, 8)
    weights = directions(means)
    own = torch.einsum("leh,elh->le", weights, means - means.mean(0))
    assert torch.allclose(own, torch.full_like(own, 2.0), atol=1e-4)
    assert torch.einsum("leh,lh->le", weights, means.mean(0)).abs().max() < 1e-3
    assert directions(means[:1].expand(3, 2, 8)).abs().max() == 0


def test_training_lowers_the_loss_by_routing_alone(moe):
    sets = [[text(1, 2, 3, 4, 5)], [text(30, 31, 32, 33)]]
    place(moe, None, seed=3)
    others = {name: p.clone() for name, p in moe.named_parameters() if ".gate." not in name}
    with experts_at_work(moe, 2):
        before = [loss_of(moe, rows) for rows in sets]
    train(moe, sets, steps=60, learning_rate=0.05, aux_loss_coef=0.0)
    with experts_at_work(moe, 2):
        after = [loss_of(moe, rows) for rows in sets]
    assert sum(after) < sum(before) - 0.3
    assert all(torch.equal(p, others[name]) for name, p in moe.named_parameters() if name in others)


def test_load_balancing_spreads_the_tokens(moe):
    rows = [text(*range(1, 20)), text(*range(20, 45))]
    towards = mean_states(moe, rows)
    crowded = torch.zeros(2, 3, 32)
    crowded[:, 0] = 2 * towards / towards.pow(2).sum(-1, keepdim=True)
    crowd = {}
    for coefficient in (0.0, 10.0):
        place(moe, crowded, seed=0)
        crowd["before"] = max(expert_shares(moe, rows))
        train(moe, [[row] for row in rows], steps=40, learning_rate=0.02, aux_loss_coef=coefficient)
        crowd[coefficient] = max(expert_shares(moe, rows))
    assert crowd["before"] > 0.8
    assert crowd[10.0] < 0.6 and crowd[10.0] < crowd[0.0]


def test_padding_changes_nothing(moe):
    long, short = text(1, 2, 3, 4, 5, 6), text(7, 8, 9)
    batch = collate([long, short], torch.device("cpu"))
    assert batch["attention_mask"].tolist()[1] == [1, 1, 1, 0, 0, 0]
    assert batch["labels"].tolist()[1] == [-100, 8, 9, -100, -100, -100]
    with torch.no_grad():
        together = float(moe(**batch).loss)
    alone = (5 * loss_of(moe, [long]) + 2 * loss_of(moe, [short])) / 7
    assert together == pytest.approx(alone, abs=1e-4)
    assert loss_of(moe, [long, short]) == pytest.approx(alone, abs=1e-6)


def test_shares_count_first_choices(moe):
    place(moe, torch.zeros(2, 3, 32), seed=0)
    with torch.no_grad():
        for router in routers(moe):
            router.weight[2] = 1.0
            router.weight[1] = -1.0
    shares = expert_shares(moe, [text(*range(1, 30))])
    assert shares[0] == 0 and shares[1] > 0.1 and shares[2] > 0.1 and sum(shares) == pytest.approx(1)
