"""Which template meets which item: full crossings, and balanced thinnings of them. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Thin:
    """How much of a full crossing is asked. items: at most so many items. per_item: prompts per item. None: all."""

    items: int | None = None
    per_item: int | None = None


def evenly(sequence: Sequence[T], count: int | None) -> list[T]:
    """`count` elements at even distances, the first and the last among them; None: all.

    >>> evenly("abcdefg", 3), evenly("ab", 5)
    (['a', 'd', 'g'], ['a', 'b'])
    """
    if count is None or count >= len(sequence):
        return list(sequence)
    return [sequence[round(k * (len(sequence) - 1) / max(count - 1, 1))] for k in range(count)]


def crossed(items: Sequence[T], cells: Sequence[U], per_item: int | None = None) -> Iterator[tuple[T, U]]:
    """Every item with every cell, or with `per_item` of them, dealt out in turn.

    Dealing goes on with the next item where it stopped with the last (a Latin-square rotation), so over all
    items each cell is used equally often, give or take one. With items sorted by their covariate, each cell
    also sees it evenly.

    >>> ["".join(pair) for pair in crossed("abc", "1234", 2)]
    ['a1', 'a2', 'b3', 'b4', 'c1', 'c2']
    >>> len(list(crossed("abc", "1234")))
    12
    """
    take = len(cells) if per_item is None else min(per_item, len(cells))
    for number, item in enumerate(items):
        for k in range(take):
            yield item, cells[(number * take + k) % len(cells)]


def both_orders(templates: Sequence[T]) -> list[tuple[T, bool]]:
    """Each template in one order, the orders alternating, and then each in the other one.

    A thinned crossing then meets both orders equally often, and a template again only after all others.

    >>> both_orders("ab")
    [('a', True), ('b', False), ('a', False), ('b', True)]
    >>> both_orders("abc")
    [('a', True), ('b', False), ('c', True), ('a', False), ('b', True), ('c', False)]
    """
    once = [(template, number % 2 == 0) for number, template in enumerate(templates)]
    return once + [(template, not order) for template, order in once]


def spread(items: Sequence[T], number: int, count: int) -> list[T]:
    """`count` items far apart in the sequence, others for each `number`: the items of the number-th question.

    >>> spread("abcdef", 0, 2), spread("abcdef", 1, 2)
    (['a', 'd'], ['b', 'e'])
    """
    count = min(count, len(items))
    return [items[(number + k * len(items) // count) % len(items)] for k in range(count)]
