"""A placebo: an adapter trained like a repair, on labels that say nothing, must leave the slope where it was."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from chunfen.bias.axis import load_axis
from chunfen.bias.instruments import build_probes
from chunfen.bias.plan import plan_repair
from chunfen.data.rows import PreferenceRow
from chunfen.engines.transformers import TransformersEngine
from chunfen.measure.log import AuditLog
from chunfen.measure.run import measure
from chunfen.models.loading import load_model
from chunfen.settings.repair import RepairSettings
from chunfen.settings.train import TrainSettings
from chunfen.settings.tuner import TunerSettings
from chunfen.train.repair import train_repair

pytestmark = pytest.mark.slow

AXIS = load_axis("gender", "en")
STEPS, PER_STEP = 12, 24


def shuffled(rows: list[PreferenceRow], seed: int) -> list[PreferenceRow]:
    """Which text of a pair is called the better one is drawn at random."""
    draw = random.Random(seed)
    return [
        replace(row, objective="prefer", chosen=texts[0], rejected=texts[1])
        for row in rows
        for texts in [draw.sample([row.chosen, row.rejected], 2)]
    ]


def slope(folder: str, *adapters: Path) -> float:
    engine = TransformersEngine(load_model(folder, adapters=adapters))
    log = measure(engine, build_probes(AXIS, ["line"]), resamples=200)
    return log.probe("gender.line.en").result("slope").estimate


def test_a_placebo_moves_the_slope_by_less_than_a_tenth(default_model_dir, tmp_path):
    nothing = AuditLog(
        target="", fingerprint="", split="train", seed=0, settings={}, versions={}, started="", seconds=0, probes=()
    )
    rows = [*plan_repair([AXIS], nothing, {}, rows_per_part={"line": STEPS * PER_STEP}).rows]
    adapter = train_repair(
        load_model(str(default_model_dir)),
        shuffled(rows, seed=1),
        adapter=tmp_path / "adapter",
        work=tmp_path / "work",
        per_step={"line": PER_STEP},
        tuner=TunerSettings(),
        train=TrainSettings(max_steps=STEPS),
        objective=RepairSettings(loss_type="dpo", beta=0.2, rpo_alpha=0.0),
        seed=1,
        progress=lambda *_: None,
        metric=lambda **_: None,
    )
    before, after = slope(str(default_model_dir)), slope(str(default_model_dir), adapter)
    assert before > 1.5
    assert after != before  # it did learn something
    assert abs(after - before) < 0.1 * before
