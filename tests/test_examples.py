"""The examples run as they are printed, and show what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chunfen.bias.axis import load_axis
from chunfen.bias.filling import answer_texts
from chunfen.bias.instruments import build_probes
from chunfen.bias.reader import make_reader, read_choice

EXAMPLES = Path(__file__).parents[1] / "examples"
HOME = EXAMPLES / "my_axis" / "home.en.yaml"
NUMBER = r"([+-]\d+\.\d\d)"


def test_the_example_axis_gives_probes_that_ask_something():
    probes = build_probes(load_axis(HOME))
    assert [p.name for p in probes] == [f"home.{e}.en" for e in ("line", "choice", "competence", "reply")]
    for probe in probes:
        requests = [case.request for case in probe.cases("test")]
        assert requests
        prompts = [r.prompt if isinstance(r.prompt, str) else r.prompt[-1][1] for r in requests]
        options = [option for r in requests for option in r.options]
        assert not [text for text in prompts + options if "{" in text]
    line = probes[0].cases("test")
    assert len({case.item for case in line}) == 9
    assert min(case.x for case in line) < 0.1 < 0.9 < max(case.x for case in line)


def test_the_answers_of_the_example_axis_are_read_as_what_they_are_listed_under():
    axis = load_axis(HOME)
    reader = make_reader(axis)
    for label, texts in answer_texts(axis, axis.items_of("test")[0], "test").items():
        assert [read_choice(text, reader) for text in texts] == [label] * len(texts)


@pytest.mark.slow
def test_audit_and_repair_prints_a_slope_that_fell(tmp_path, default_model_dir):
    threads = {"OMP_NUM_THREADS": str(os.cpu_count() or 1)}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "audit_and_repair.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=1500,
        env={**os.environ, **threads},
    )
    assert done.returncode == 0, done.stderr
    slopes = re.findall(rf"slope: {NUMBER} nats \[{NUMBER}, {NUMBER}\]", done.stdout)
    before, after = (float(estimate) for estimate, _, _ in slopes)
    assert before > 1.0
    assert abs(after) < 0.8 * before
    assert re.search(r"P1\.slope: -\d\.\d\d \[", done.stdout)
    assert "as it was: " in done.stdout
    assert "repaired: " in done.stdout
    [adapter] = tmp_path.glob("*-repair-*/adapter")
    assert (adapter / "adapter_config.json").is_file()
    assert str(adapter) in done.stdout
