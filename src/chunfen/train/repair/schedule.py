"""Which rows each optimizer step sees: fixed before training, so that resuming is a matter of counting."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence


def schedule(
    strata: Sequence[str], per_step: Mapping[str, int], steps: int, seed: int, sides: Sequence[str] | None = None
) -> list[list[int]]:
    """Draw for each step a fixed number of rows from each stratum, going through each stratum in shuffled rounds.

    strata: the stratum of each row. per_step: rows of each stratum in a step. Strata without rows are left out.
    sides: what each row pulls towards, if anything. The sides of a stratum are spread evenly over a round, for a step
    that holds more rows of one side by chance moves the model that way.
    Every row of a stratum comes up before any comes up twice. Returns row positions, one list a step.

    >>> schedule(["a", "a", "b"], {"a": 1, "b": 1}, steps=2, seed=0)
    [[0, 2], [1, 2]]
    """
    draw = random.Random(seed)
    sides = sides or [""] * len(strata)
    members = {name: [i for i, s in enumerate(strata) if s == name] for name in per_step}
    decks: dict[str, list[int]] = {name: [] for name in per_step}
    plan = []
    for _ in range(steps):
        step = []
        for name, count in per_step.items():
            for _ in range(count if members[name] else 0):
                if not decks[name]:
                    decks[name] = _round(_by_side(members[name], sides), draw)
                step.append(decks[name].pop())
        plan.append(step)
    return plan


def _by_side(members: Sequence[int], sides: Sequence[str]) -> list[list[int]]:
    return [[i for i in members if sides[i] == side] for side in sorted({sides[i] for i in members})]


def _round(groups: Sequence[Sequence[int]], draw: random.Random) -> list[int]:
    """All members in random order, those of each group evenly spread.

    >>> [n < 3 for n in _round([[0, 1, 2], [3, 4, 5]], random.Random(0))]
    [True, False, True, False, True, False]
    """
    placed = [
        ((place + draw.random()) / len(group), member)
        for group in groups
        for place, member in enumerate(draw.sample(group, len(group)))
    ]
    return [member for _, member in sorted(placed)]
