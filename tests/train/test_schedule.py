"""What a training step holds."""

from __future__ import annotations

from chunfen.train.repair.schedule import schedule


def test_every_row_comes_up_before_any_comes_up_twice():
    plan = schedule(["line"] * 10 + ["text"] * 3, {"line": 4, "text": 1, "cue": 2}, steps=5, seed=1)
    drawn = [row for step in plan for row in step]
    assert [len(step) for step in plan] == [5] * 5
    assert {drawn.count(row) for row in range(10)} == {2}
    assert {drawn.count(row) for row in (10, 11, 12)} == {1, 2}


def test_a_step_never_holds_one_side_alone():
    sides = ["female"] * 30 + ["male"] * 30
    plan = schedule(["cue"] * 60, {"cue": 6}, steps=10, seed=0, sides=sides)
    assert sorted(row for step in plan for row in step) == list(range(60))
    assert {sum(sides[row] == "male" for row in step) for step in plan} <= {2, 3, 4}


def test_sides_of_unequal_size_are_spread_over_the_whole_round():
    sides = ["female"] * 8 + ["male"] * 32
    plan = schedule(["reply"] * 40, {"reply": 10}, steps=4, seed=0, sides=sides)
    assert {sum(sides[row] == "female" for row in step) for step in plan} <= {1, 2, 3}
