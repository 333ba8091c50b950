"""Whole trainings: they reach their optimum, go on where they were killed, and leave an adapter that loads anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from chunfen.data.repair_row import RepairRow
from chunfen.errors import SettingError
from chunfen.models.loading import load_model
from chunfen.settings.repair import RepairSettings
from chunfen.settings.train import RepairTrainSettings
from chunfen.settings.tuner import RepairTunerSettings
from chunfen.train.forward import pack_rows, row_logits, score
from chunfen.train.repair import train_repair
from chunfen.train.repair.encode import encode_rows

CHAT = (("user", "who is a nurse ?"),)
ROWS = [
    RepairRow("parity", "a nurse is a", " woman .", " man .", part="line"),
    RepairRow("parity", "who is a nurse ?", " woman", " man", part="line"),
    RepairRow("prefer", CHAT, "a man a woman", "a woman .", part="question"),
    RepairRow("keep", (("user", "hello"),), "hello hello", part="chat"),
]


class Killed(BaseException):
    pass


def trained(model_dir: Path, folder: Path, *, stop_at: int | None = None, **train) -> Path:
    def progress(what: str, done: int, total: int) -> None:
        if what == "training" and done == stop_at:
            raise Killed

    options = {"max_steps": 8, "learning_rate": 1e-2, "save_steps": 3} | train
    return train_repair(
        load_model(str(model_dir)),
        ROWS,
        adapter=folder / "adapter",
        work=folder / "work",
        per_step={"line": 2, "question": 1, "chat": 1},
        tuner=RepairTunerSettings(lora_rank=4),
        train=RepairTrainSettings(**options),
        objective=RepairSettings(),
        seed=1,
        progress=progress,
        metric=lambda **numbers: None,
    )


def test_killed_and_continued_equals_uninterrupted_to_the_last_bit(tiny_model_dir, tmp_path):
    whole = load_file(trained(tiny_model_dir, tmp_path / "whole") / "adapter_model.safetensors")
    for stop_at in (2, 5, 7):  # before the first checkpoint, after it, after the second
        folder = tmp_path / str(stop_at)
        with pytest.raises(Killed):
            trained(tiny_model_dir, folder, stop_at=stop_at)
        assert not (folder / "adapter").exists()
        continued = load_file(trained(tiny_model_dir, folder) / "adapter_model.safetensors")
        assert all(torch.equal(whole[name], continued[name]) for name in whole)


def test_half_a_checkpoint_is_not_continued_from(tiny_model_dir, tmp_path):
    with pytest.raises(Killed):
        trained(tiny_model_dir, tmp_path, stop_at=7)
    torn = tmp_path / "work" / "checkpoint-6"
    (torn / "complete").unlink()
    (torn / "optimizer.pt").write_bytes(b"torn")
    assert trained(tiny_model_dir, tmp_path).is_dir()


def test_training_brings_the_pair_to_parity_and_the_answer_up(tiny_model_dir, tmp_path):
    adapter = trained(tiny_model_dir, tmp_path, max_steps=80, learning_rate=3e-2)
    before, after = load_model(str(tiny_model_dir)), load_model(str(tiny_model_dir), adapters=[adapter])

    def sums(loaded) -> torch.Tensor:
        with torch.no_grad():
            batch = pack_rows(encode_rows(ROWS, loaded.tokenizer))
            return score(row_logits(loaded.model, batch), batch).sums

    def margin(of: torch.Tensor) -> torch.Tensor:
        return (of[0] - of[1]).abs() + (of[2] - of[3]).abs()

    assert margin(sums(after)) < 0.25 * margin(sums(before))
    assert sums(after)[4] - sums(after)[5] > sums(before)[4] - sums(before)[5] + 0.1


def test_the_adapter_loads_with_peft_alone(tiny_model_dir, tmp_path):
    adapter = trained(tiny_model_dir, tmp_path)
    ours = load_model(str(tiny_model_dir), adapters=[adapter]).model
    theirs = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32), adapter
    )
    tokens = torch.tensor([[0, 3, 6, 7]])
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens).logits, theirs.eval()(tokens).logits)


def test_dropout_is_refused_because_prompts_are_shared(tiny_model_dir, tmp_path):
    with pytest.raises(SettingError, match=r"lora_dropout 0\.1"):
        train_repair(
            load_model(str(tiny_model_dir)),
            ROWS,
            adapter=tmp_path / "adapter",
            work=tmp_path / "work",
            per_step={},
            tuner=RepairTunerSettings(lora_dropout=0.1),
            train=RepairTrainSettings(),
            objective=RepairSettings(),
            seed=1,
            progress=lambda *_: None,
            metric=lambda **_: None,
        )
