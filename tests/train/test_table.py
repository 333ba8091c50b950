"""docs/stages.md says of every stage and tuner whether they work together; each cell is tried."""

from __future__ import annotations

import pytest

from train.table import COLUMNS, TUNERS, WORKS, listed, outcome


def test_the_page_has_every_cell():
    assert set(listed()) == {(stage, tuner) for stage in COLUMNS for tuner in TUNERS}


@pytest.mark.slow
@pytest.mark.parametrize("stage", COLUMNS)
@pytest.mark.parametrize("tuner", TUNERS)
def test_a_cell_is_as_the_page_says(tiny_model_dir, tmp_path, stage, tuner):
    assert (outcome(stage, tuner, tiny_model_dir, tmp_path) == WORKS) == listed()[stage, tuner]
