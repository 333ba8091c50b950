"""Results as a table in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from chunfen.measure.log import AuditLog, Verdict
from chunfen.measure.types import Result


def number(value: float | None) -> str:
    """Three significant figures; a dash where nothing was measured.

    >>> number(0.12345), number(None), number(123.4)
    ('0.123', '–', '123')
    """
    return "–" if value is None else f"{value:.3g}"


def interval(result: Result) -> str:
    return "" if result.low is None else f"[{number(result.low)}, {number(result.high)}]"


def print_audit(log: AuditLog) -> None:
    """The primary score of every probe."""
    table = Table(title=f"{log.target} · {log.split}" + (" · quick" if log.quick else ""))
    for name in ("probe", "score", "", "95 %", "unit", "coverage", "note"):
        table.add_column(name)
    for probe in log.probes:
        for result in probe.results[:1]:
            cells = (result.metric, number(result.estimate), interval(result), result.unit)
            table.add_row(probe.probe, *cells, f"{result.coverage:.0%}", result.reason)
    Console().print(table)


def print_verdict(verdict: Verdict) -> None:
    """Every check, and the sum of them."""
    table = Table(title="quick: a rehearsal, no proof" if verdict.quick else None)
    for name in ("check", "before", "after", "change", "floor", "aim", ""):
        table.add_column(name)
    said = {True: "pass", False: "MISS", None: "not measured"}
    for check in verdict.checks:
        before, after = (number(r.estimate if r else None) for r in (check.before, check.after))
        limits = (number(check.change), number(check.floor), number(check.aim))
        passed = said[check.passed] if check.required else f"({said[check.passed]})"
        table.add_row(check.id, before, after, *limits, passed)
    console = Console()
    console.print(table)
    console.print("Verdict: " + ("pass" if verdict.passed else "miss"), highlight=False)


def beyond(log: AuditLog, limit: float) -> list[str]:
    """A line for each primary score whose whole interval lies further than `limit` from zero.

    A score that could not be measured is no pass either, and is named.
    """
    lines = []
    for probe in log.probes:
        if probe.role != "endpoint" or not probe.results:
            continue
        first = probe.results[0]
        if first.low is None or first.high is None or not first.measurable:
            continue
        if first.low > limit or first.high < -limit:
            score = f"{first.metric} {number(first.estimate)} {interval(first)}"
            lines.append(f"{probe.probe}: {score} lies beyond --fail_over {limit}")
    return lines
