"""What a reward is.

reward = REWARDS["format"](settings, rows)      what can be wrong about rows is found here, before training
reward(["a reply", "another"], [row, row])      → [0.0, 0.0]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chunfen.data.row import Row

Reward = Callable[[Sequence[str], Sequence[Row]], Sequence[float | None]]
"""(replies, the row that each replies to) → what each is worth. None: that is not for this reward to say."""
Maker = Callable[[Any, Sequence[Row]], Reward]
"""(settings of the command, all rows that will come) → a reward. Raises SettingError or DataError if it cannot work."""


def solution(row: Row) -> str:
    """What a row says is right: its column `solution`, or else the answer that it comes with; "" if there is none.

    >>> from chunfen.data.row import Message
    >>> asked, said = Message("user", "6 * 7?"), Message("assistant", "42.")
    >>> solution(Row((asked,), extra={"solution": 42})), solution(Row((asked, said))), solution(Row((asked,)))
    ('42', '42.', '')
    """
    given = row.extra.get("solution")
    if given is not None:
        return str(given)
    return row.messages[-1].content if row.answered else ""


def named(row: Row, number: int) -> str:
    """A row as an error names it. number: its place among the rows, from 0.

    >>> from chunfen.data.row import Message
    >>> named(Row((Message("user", "Who is that?"),)), 4)
    "row 5 ('Who is that?')"
    """
    return f"row {number + 1} ({row.prompt[-1].content[:60]!r})"
