"""Which examples are computed together and when: fixed before training, so that resuming is a matter of counting."""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Sequence

Plan = list[list[int]]
"""One list of places of examples for each batch, in the order of training."""


def batches(count: int, size: int) -> Callable[[random.Random], Plan]:
    """A round through `count` examples in random order, `size` at once; the last batch may be smaller.

    >>> batches(5, 2)(random.Random(0))
    [[3, 4], [0, 1], [2]]
    """

    def round_(draw: random.Random) -> Plan:
        order = draw.sample(range(count), count)
        return [order[k : k + size] for k in range(0, count, size)]

    return round_


def packs(sizes: Sequence[int], capacity: int, size: int = 1) -> Callable[[random.Random], Plan]:
    """A round through examples in packs of at most `capacity` tokens, `size` packs at once, in random order.

    sizes: tokens of each example. The longest examples are placed first, each where the least room is left (best-fit
    decreasing; Ding et al. 2024), so packs are nearly full; examples of equal length are placed in random order. What
    is longer than `capacity` is a pack of its own.

    >>> sorted(sorted(pack) for pack in packs([5, 3, 3, 2, 1], 6)(random.Random(0)))
    [[0, 4], [1, 2], [3]]
    """

    def round_(draw: random.Random) -> Plan:
        found = _best_fit(sizes, capacity, draw.sample(range(len(sizes)), len(sizes)))
        draw.shuffle(found)
        return [[k for pack in found[n : n + size] for k in pack] for n in range(0, len(found), size)]

    return round_


def _best_fit(sizes: Sequence[int], capacity: int, order: Sequence[int]) -> Plan:
    found: Plan = []
    rooms: list[int] = []  # sorted, each value once
    having: dict[int, list[list[int]]] = defaultdict(list)  # room → the packs that have it left
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


def plan(
    round_: Callable[[random.Random], Plan], *, rounds: float, steps: int | None, per_step: int, seed: int
) -> Plan:
    """All batches of a training.

    round_: one way through the examples. rounds: how often they are gone through (num_train_epochs). steps: optimizer
    steps, which then decide instead. per_step: batches of a step; the last step has what is left.

    >>> [len(batch) for batch in plan(batches(5, 2), rounds=1.7, steps=None, per_step=1, seed=0)]
    [2, 2, 1, 2, 2]
    >>> len(plan(batches(5, 2), rounds=1, steps=4, per_step=2, seed=0))
    8
    """
    draw = random.Random(seed)
    found = round_(draw)
    wanted = steps * per_step if steps else max(1, round(rounds * len(found)))
    while len(found) < wanted:
        found += round_(draw)
    return found[:wanted]
