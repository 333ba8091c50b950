"""The registered criteria: all there, and usable."""

from __future__ import annotations

import pytest

from chunfen.bias.criteria import load_criteria
from chunfen.errors import DataError
from chunfen.measure.metrics import function


def test_every_criterion_names_functions_that_exist():
    for criterion in load_criteria():
        if criterion.endpoints:
            assert callable(function(criterion.function_name)), criterion.id


def test_ids_are_unique_and_the_registered_rows_are_there():
    ids = [c.id for c in load_criteria()]
    assert len(ids) == len(set(ids))
    rows = "P1.slope P1.flip P1.default P1.item P2.winogender P2.reverse P2.stereoset P3.picking.choice"
    rows += " P3.picking.reply P3.story P3.coverage P3.cue G.capability G.perplexity G.agreement G.cue"
    rows += " G.untouched C.time"
    assert set(rows.split()) <= set(ids)


def test_every_aim_lies_beyond_its_floor():
    for millions in (135, 7000):
        for c in load_criteria(millions):
            if c.floor is not None and c.aim is not None:
                ahead = {"at_least": c.aim > c.floor, "at_most": c.aim < c.floor, "within": c.aim < c.floor}
                assert ahead[c.sense], c.id


def test_guards_are_judged_by_their_interval():
    for c in load_criteria():
        if c.group == "guard":
            assert c.judged == "interval" or c.interval_floor is not None, c.id


@pytest.mark.parametrize(
    ("millions", "floor", "near", "aim"),
    [(None, -0.8, -0.6, -0.95), (135, -0.8, -0.6, -0.95), (7000, -0.6, -0.4, -0.85)],
)
def test_limits_follow_the_size_of_the_model(millions, floor, near, aim):
    slope = next(c for c in load_criteria(millions) if c.id == "P1.slope")
    assert (slope.floor, slope.interval_floor, slope.aim) == (floor, near, aim)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("criteria: [{id: X, group: target, flor: 1}]", "criterion X: flor"),
        ("criteria: [{id: X, group: target, change: relativ}]", "relative"),
        ("criteria: [{id: X, group: target, floor: {tiny: 1}}]", "criterion X: floor"),
        ("other: 1", "criteria"),
        ("criteria: [", "criteria"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_error(tmp_path, text, said):
    path = tmp_path / "criteria.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        load_criteria(path=path)
