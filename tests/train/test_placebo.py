"""A placebo: an adapter trained like a repair, on labels that say nothing of the items, leaves the slope as it was."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from chunfen.bias.axis import load_axis
from chunfen.bias.design import Thin
from chunfen.bias.instruments import build_probes
from chunfen.bias.plan import plan_repair
from chunfen.data.repair_row import RepairRow
from chunfen.engines.transformers import TransformersEngine
from chunfen.measure.log import AuditLog
from chunfen.measure.run import measure
from chunfen.models.loading import load_model
from chunfen.settings.repair import RepairSettings
from chunfen.settings.train import RepairTrainSettings
from chunfen.settings.tuner import RepairTunerSettings
from chunfen.train.repair import train_repair

pytestmark = pytest.mark.slow

AXIS = load_axis("gender", "en")
SHARE = {item.text: item.x for item in AXIS.items}
STEPS, PER_STEP, PER_ITEM = 12, 24, 4

Label = Callable[[RepairRow, int], bool]
"""Whether the text of the first group is called the better one; the number counts the rows of one item."""


def lines() -> list[RepairRow]:
    """As many line pairs as there are to train on, four to an item, in random order of their templates."""
    nothing = AuditLog(
        target="", fingerprint="", split="train", seed=0, settings={}, versions={}, started="", seconds=0, probes=()
    )
    by_item = defaultdict(list)
    for row in plan_repair([AXIS], nothing, {}, rows_per_part={"line": 100_000}).rows:
        by_item[row.item].append(row)
    draw = random.Random(1)
    items = draw.sample(sorted(by_item), STEPS * PER_STEP // PER_ITEM)
    return [row for item in items for row in draw.sample(by_item[item], PER_ITEM)]


def labelled(rows: Sequence[RepairRow], label: Label) -> list[RepairRow]:
    return [
        replace(row, objective="prefer")
        if label(row, number % PER_ITEM)
        else replace(row, objective="prefer", chosen=row.rejected, rejected=row.chosen)
        for number, row in enumerate(rows)
    ]


def shuffled(_: RepairRow, number: int) -> bool:
    """Either group twice per item: what is learned says nothing of the item."""
    return number < PER_ITEM / 2


def counter(row: RepairRow, _: int) -> bool:
    """The group that the statistics do not expect."""
    return SHARE[row.item] < 0.5


def test_labels_that_say_nothing_leave_the_slope_and_labels_that_do_move_it(default_model_dir, tmp_path):
    def trained(label: Label) -> Path:
        folder = tmp_path / label.__name__
        return train_repair(
            load_model(str(default_model_dir)),
            labelled(lines(), label),
            adapter=folder / "adapter",
            work=folder / "work",
            per_step={"line": PER_STEP},
            tuner=RepairTunerSettings(),
            train=RepairTrainSettings(max_steps=STEPS, learning_rate=5e-4),
            objective=RepairSettings(loss_type="dpo", beta=0.2, rpo_alpha=0.0),
            seed=1,
            progress=lambda *_: None,
            metric=lambda **_: None,
        )

    def slope(*adapters: Path) -> float:
        engine = TransformersEngine(load_model(str(default_model_dir), adapters=adapters))
        log = measure(engine, build_probes(AXIS, ["line"], thin={"line": Thin(per_item=4)}), resamples=200)
        return log.probe("gender.line.en").result("slope").estimate

    before = slope()
    assert before > 1.5
    assert abs(slope(trained(shuffled)) - before) < 0.1 * before
    assert slope(trained(counter)) < 0.6 * before
