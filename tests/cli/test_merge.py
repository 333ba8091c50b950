"""`chunfen merge` as a user types it; every command of docs/merge.md runs."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

PAGE = Path(__file__).parents[2] / "docs" / "merge.md"


@pytest.fixture
def folders(tmp_path: Path, tiny_model_dir: Path) -> Path:
    """What the page's commands name: a base, two adapters, two files of rows."""
    from peft import LoraConfig, get_peft_model

    (tmp_path / "base").symlink_to(tiny_model_dir)
    for seed, name in enumerate(("adapter", "other")):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
        tuned = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
        for parameter in tuned.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter) * parameter.requires_grad
        tuned.save_pretrained(tmp_path / name)
    for name, words in (("first", "nurse woman"), ("second", "system man")):
        rows = [{"query": f"who is a {words}", "response": f"{words} {n % 2 * 'hello'}"} for n in range(8)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return tmp_path


def commands() -> list[str]:
    return re.findall(r"^chunfen (merge .+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_page_has_commands():
    assert len(commands()) == 7


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_page_writes_a_model(command, chunfen, folders):
    done = chunfen(*shlex.split(command))
    assert done.returncode == 0, done.stderr
    out = folders / re.search(r"--output \./(\S+)", command)[1]
    assert done.stdout.splitlines()[-1] == str(out)
    assert re.search(
        r"^Greatest difference of a logit: \S+, of logits up to \S+ \(\w+, \d texts\)\.$", done.stdout, re.M
    )
    AutoModelForCausalLM.from_pretrained(out)
    assert not list(folders.glob(".*"))


def test_a_mixture_shows_how_it_routes_and_what_it_loses(chunfen, folders):
    done = chunfen(*shlex.split(commands()[-1]))
    table = [line.split() for line in done.stdout.splitlines() if line.startswith("./")]
    routed, losses = table[:4], table[4:]
    assert [row[:2] for row in routed] == [
        [f"./{n}.jsonl", w] for n in ("first", "second") for w in ("before", "after")
    ]
    assert all(int(row[2].rstrip("%")) + int(row[3].rstrip("%")) in (99, 100, 101) for row in routed)
    assert [len(row) for row in losses] == [6, 6]
    record = json.loads((folders / "moe" / "merge.json").read_text(encoding="utf-8"))
    assert f"{record['router']['data'][1]['loss']['mixture after']:.3f}" == losses[1][-1]


def test_what_is_there_is_not_overwritten(chunfen, folders):
    words = ["merge", "--model", "./base", "--adapters", "./adapter", "--output"]
    done = chunfen(*words, "./other")
    assert done.returncode == 2
    assert "output 'other' exists" in done.stderr
    assert chunfen(*words[:-1]).returncode == 2


def test_a_dry_run_writes_nothing(chunfen, folders):
    done = chunfen("merge", "--adapters", "./adapter", "--output", "./out", "--weights", "1", "-0.5", "--dry_run")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^weights: \[1.0, -0.5\]", done.stdout, re.MULTILINE), done.stdout
    assert not (folders / "out").exists()
