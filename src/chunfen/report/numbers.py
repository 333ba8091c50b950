"""Numbers as text. What was not measured is a dash, never a zero."""

from __future__ import annotations

import math
from typing import TypeGuard

DASH = "—"
MINUS = "−"  # U+2212, as wide as a plus, so that columns line up

DIGITS = {"nats": 2, "share": 1, "points": 1, "ratio": 2, "seconds": 0, "bytes": 2, "seeds": 0, "words": 1}
"""Decimals by unit."""

SCALES = {"share": 100.0, "bytes": 1e-9}
"""Units that are shown as other ones: shares as percentages, bytes as gigabytes."""


def known(value: float | None) -> TypeGuard[float]:
    """Whether there is a number at all.

    >>> known(0.0), known(None), known(float("nan"))
    (True, False, False)
    """
    return value is not None and math.isfinite(value)


def decimal(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """A number with fixed decimals, a true minus, and no negative zero.

    >>> decimal(-1.005, 1), decimal(0.35, signed=True), decimal(-0.001, 1), decimal(float("nan"))
    ('−1.0', '+0.35', '0.0', '—')
    """
    if not known(value):
        return DASH
    text = f"{abs(value):,.{digits}f}".replace(",", "\u202f")
    zero = not any(character in "123456789" for character in text)
    if zero:
        return text
    if value < 0:
        return MINUS + text
    return "+" + text if signed else text


def scaled(value: float | None, unit: str) -> float | None:
    """A number in the unit it is shown in.

    >>> scaled(0.25, "share"), scaled(0.25, "nats"), scaled(None, "share")
    (25.0, 0.25, None)
    """
    return value * SCALES.get(unit, 1.0) if known(value) else value


def digits(unit: str) -> int:
    """Decimals to show in a unit.

    >>> digits("nats"), digits("anything else")
    (2, 2)
    """
    return DIGITS.get(unit, 2)


def figure(value: float | None, unit: str, *, signed: bool = False, decimals: int | None = None) -> str:
    """A number as it is shown in its unit, without the unit.

    >>> figure(0.1234, "share"), figure(-0.85, "share", signed=True), figure(None, "share")
    ('12.3', '−85.0', '—')
    """
    return decimal(scaled(value, unit), digits(unit) if decimals is None else decimals, signed=signed)


def interval(low: float | None, high: float | None, unit: str, *, signed: bool = False) -> str:
    """A 95 % interval without its unit; empty where there is none.

    >>> interval(1.8, 2.7, "nats"), interval(None, 1.0, "nats")
    ('[1.80, 2.70]', '')
    """
    if not (known(low) and known(high)):
        return ""
    return f"[{figure(low, unit, signed=signed)}, {figure(high, unit, signed=signed)}]"
