"""The reward for a right result, as math-verify compares it: 1/2, 0.5 and \\frac{1}{2} are the same."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any

from chunfen.data.row import Row
from chunfen.errors import DataError, SettingError
from chunfen.train.rewards.base import Reward, named, solution

SECONDS = 5
"""Time for reading or comparing one expression; one that takes longer is not right."""
_HAN = re.compile(r"[\u3000-\u9fff\uff00-\uff0f\uff1a-\uffef]+")
"""Chinese, which math-verify would take for a part of the number beside it."""


def accuracy(settings: Any, rows: Sequence[Row]) -> Reward:
    """1 for a reply whose result equals the row's `solution` (or the answer that the row comes with), else 0.

    The result is the last \\boxed{…}, formula or number of the reply; of a reply with <answer>…</answer>, of what is
    between. Raises DataError for a row without a solution, or with one that is no number or formula.
    """
    parse, verify = _math_verify()
    right: dict[str, Any] = {}
    for number, row in enumerate(rows):
        given = solution(row)
        if not given:
            raise DataError(
                f"reward accuracy: {named(row, number)} has no solution. Give each row a column solution, or leave the "
                "reward out."
            )
        right[given] = right.get(given) or parse(result(given))
        if not right[given]:
            raise DataError(
                f"reward accuracy: the solution of {named(row, number)} is no number or formula: {given!r}."
            )

    def reward(replies: Sequence[str], rows: Sequence[Row]) -> list[float]:
        return [
            float(verify(right[solution(row)], parse(result(reply)))) for reply, row in zip(replies, rows, strict=True)
        ]

    return reward


def result(reply: str) -> str:
    """The part of a reply that holds its result.

    >>> result("<think>6 * 7 = 42</think><answer>42</answer>"), result("It is 42."), result("是42。")
    ('42', 'It is 42.', ' 42 ')
    """
    _, opened, rest = reply.rpartition("<answer>")
    return _HAN.sub(" ", rest.partition("</answer>")[0] if opened else reply)


def _math_verify() -> tuple[Any, Any]:
    """Its two functions, with a limit of time where they can have one: in the main thread."""
    try:
        from math_verify import parse, verify
    except ModuleNotFoundError:
        raise SettingError(
            'The reward accuracy needs math-verify, which is not installed: pip install "chunfen[rl]".'
        ) from None

    def limit() -> int | None:
        return SECONDS if threading.current_thread() is threading.main_thread() else None

    return (
        lambda text: parse(text, parsing_timeout=limit()),
        lambda right, found: verify(right, found, timeout_seconds=limit()),
    )
