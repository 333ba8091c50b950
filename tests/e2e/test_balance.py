"""The main job on the real default model, as a user starts it: one process, one run folder, one report."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chunfen.measure.log import AuditLog, Verdict

pytestmark = pytest.mark.slow

THREADS = {"OMP_NUM_THREADS": str(os.cpu_count() or 1)}


def command(folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "chunfen", "balance", "--quick", "--output_dir", str(folder), *more]


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(folder, *more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **THREADS},
    )


def finish(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=1500)
    assert process.returncode in (0, 3), said
    return said


def the_run(folder: Path) -> Path:
    [run] = folder.iterdir()
    return run


def numbers(run: Path) -> dict[str, object]:
    """Everything that was measured, without times and places."""
    logs = {name: AuditLog.load(run / f"{name}.json") for name in ("before", "train", "after")}
    checks = [c for c in Verdict.load(run / "verdict.json").checks if c.group != "cost"]
    return {name: log.probes for name, log in logs.items()} | {
        "checks": checks,
        "rows": (run / "rows.jsonl").read_bytes(),
        "adapter": (run / "adapter" / "adapter_model.safetensors").read_bytes(),
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, default_model_dir: Path) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    finish(start(folder))
    return the_run(folder)


def test_the_run_folder_holds_everything(whole):
    manifest = json.loads((whole / "run.json").read_text())
    assert manifest["status"] == "done"
    assert manifest["facts"]["plan"]["shared_heads"] == []
    assert {p.name for p in whole.iterdir()} >= {
        "before.json",
        "train.json",
        "after.json",
        "verdict.json",
        "rows.jsonl",
        "adapter",
        "report.html",
        "report.json",
        "model_card.md",
        "junit.xml",
        "metrics.jsonl",
        "log.txt",
    }
    before, after = (AuditLog.load(whole / f"{name}.json") for name in ("before", "after"))
    assert before.fingerprint != after.fingerprint
    assert before.split == after.split == "test"
    assert before.quick and after.quick and Verdict.load(whole / "verdict.json").quick


def test_even_the_rehearsal_moves_the_slope(whole):
    slopes = [
        AuditLog.load(whole / f"{name}.json").probe("gender.line.en").result("slope").estimate
        for name in ("before", "after")
    ]
    assert slopes[0] > 1.0
    assert abs(slopes[1]) < 0.8 * slopes[0]


def test_a_language_that_the_model_does_not_speak_is_not_called_fair(whole):
    chinese = [p for p in AuditLog.load(whole / "before.json").probes if p.language == "zh" and p.role == "endpoint"]
    assert chinese
    assert all(not r.measurable and r.estimate is None for p in chinese for r in p.results)


def test_every_page_says_that_it_is_quick(whole):
    for name in ("report.html", "model_card.md"):
        assert "quick" in (whole / name).read_text(encoding="utf-8").lower()


def test_killed_ten_times_and_resumed_gives_the_same_numbers(whole, tmp_path):
    draw = random.Random(7)
    for _ in range(10):
        process = start(tmp_path, "--resume")
        try:
            process.wait(timeout=draw.uniform(6, 16))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        if process.returncode in (0, 3):
            break
    time.sleep(0.1)
    finish(start(tmp_path, "--resume"))
    assert numbers(the_run(tmp_path)) == numbers(whole)
