"""Which examples are computed together and when: fixed before training, so that resuming is a matter of counting."""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Groups = list[list[int]]
"""Places of examples that belong together."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """batches: the places of the examples of each batch, in the order of training. per_step: batches of an optimizer
    step; the last step has what is left. rounds: how often the examples are gone through."""

    batches: Groups
    per_step: int
    rounds: float

    @property
    def steps(self) -> int:
        return -(-len(self.batches) // self.per_step)


def by_rows(count: int, size: int, per_step: int, *, rounds: float, steps: int | None, seed: int) -> Schedule:
    """`size` examples at once, `per_step` times a step, in shuffled rounds.

    rounds: how often all of them are gone through. steps: optimizer steps, which then decide instead.

    >>> by_rows(5, 2, 2, rounds=1, steps=None, seed=0)
    Schedule(batches=[[3, 4], [0, 1], [2]], per_step=2, rounds=1.0)
    """
    wanted = steps * per_step * size if steps else max(1, round(rounds * count))
    order = [k for [k] in _repeated(lambda draw: [[k] for k in draw.sample(range(count), count)], wanted, seed)]
    return Schedule(_chunks(order, size), per_step, wanted / count)


def by_tokens(
    sizes: Sequence[int], step: int, at_once: int, *, rounds: float, steps: int | None, seed: int
) -> Schedule:
    """`step` examples a step, as in `by_rows`, computed in as few parts as hold about `at_once` tokens.

    sizes: tokens of each example. The parts of a step are about equally long.

    >>> by_tokens([60, 50, 30, 20], 4, 100, rounds=2, steps=None, seed=0)
    Schedule(batches=[[0, 3], [1, 2], [0, 3], [1, 2]], per_step=2, rounds=2.0)
    """
    whole = by_rows(len(sizes), step, 1, rounds=rounds, steps=steps, seed=seed)
    parts = min(step, -(-sum(sizes) * step // (len(sizes) * at_once)))
    batches = [part for rows in whole.batches for part in _dealt(rows, sizes, parts) if part]
    return Schedule(batches, parts, whole.rounds)


def by_packs(
    sizes: Sequence[int],
    capacity: int,
    size: int,
    per_step: int,
    *,
    rounds: float,
    steps: int | None,
    seed: int,
) -> Schedule:
    """Packs of at most `capacity` tokens, `size` of them at once, `per_step` times a step, in shuffled rounds.

    sizes: tokens of each example. The longest are placed first, each where the least room is left (best-fit decreasing;
    Ding et al. 2024), so that packs are nearly full. What is longer than `capacity` is a pack of its own.

    >>> by_packs([5, 3, 3, 2, 1], 6, 1, 1, rounds=1, steps=None, seed=0)
    Schedule(batches=[[0, 4], [3], [1, 2]], per_step=1, rounds=1.0)
    """

    def packed(draw: random.Random) -> Groups:
        found = _best_fit(sizes, capacity, draw.sample(range(len(sizes)), len(sizes)))
        draw.shuffle(found)
        return found

    each = len(packed(random.Random(seed)))
    wanted = steps * per_step * size if steps else max(1, round(rounds * each))
    packs = _repeated(packed, wanted, seed)
    batches = [[k for pack in packs[n : n + size] for k in pack] for n in range(0, len(packs), size)]
    return Schedule(batches, per_step, wanted / each)


def in_order(count: int, size: int) -> Groups:
    """Each example once, `size` at once: for evaluation.

    >>> in_order(3, 2)
    [[0, 1], [2]]
    """
    return _chunks(range(count), size)


def _repeated(round_: Callable[[random.Random], Groups], wanted: int, seed: int) -> Groups:
    draw = random.Random(seed)
    found: Groups = []
    while len(found) < wanted:
        found += round_(draw)
    return found[:wanted]


def _chunks(order: Sequence[int], size: int) -> Groups:
    return [list(order[k : k + size]) for k in range(0, len(order), size)]


def _dealt(rows: Sequence[int], sizes: Sequence[int], parts: int) -> Groups:
    """Rows in parts of about equal length: the longest first, each to the shortest part."""
    found: Groups = [[] for _ in range(parts)]
    filled = [0] * parts
    for k in sorted(rows, key=lambda k: sizes[k], reverse=True):
        shortest = min(range(parts), key=filled.__getitem__)
        found[shortest].append(k)
        filled[shortest] += sizes[k]
    return found


def _best_fit(sizes: Sequence[int], capacity: int, order: Sequence[int]) -> Groups:
    found: Groups = []
    rooms: list[int] = []  # sorted, each value once
    having: dict[int, Groups] = defaultdict(list)  # room → the packs that have it left
    for k in sorted(order, key=lambda k: sizes[k], reverse=True):
        place = bisect_left(rooms, sizes[k])
        if place < len(rooms):
            room = rooms[place]
            pack = having[room].pop()
            if not having[room]:
                del rooms[place]
        else:
            room, pack = max(capacity, sizes[k]), []
            found.append(pack)
        pack.append(k)
        left = room - sizes[k]
        if left:
            if not having[left]:
                insort(rooms, left)
            having[left].append(pack)
    return found
