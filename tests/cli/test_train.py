"""Training from the command line: as a user starts it, stops it, and goes on with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from chunfen.errors import SettingError
from train.stages import write_rows

STEPS = 400


def words_of(stage: str, model: Path, folder: Path, *more: object) -> list[str]:
    rows = write_rows(folder / f"{stage}.jsonl", stage)
    found = [stage, "--model", model, "--dataset", rows, "--output_dir", folder / "runs", "--torch_dtype", "float32"]
    return [str(word) for word in (*found, *more)]


def test_one_command_trains_and_says_where_the_adapter_is(chunfen, tiny_model_dir, tmp_path):
    done = chunfen(*words_of("sft", tiny_model_dir, tmp_path, "--max_steps", 4, "--logging_steps", 1))
    assert done.returncode == 0, done.stderr
    adapter = Path(done.stdout.strip())
    assert (adapter / "adapter_model.safetensors").is_file()
    assert "step 4 of 4: loss" in done.stderr
    assert (adapter.parent / "training.svg").read_text().startswith("<svg xmlns")
    asked = chunfen(
        "infer", "--model", tiny_model_dir, "--adapters", adapter, "--prompt", "hello", "--max_new_tokens", 3
    )
    assert asked.returncode == 0


def test_rlhf_is_the_verb_that_it_names(chunfen, tiny_model_dir, tmp_path):
    words = words_of("dpo", tiny_model_dir, tmp_path, "--max_steps", 2)
    done = chunfen("rlhf", "--rlhf_type", *words)
    assert done.returncode == 0, done.stderr
    assert "-dpo-" in done.stdout
    refused = chunfen("rlhf", "--rlhf_type", "dop", *words[1:])
    assert refused.returncode == 2
    assert "Did you mean 'dpo'?" in refused.stderr


PLUGIN = """
from chunfen import DatasetHub
rows = [{"query": "who is a man ?", "response": "hello"}] * 3
DatasetHub.register("of_my_own", dataset_fn=lambda: rows, task_type="sft")
"""


def test_a_file_of_the_user_registers_a_data_set(chunfen, tiny_model_dir, tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    words = ["sft", "--model", tiny_model_dir, "--dataset", "of_my_own", "--max_steps", 1, "--torch_dtype", "float32"]
    done = chunfen(*words, "--external_plugins", "mine.py")
    assert done.returncode == 0, done.stderr
    (tmp_path / "broken.py").write_text("1 / 0")
    refused = chunfen(*words, "--external_plugins", "broken.py")
    assert refused.returncode == 2
    assert "broken.py: it fails with ZeroDivisionError" in refused.stderr


def test_a_stage_is_trained_from_python(tiny_model_dir, tmp_path):
    from chunfen import dpo

    rows = write_rows(tmp_path / "rows.jsonl", "dpo")
    adapter = dpo(model=str(tiny_model_dir), dataset=[str(rows)], max_steps=1, output_dir=str(tmp_path))
    assert (adapter / "adapter_config.json").is_file()
    with pytest.raises(SettingError, match="Did you mean 'max_steps'"):
        dpo(max_step=1)


@pytest.mark.slow
def test_sigterm_saves_and_resume_ends_with_the_same_adapter(tiny_model_dir, tmp_path):
    """The signal comes in the middle; the step ends, a checkpoint is saved, and --resume goes on from it."""

    def command(folder: Path, *more: object) -> list[str]:
        options = ["--max_steps", STEPS, "--save_steps", 1000, "--logging_steps", 1, *more]
        return [sys.executable, "-W", "ignore", "-m", "chunfen", *words_of("sft", tiny_model_dir, folder, *options)]

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    subprocess.run(command(whole), check=True, capture_output=True)
    process = subprocess.Popen(command(stopped), stderr=subprocess.PIPE, text=True)
    while not any(path.stat().st_size > 2000 for path in stopped.glob("runs/*/metrics.jsonl")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    [run] = (stopped / "runs").iterdir()
    [checkpoint] = (run / "training").glob("checkpoint-*")
    assert json.loads((run / "run.json").read_text())["status"] == "stopped"
    assert 1 <= int(checkpoint.name.rpartition("-")[2]) < STEPS
    subprocess.run(command(stopped, "--resume"), check=True, capture_output=True)
    files = [next(folder.glob("runs/*/adapter/adapter_model.safetensors")) for folder in (whole, stopped)]
    one, other = map(load_file, files)
    assert all((one[name] == other[name]).all() for name in one)
