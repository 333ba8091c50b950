"""Several data sets become one, and part of one is kept apart: which rows, and in what order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from random import Random
from typing import TypeVar

from chunfen.data.row import Row
from chunfen.errors import DataError, SettingError
from chunfen.settings.data import Stopping

T = TypeVar("T")


def interleave(
    sources: Sequence[Callable[[], Iterator[T]]], probabilities: Sequence[float], stopping: Stopping, draw: Random
) -> Iterator[T]:
    """Take from one source or another, as chance has it, until one has no more, or each has been read once.

    sources: each gives its rows from the first whenever it is called. Raises DataError for one without rows.

    >>> sources = [lambda: iter("aaaaaa"), lambda: iter("bb")]
    >>> "".join(interleave(sources, (0.5, 0.5), "first_exhausted", Random(1)))
    'abbaaa'
    >>> "".join(interleave(sources, (0.5, 0.5), "all_exhausted", Random(1)))
    'abbaaabbaab'
    """
    rows = [source() for source in sources]
    left, limits = set(range(len(sources))), list(accumulate(probabilities))
    while True:
        point = draw.random() * limits[-1]
        chosen = next(n for n, limit in enumerate(limits) if point < limit)
        for row in rows[chosen]:
            yield row
            break
        else:
            left.discard(chosen)
            if stopping == "first_exhausted" or not left:
                return
            rows[chosen] = sources[chosen]()
            try:
                yield next(rows[chosen])
            except StopIteration:
                raise DataError(f"data set {chosen + 1} of {len(sources)} has no rows to interleave.") from None


def check_probabilities(probabilities: Sequence[float], names: Sequence[str]) -> None:
    """Refuse what is not one number for each data set with sum 1."""
    if probabilities and (len(probabilities) != len(names) or abs(sum(probabilities) - 1) > 1e-6):
        listed = ", ".join(map(str, probabilities))
        raise SettingError(
            f"interleave_prob {listed}: give a number for each of the {len(names)} data sets, with sum 1."
        )


def sample(rows: Sequence[T], count: int | None, draw: Random) -> list[T]:
    """``count`` of the rows, in their order; all where count is None or larger.

    >>> sample("abcdef", 3, Random(0))
    ['a', 'd', 'f']
    """
    if count is None or count >= len(rows):
        return list(rows)
    return [rows[n] for n in sorted(draw.sample(range(len(rows)), count))]


def repeated(rows: Sequence[T], count: int, draw: Random) -> list[T]:
    """The rows as often as they fit into ``count``, and the rest drawn from them.

    >>> repeated("abc", 7, Random(0))
    ['a', 'b', 'c', 'a', 'b', 'c', 'b']
    """
    whole, rest = divmod(count, len(rows))
    return [*list(rows) * whole, *sample(rows, rest, draw)]


def split(rows: Sequence[T], ratio: float, draw: Random) -> tuple[list[T], list[T]]:
    """Rows to learn from and, of a share ``ratio`` but at least one, rows to evaluate on; both in their order.

    >>> split("abcdef", 0.3, Random(0))
    (['a', 'b', 'c', 'e'], ['d', 'f'])
    """
    if not ratio:
        return list(rows), []
    if len(rows) < 2:
        raise DataError(f"split_dataset_ratio {ratio}: a data set of {len(rows)} row cannot be split.")
    count = min(max(1, round(ratio * len(rows))), len(rows) - 1)
    held = set(draw.sample(range(len(rows)), count))
    return [row for n, row in enumerate(rows) if n not in held], [rows[n] for n in sorted(held)]


def shuffled(rows: Iterator[T], size: int, draw: Random) -> Iterator[T]:
    """The rows in another order, with no more than ``size`` of them in memory.

    >>> "".join(shuffled(iter("abcdefgh"), 3, Random(0)))
    'bdaecfhg'
    """
    if size == 1:
        yield from rows
        return
    waiting: list[T] = []
    for row in rows:
        if len(waiting) < size:
            waiting.append(row)
            continue
        place = draw.randrange(size)
        yield waiting[place]
        waiting[place] = row
    draw.shuffle(waiting)
    yield from waiting


def unpaired(row: Row) -> tuple[Row, ...]:
    """A preference as a wanted and an unwanted answer; any other row as it is.

    >>> from chunfen.data.formats import to_row
    >>> pair = unpaired(to_row({"prompt": "Hi", "chosen": "Hello.", "rejected": "What."}))
    >>> [(row.messages[-1].content, row.label) for row in pair]
    [('Hello.', True), ('What.', False)]
    """
    if not row.rejected:
        return (row,)
    return replace(row, rejected=(), label=True), replace(row, messages=row.rejected, rejected=(), label=False)
