"""The lines of the article: they parse, mean what they say, and train."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from chunfen.cli.main import VERBS

from .conftest import Swift
from .lines import ALPACA, DEEPSPEED, DPO, LINES, LORA, PAIRS, ZERO_3, write


@pytest.mark.parametrize("name", LINES)
def test_a_line_means_what_it_says(swift: Swift, tmp_path: Path, name: str) -> None:
    line, meant = LINES[name]
    (tmp_path / "ds_z3_config.json").write_text(ZERO_3)
    done = swift(line, "--dry_run")
    assert done.returncode == 0, done.stderr
    settings = yaml.safe_load(done.stdout)
    assert {option: settings[option] for option in meant} == meant
    assert f"# model: {meant['model']} " in done.stdout
    warnings = done.stderr.splitlines()
    assert len(warnings) == 1 and "model_type" in warnings[0] and "model" in warnings[0]


def trained(swift: Swift, line: str, *more: object, steps: int = 2) -> Path:
    """Train for so many steps; the folder of the adapter."""
    done = swift(line, "--max_steps", steps, "--torch_dtype", "float32", "--dataset_num_proc", 1, *more)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_the_line_of_lora_trains_what_it_names(swift: Swift, tiny_model_dir: Path, tmp_path: Path) -> None:
    """A small model in the model's place, a small file in the data's."""
    rows = write(tmp_path / "rows.jsonl", ALPACA)
    folder = trained(swift, LORA.replace("alpaca-en", str(rows)), "--model", tiny_model_dir)
    adapter = json.loads((folder / "adapter_config.json").read_text())
    found = {name: adapter[name] for name in ("r", "lora_alpha", "lora_dropout", "peft_type")}
    assert found == {"r": 64, "lora_alpha": 16, "lora_dropout": 0.1, "peft_type": "LORA"}
    assert set(adapter["target_modules"]) == {"q_proj", "v_proj", "k_proj", "o_proj"}
    run = json.loads((folder.parent / "run.json").read_text())
    assert (run["status"], run["verb"]) == ("done", "sft")
    assert len((folder.parent / "metrics.jsonl").read_text().splitlines()) >= 1


def test_the_line_of_dpo_trains_against_the_model_without_adapter(
    swift: Swift, tiny_model_dir: Path, tmp_path: Path
) -> None:
    """At the first step the adapter changes nothing, so with the reference the loss is log 2."""
    rows = write(tmp_path / "pairs.jsonl", PAIRS)
    line = DPO.replace("qwen-7b", str(tiny_model_dir)).replace("dpo-zh", str(rows))
    folder = trained(swift, line, "--logging_steps", 1, "--lora_dropout", 0)
    assert (folder / "adapter_model.safetensors").is_file()
    assert (folder.parent / "training/reference.safetensors").is_file()
    first = json.loads((folder.parent / "metrics.jsonl").read_text().splitlines()[0])
    assert first["loss"] == pytest.approx(0.6931, abs=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("deepspeed") is None, reason="deepspeed is not installed: chunfen[deepspeed]")
def test_the_line_of_deepspeed_trains_in_parts(swift: Swift, tiny_model_dir: Path, tmp_path: Path) -> None:
    """With the file as the article prints it. Its WarmupLR begins with two steps at a learning rate of 0."""
    (tmp_path / "ds_z3_config.json").write_text(ZERO_3)
    rows = write(tmp_path / "rows.jsonl", ALPACA)
    folder = trained(swift, DEEPSPEED.replace("alpaca-en", str(rows)), "--model", tiny_model_dir, steps=4)
    used = json.loads((folder.parent / "run.json").read_text())["facts"]["deepspeed"]
    assert used["zero_optimization"]["stage"] == 3 and used["zero_optimization"]["offload_optimizer"]["device"] == "cpu"
    assert (used["optimizer"]["type"], used["scheduler"]["type"]) == ("AdamW", "WarmupLR")
    assert used["optimizer"]["params"]["lr"] == 1e-4
    moved = load_file(folder / "adapter_model.safetensors")
    assert any("lora_B" in name and value.any() for name, value in moved.items())
    assert list((folder.parent / "training").glob("checkpoint-4/global_step4/zero_*"))


@pytest.mark.parametrize("verb", ["app", "app-ui", "deploy", "eval", "export", "merge-lora", "web-ui"])
def test_a_verb_of_the_public_tool_is_there_or_named_as_missing(swift: Swift, verb: str) -> None:
    today = {"app-ui": "app", "merge-lora": "merge", "web-ui": "studio"}.get(verb, verb)
    done = swift(f"swift {verb} --help")
    if today in VERBS:
        assert done.returncode == 0 and f"chunfen {today}" in done.stdout
    else:
        assert (done.returncode, done.stdout) == (2, "")
        assert re.fullmatch(rf"swift: this version of chunfen has no {verb} yet\. It has: .*\bsft\b.*\.\n", done.stderr)


@pytest.mark.parametrize("verb", ["sft", "pt", "dpo", "infer", "balance"])
def test_every_other_verb_is_passed_on(swift: Swift, verb: str) -> None:
    done = swift(f"swift {verb} --help")
    assert done.returncode == 0 and f"Usage: chunfen {verb}" in done.stdout


def test_rlhf_is_the_verb_that_it_names(swift: Swift) -> None:
    done = swift("swift rlhf --rlhf_type kto --model_type qwen-7b --dataset kto-en --beta 0.2", "--dry_run")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["rlhf_type"] == "kto"


def test_mistakes_are_mistakes_here_too(swift: Swift) -> None:
    assert 'Did you mean "sft"' in swift("swift sftt --help").stderr
    done = swift("swift sft --model_type qwen-7b --dataset alpaca-en --lora_rnk 64")
    assert done.returncode == 2 and "Unknown option --lora_rnk. Did you mean 'lora_rank'" in done.stderr


def test_pasted_into_a_shell(tmp_path: Path) -> None:
    """The installed command; over several lines, and on one line as a web page without line ends gives it."""
    folder = Path(sys.executable).parent
    assert shutil.which("swift", path=folder), "bash yichuidingyin.sh installs it: pip install -e compat/swift"
    lines = [LORA + " \\\n    --dry_run", re.sub(r"\n +", " ", DPO) + r" \ --dry_run", "swift --help"]
    shell = {"cwd": tmp_path, "env": os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}}
    done = [subprocess.run(["bash", "-c", line], capture_output=True, text=True, **shell) for line in lines]
    assert [one.returncode for one in done] == [0, 0, 0], [one.stderr for one in done]
    settings = [yaml.safe_load(one.stdout) for one in done[:2]]
    assert (settings[0]["lora_rank"], settings[1]["beta"], settings[1]["dataset"]) == (64, 0.1, ["dpo-zh"])
    assert "Usage: chunfen" in done[2].stdout
