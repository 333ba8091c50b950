"""What --dry_run says of a training: without a network, without fetching, and near to what then happens."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

from chunfen.data.source import load_datasets
from chunfen.errors import DataError, SettingError
from chunfen.settings.commands import DpoCommand, FinetuneCommand, KtoCommand, PretrainCommand, RewardCommand
from chunfen.settings.data import DataSettings
from chunfen.train import planning
from chunfen.train.load import training_encoder
from chunfen.train.planning import sizes_of, training_plan
from chunfen.train.stages import STAGES


@pytest.fixture
def offline(own_cache, monkeypatch):
    """An empty cache, and no way out."""

    def refuse(*_: object) -> None:
        raise AssertionError("a plan must not ask anybody")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return own_cache


@pytest.fixture(scope="module")
def rows():
    names = ("instructions-en", "instructions-zh")
    return load_datasets(names, DataSettings(dataset=names)).rows


def lines(name: str, settings) -> dict[str, str]:
    """The lines of a plan by what stands before the colon; the parts of the memory by their names."""
    found = {}
    for line in training_plan(name, settings):
        words = re.match(r"\s*(\w+)(?: of the largest batch)?:?\s+(.*)", line)
        found[words[1]] = words[2]
    return found


def test_the_articles_line_is_planned_with_nothing_here(offline):
    settings = FinetuneCommand(
        model="qwen-7b",
        dataset=("alpaca-en",),
        lora_rank=64,
        lora_alpha=16,
        lora_dropout=0.1,
        target_modules=("q_proj", "v_proj", "k_proj", "o_proj"),
        torch_dtype="bfloat16",
    )
    plan = lines("sft", settings)
    assert "52,002 rows by the catalog" in plan["data"] and "not here yet" in plan["data"]
    assert plan["steps"].startswith("9,751, of 16 batches each, 3 times")
    assert plan["weights"].endswith("7,788 M, of which 67.11 M are trained (0.86%)")
    assert plan["weights"].startswith("14.") and float(plan["total"].split()[0]) > 15
    assert not any(offline.iterdir())


def test_without_the_tokenizer_tokens_are_estimated(offline):
    plan = lines("sft", FinetuneCommand(model="qwen3-0.6b", dataset=("instructions-zh",), max_steps=3))
    assert "estimated from characters: the tokenizer is not here" in plan["data"]
    assert plan["steps"].startswith("3, of ")
    assert not any(offline.iterdir())


@pytest.mark.parametrize("dataset", ["instructions-en", "instructions-zh", "preferences-en"])
def test_the_estimate_is_near(dataset, default_model_dir):
    stage = STAGES["dpo" if dataset.startswith("pref") else "sft"](DpoCommand())
    found = load_datasets((dataset,), DataSettings(dataset=(dataset,))).rows
    guessed, _, _ = sizes_of(found, stage, None, None)
    counted, _, _ = sizes_of(found, stage, training_encoder(FinetuneCommand()), None)
    # SmolLM2 knows little Chinese: it takes up to two tokens for a character
    low, high = (0.3, 1.0) if dataset.endswith("zh") else (0.6, 1.4)
    assert low < sum(s.tokens for s in guessed) / sum(s.tokens for s in counted) < high


def test_of_many_rows_a_sample_is_counted(rows, monkeypatch):
    stage, encoder = STAGES["sft"](FinetuneCommand()), training_encoder(FinetuneCommand())
    whole, _, remark = sizes_of(rows, stage, encoder, None)
    assert remark == "counted"
    monkeypatch.setattr(planning, "SAMPLE", 100)
    some, _, remark = sizes_of(rows, stage, encoder, None)
    assert remark == "estimated from 100 rows" and len(some) == len(rows) == len(whole)
    assert sum(s.tokens for s in some) == pytest.approx(sum(s.tokens for s in whole), rel=0.15)


@pytest.mark.parametrize(
    ("name", "settings", "examples"),
    [
        ("sft", FinetuneCommand(dataset=("instructions-en#32",), max_length=256, packing=True), 32),
        ("dpo", DpoCommand(dataset=("preferences-en#32",)), 32),
        ("rm", RewardCommand(dataset=("preferences-en#32",), tuner_type="full"), 32),
    ],
)
def test_each_kind_of_stage_is_planned(name, settings, examples, default_model_dir):
    plan = lines(name, settings)
    assert f"{examples} examples" in plan["data"]
    assert "counted" in plan["data"] and float(plan["total"].split()[0]) > 0.2


def test_of_a_single_answer_another_one_is_computed_as_well(tmp_path: Path, default_model_dir):
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    tokens = {}
    for name, kind, more in (("sft", FinetuneCommand, {}), ("kto", KtoCommand, {"label": True})):
        path = tmp_path / f"{name}.jsonl"
        path.write_text(4 * (json.dumps({"messages": turns, **more}) + "\n"))
        plan = lines(name, kind(dataset=(str(path),)))
        tokens[name] = int(plan["data"].partition("examples, ")[2].split()[0])
    assert tokens["kto"] == 2 * tokens["sft"]


def test_what_cannot_be_used_is_counted(tmp_path: Path, default_model_dir):
    path = tmp_path / "rows.jsonl"
    good = [{"query": "Hi", "response": "Hello"}, {"query": "Bye", "response": "So long"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*good, {"text": "x", "label": 3}, {"nothing": 1}]))
    plan = list(training_plan("sft", FinetuneCommand(dataset=(str(path),))))
    assert plan[0].startswith(f"data: {path}: ") and plan[1].startswith("left out: ")


def test_mistakes_are_found_before_the_training(tmp_path: Path, offline):
    with pytest.raises(SettingError, match=r"target_modules 'q_porj'.*Did you mean 'q_proj'"):
        list(training_plan("sft", FinetuneCommand(model="qwen3-0.6b", target_modules=("q_porj",))))
    with pytest.raises(SettingError, match=r"'instruction-en' is not known\. Did you mean 'instructions-en'"):
        list(training_plan("sft", FinetuneCommand(model="qwen3-0.6b", dataset=("instruction-en",))))
    with pytest.raises(DataError, match="no row can be used; this stage takes: text"):
        list(training_plan("pt", PretrainCommand(model="qwen3-0.6b", dataset=("instructions-en",))))


def test_of_very_many_rows_steps_are_not_counted(offline, monkeypatch):
    monkeypatch.setattr(planning, "MANY", 50_000)
    plan = lines("sft", FinetuneCommand(model="qwen3-0.6b", dataset=("alpaca-en",)))
    assert "52,002 rows" in plan["data"] and "steps" not in plan and "total" in plan


def test_what_is_not_known_is_said(offline):
    assert lines("sft", FinetuneCommand(model="some-org/some-model"))["memory"].startswith(
        "model 'some-org/some-model'"
    )
    assert "none is given" in lines("sft", FinetuneCommand(model="qwen3-0.6b"))["data"]
    assert (
        "while training goes on"
        in lines("sft", FinetuneCommand(model="qwen3-0.6b", dataset=("a/b",), streaming=True))["data"]
    )
    boft = lines("sft", FinetuneCommand(model="qwen3-0.6b", tuner_type="boft"))
    assert boft["memory"].startswith("not planned for tuner_type boft") and "total" not in boft
    assert "own answers" in next(training_plan("grpo", FinetuneCommand()))
