"""Whole trainings of every stage: they learn, go on where they were killed, and leave what loads anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from chunfen.errors import DataError, SettingError
from chunfen.models.loading import load_model
from train.stages import STAGES, Killed, settings_of, trained, write_rows

SPEAKING = tuple(stage for stage in STAGES if stage not in ("seq_cls", "rm"))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {k: v for file in sorted(folder.glob("*.safetensors")) for k, v in load_file(file).items()}


def same(one: Path, other: Path) -> bool:
    left, right = weights(one), weights(other)
    return left.keys() == right.keys() and bool(left) and all(torch.equal(left[name], right[name]) for name in left)


def losses(run) -> list[float]:
    return [line["loss"] for line in run.metrics() if "loss" in line]


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_learns(tiny_model_dir, tmp_path, stage):
    settings = settings_of(stage, tiny_model_dir, tmp_path, max_steps=20, tuner_type="full")
    found = losses(trained(stage, settings)[1])
    assert sum(found[-5:]) < 0.85 * sum(found[:5])


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_leaves_an_adapter_with_what_it_takes_to_use_it(tiny_model_dir, tmp_path, stage):
    folder, _ = trained(stage, settings_of(stage, tiny_model_dir, tmp_path))
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "chunfen.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert json.loads((folder / "chunfen.json").read_text())["settings"]["learning_rate"] == 1e-2
    if stage in SPEAKING:
        load_model(str(tiny_model_dir), adapters=[folder])


@pytest.mark.parametrize(
    ("stage", "more"),
    [
        *((stage, {}) for stage in STAGES),
        ("sft", {"packing": True, "max_length": 40}),
        ("dpo", {"packing": True, "max_length": 60}),
        ("sft", {"per_device_train_batch_size": 2, "lora_dropout": 0.3}),
        ("dpo", {"tuner_type": "full"}),
        ("sft", {"streaming": True, "shuffle_buffer_size": 3}),
        ("sft", {"streaming": True, "packing": True, "max_length": 60}),
        ("dpo", {"streaming": True, "per_device_train_batch_size": 2}),
    ],
)
def test_killed_and_continued_equals_uninterrupted_to_the_last_bit(tiny_model_dir, tmp_path, stage, more):
    whole, _ = trained(stage, settings_of(stage, tiny_model_dir, tmp_path / "whole", **more))
    settings = settings_of(stage, tiny_model_dir, tmp_path / "killed", **more)
    for stop_at in (1, 3, 5):
        with pytest.raises(Killed):
            trained(stage, settings, stop_at=stop_at)
    continued, _ = trained(stage, settings)
    assert same(whole, continued)


def test_a_stream_gives_what_the_whole_set_gives(tiny_model_dir, tmp_path):
    """One step over all rows of each; DPO's reference is the adapter off, or computed before."""
    for stage in ("sft", "dpo"):
        more = {
            "max_steps": 1,
            "per_device_train_batch_size": 5,
            "gradient_accumulation_steps": 1,
            "optim": "sgd",
            "lora_dropout": 0.0,
        }
        whole, _ = trained(stage, settings_of(stage, tiny_model_dir, tmp_path / f"{stage}-whole", **more))
        settings = settings_of(stage, tiny_model_dir, tmp_path / f"{stage}-stream", streaming=True, **more)
        streamed, _ = trained(stage, settings)
        first = weights(whole)
        for name, value in weights(streamed).items():
            torch.testing.assert_close(value, first[name], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("stage", "more", "said"),
    [
        ("sft", {"max_steps": None}, "--max_steps"),
        ("kto", {}, "kto has to see all rows"),
        ("dpo", {"tuner_type": "full"}, "tuner_type full.*second model"),
    ],
)
def test_what_a_stream_cannot_do_is_refused(tiny_model_dir, tmp_path, stage, more, said):
    with pytest.raises(SettingError, match=said):
        trained(stage, settings_of(stage, tiny_model_dir, tmp_path, streaming=True, **more))


def test_packing_and_batching_give_the_same_step(tiny_model_dir, tmp_path):
    """One step over all rows: in packs, at once, one by one, and by tokens."""
    ways = {
        "packs": {"packing": True, "max_length": 60, "gradient_accumulation_steps": 3},
        "at_once": {"per_device_train_batch_size": 5, "gradient_accumulation_steps": 1},
        "one_by_one": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 5},
        "by_tokens": {"gradient_accumulation_steps": 5},
    }
    found = {
        name: trained(
            "sft",
            settings_of("sft", tiny_model_dir, tmp_path / name, max_steps=1, optim="sgd", lora_dropout=0.0, **more),
        )[0]
        for name, more in ways.items()
    }
    first = weights(found["at_once"])
    for folder in found.values():
        for name, value in weights(folder).items():
            torch.testing.assert_close(value, first[name], atol=1e-5, rtol=1e-3)


def test_rows_of_no_use_are_listed_with_their_reason(tiny_model_dir, tmp_path):
    settings = settings_of("sft", tiny_model_dir, tmp_path, max_steps=1, max_length=50)
    with Path(settings.dataset[0]).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"query": "who " * 50, "response": "a man ."}) + "\n")
        file.write(json.dumps({"query": "who ?"}) + "\n" + "{broken\n")
    _, run = trained("sft", settings)
    listed = [json.loads(line) for line in (run.folder / "rejected_rows.jsonl").read_text().splitlines()]
    reasons = " ".join(row["reason"] for row in listed)
    assert len(listed) == 3
    assert "more than max_length 50" in reasons
    assert "it is a prompt" in reasons
    assert "not JSON" in reasons


def test_rows_of_another_kind_alone_are_an_error(tiny_model_dir, tmp_path):
    settings = settings_of("dpo", tiny_model_dir, tmp_path)
    write_rows(Path(settings.dataset[0]), "sft")
    with pytest.raises(DataError, match=r"conversation.*dpo learns from: preference"):
        trained("dpo", settings)


def test_validation_rows_are_evaluated_and_not_learned(tiny_model_dir, tmp_path):
    settings = settings_of("sft", tiny_model_dir, tmp_path, split_dataset_ratio=0.2, eval_steps=2)
    _, run = trained("sft", settings)
    evaluated = [line for line in run.metrics() if "eval_loss" in line]
    assert [line["step"] for line in evaluated] == [2, 4, 6]
    for strategy, steps in (("epoch", [1, 2, 3]), ("no", [])):  # 4 rows, 3 of them a step: 6 steps are 4.5 epochs
        more = {"split_dataset_ratio": 0.2, "eval_strategy": strategy, "max_steps": 3}
        _, run = trained("sft", settings_of("sft", tiny_model_dir, tmp_path / strategy, **more))
        assert [line["step"] for line in run.metrics() if "eval_loss" in line] == steps
    assert (run.manifest["facts"]["rows"], run.manifest["facts"]["validation_rows"]) == (4, 1)


def test_a_loss_that_is_no_number_ends_with_advice(tiny_model_dir, tmp_path):
    settings = settings_of("sft", tiny_model_dir, tmp_path, learning_rate=1e30, tuner_type="full", max_grad_norm=1e9)
    with pytest.raises(Exception, match=r"the loss is (nan|inf).*--learning_rate"):
        trained("sft", settings)


def test_losses_that_cannot_be_combined_are_refused_before_the_model_is_loaded(tiny_model_dir, tmp_path):
    with pytest.raises(SettingError, match="hinge would ignore it"):
        trained("dpo", settings_of("dpo", tiny_model_dir, tmp_path, loss_type=("hinge",), label_smoothing=0.1))


def test_the_reference_may_be_another_model_or_none(tiny_model_dir, tmp_path):
    own, _ = trained("dpo", settings_of("dpo", tiny_model_dir, tmp_path / "own"))
    named, _ = trained("dpo", settings_of("dpo", tiny_model_dir, tmp_path / "named", ref_model=str(tiny_model_dir)))
    free, _ = trained("dpo", settings_of("dpo", tiny_model_dir, tmp_path / "free", reference_free=True))
    assert same(own, named)
    assert not same(own, free)
