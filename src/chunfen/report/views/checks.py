"""The verdict's lines as they are shown: distances to the aim, and guards on a common scale."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from chunfen.measure.log import Check, Verdict
from chunfen.measure.types import Split
from chunfen.report.numbers import known

Status = Literal["proven", "rehearsed", "missed", "unmeasured", "audit"]
"""rehearsed: everything holds, but not on the test split."""
Outcome = Literal["pass", "miss", "reported", "unmeasured"]
"""reported: it was measured, but there is no floor to hold it against."""


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A check and what follows. to_aim: what is missing to the aim, in the check's unit; 0 if it is met."""

    check: Check
    outcome: Outcome
    to_aim: float | None


@dataclass(frozen=True, slots=True)
class Guard:
    """A guard's change in multiples of its margin: −1 is the margin, 0 no change, right of it better.

    two_sided: a change in either direction counts against it.
    """

    row: CheckRow
    position: float
    low: float | None
    high: float | None
    two_sided: bool


def outcome(check: Check) -> Outcome:
    if check.passed is None:
        return "reported" if known(check.change) and not check.required else "unmeasured"
    return "pass" if check.passed else "miss"


def shortfall(check: Check) -> float | None:
    """How far the change is from the aim; 0 when the aim is met, None when either is unknown.

    >>> shortfall(Check(id="a", group="guard", metric="m", change=-0.5, aim=-0.3, sense="at_least"))
    0.2
    >>> shortfall(Check(id="a", group="target", metric="m", change=-0.9, aim=-0.95, sense="at_most"))
    0.05
    >>> shortfall(Check(id="a", group="guard", metric="m", change=0.1, aim=0.3, sense="within"))
    0.0
    """
    if not (known(check.change) and known(check.aim)):
        return None
    gap = {
        "at_least": check.aim - check.change,
        "at_most": check.change - check.aim,
        "within": abs(check.change) - abs(check.aim),
    }[check.sense]
    return max(0.0, round(gap, 10))


def rows_of(verdict: Verdict | None) -> tuple[CheckRow, ...]:
    checks = verdict.checks if verdict else ()
    return tuple(CheckRow(check, outcome(check), shortfall(check)) for check in checks)


def status_of(verdict: Verdict | None, split: Split = "test") -> Status:
    """One word for the whole: a miss weighs more than what could not be measured, and neither is proof."""
    if verdict is None:
        return "audit"
    if verdict.passed:
        return "proven" if split == "test" else "rehearsed"
    return "missed" if any(c.passed is False for c in verdict.checks if c.required) else "unmeasured"


def guards_of(rows: tuple[CheckRow, ...]) -> tuple[Guard, ...]:
    """The measured guards that have a margin, each scaled by its own."""
    return tuple(guard for row in rows if row.check.group == "guard" and (guard := _scaled(row)))


def margin_of(check: Check) -> float | None:
    """What the interval must not pass."""
    return check.floor if check.interval_floor is None else check.interval_floor


def reach_of(guards: Iterable[Guard]) -> float:
    """How many margins a forest plot must show to each side: all intervals, but at most eight."""
    ends = [abs(v) for g in guards for v in (g.position, g.low, g.high) if known(v)]
    return min(8.0, max([1.6, *(1.1 * end for end in ends)]))


def _scaled(row: CheckRow) -> Guard | None:
    check = row.check
    margin = margin_of(check)
    if not known(check.change) or not known(margin) or margin == 0:
        return None
    unit = abs(margin) * (-1 if check.sense == "at_most" else 1)
    ends = [value / unit for value in (check.change_low, check.change_high) if known(value)]
    low, high = (min(ends), max(ends)) if len(ends) == 2 else (None, None)
    return Guard(row, check.change / unit, low, high, check.sense == "within")


def is_left_out(row: CheckRow) -> bool:
    """Whether a check was not measured and counts for nothing."""
    return row.outcome == "unmeasured" and not row.check.required


def measured_checks(rows: Iterable[CheckRow], group: str) -> list[CheckRow]:
    """The checks of a group that belong in its table: all but those left out."""
    return [row for row in rows if row.check.group == group and not is_left_out(row)]


def left_out(rows: Iterable[CheckRow]) -> list[tuple[str, list[CheckRow]]]:
    """The checks left out, by the reason that they share."""
    table: dict[str, list[CheckRow]] = {}
    for row in filter(is_left_out, rows):
        table.setdefault(row.check.reason, []).append(row)
    return list(table.items())
