"""Which rows each optimizer step sees: fixed before training, so that resuming is a matter of counting."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence


def schedule(strata: Sequence[str], per_step: Mapping[str, int], steps: int, seed: int) -> list[list[int]]:
    """Draw for each step a fixed number of rows from each stratum, going through each stratum in shuffled rounds.

    strata: the stratum of each row. per_step: rows of each stratum in a step. Strata without rows are left out.
    Every row of a stratum comes up before any comes up twice. Returns row positions, one list a step.

    >>> schedule(["a", "a", "b"], {"a": 1, "b": 1}, steps=2, seed=0)
    [[0, 2], [1, 2]]
    """
    draw = random.Random(seed)
    members = {name: [i for i, s in enumerate(strata) if s == name] for name in per_step}
    decks: dict[str, list[int]] = {name: [] for name in per_step}
    plan = []
    for _ in range(steps):
        step = []
        for name, count in per_step.items():
            for _ in range(count if members[name] else 0):
                if not decks[name]:
                    decks[name] = draw.sample(members[name], len(members[name]))
                step.append(decks[name].pop())
        plan.append(step)
    return plan
