"""What a set of rows holds, said before an hour of training is lost on it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from chunfen.data.row import Row


@dataclass(frozen=True, slots=True)
class Summary:
    """kinds: how many rows of each `Row.kind`. columns: columns that no format knows, with the rows that have them.
    duplicates: rows that are equal to an earlier one. turns, lengths: quantiles (least, 25 %, median, 75 %, 95 %, most)
    of messages and of length a row. notes: what should be looked at before training."""

    rows: int
    kinds: Mapping[str, int]
    columns: Mapping[str, int]
    duplicates: int
    turns: tuple[int, ...]
    lengths: tuple[int, ...]
    notes: tuple[str, ...]


def characters(row: Row) -> int:
    """Length of everything in a row that is tokenized, the rejected answer apart."""
    return len(row.text) + sum(len(message.content) for message in row.messages)


def summary(rows: Sequence[Row], length: Callable[[Row], int] = characters) -> Summary:
    """Count what is there. length: of a row, in whatever unit.

    >>> from chunfen.data.formats import to_row
    >>> found = summary([to_row({"query": "Hi", "response": "Hello"})] * 2)
    >>> found.kinds, found.duplicates, found.lengths
    ({'conversation': 2}, 1, (7, 7, 7, 7, 7, 7))
    """
    kinds = Counter(row.kind for row in rows)
    duplicates = len(rows) - len({json.dumps(row.as_dict(), sort_keys=True, default=str) for row in rows})
    return Summary(
        rows=len(rows),
        kinds=dict(kinds.most_common()),
        columns=dict(Counter(name for row in rows for name in row.extra).most_common()),
        duplicates=duplicates,
        turns=quantiles([len(row.messages) for row in rows if row.messages]),
        lengths=quantiles([length(row) for row in rows]),
        notes=tuple(_notes(rows, kinds, duplicates)),
    )


def quantiles(values: Sequence[int]) -> tuple[int, ...]:
    """Least, 25 %, median, 75 %, 95 % and most; () of nothing.

    >>> quantiles(range(101))
    (0, 25, 50, 75, 95, 100)
    """
    ordered = sorted(values)
    return (
        tuple(ordered[round(share * (len(ordered) - 1))] for share in (0, 0.25, 0.5, 0.75, 0.95, 1)) if ordered else ()
    )


def _notes(rows: Sequence[Row], kinds: Mapping[str, int], duplicates: int) -> list[str]:
    notes = []
    if len(kinds) > 1:
        notes.append("The rows are of several kinds; a training takes rows of one kind.")
    if duplicates:
        notes.append(f"{duplicates} of {len(rows)} rows repeat an earlier one.")
    same = Counter(row.messages[-1].content for row in rows if row.answered)
    for answer, count in same.most_common(1):
        if count > max(3, len(rows) // 10):
            notes.append(f"{count} of {len(rows)} answers are the same: {answer[:60]!r}.")
    return notes
