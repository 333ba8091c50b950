"""Results as text for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from chunfen.cli.messages import message
from chunfen.cli.table import table
from chunfen.measure.log import AuditLog, Check, Verdict
from chunfen.measure.types import Result

PASSED = {True: "pass", False: "MISS", None: "not measured"}


def number(value: float | None) -> str:
    """Three significant figures; a dash where nothing was measured.

    >>> number(0.12345), number(None), number(123.4)
    ('0.123', '–', '123')
    """
    return "–" if value is None else f"{value:.3g}"


def interval(result: Result) -> str:
    """The 95 % interval, or nothing."""
    return "" if result.low is None else f"[{number(result.low)}, {number(result.high)}]"


def audit_text(log: AuditLog, lang: str = "auto") -> str:
    """The primary score of every probe, with its interval and coverage."""
    header = ("probe", "score", "estimate", "95 %", "unit", "coverage", "note")
    rows = ((p.probe, *_cells(p.results[0])) for p in log.probes if p.results)
    title = f"{log.target} · {log.split}"
    lines = [title, message("quick", lang)] if log.quick else [title]
    return "\n".join([*lines, table(header, rows)])


def _cells(result: Result) -> tuple[str, ...]:
    note = result.reason if result.measurable else f"not measurable: {result.reason}"
    coverage = f"{result.coverage:.0%}"
    return (result.metric, number(result.estimate), interval(result), result.unit, coverage, note)


def verdict_text(verdict: Verdict, lang: str = "auto") -> str:
    """Every check, and the sum of them."""
    header = ("check", "before", "after", "change", "floor", "aim", "")
    end = message("verdict.pass" if verdict.passed else "verdict.miss", lang)
    lines = [table(header, map(_check, verdict.checks)), end]
    return "\n".join([message("quick", lang), *lines] if verdict.quick else lines)


def _check(check: Check) -> tuple[str, ...]:
    before, after = (number(r.estimate if r else None) for r in (check.before, check.after))
    passed = PASSED[check.passed] if check.required else f"({PASSED[check.passed]})"
    return (check.id, before, after, number(check.change), number(check.floor), number(check.aim), passed)


def beyond(log: AuditLog, limit: float) -> Iterator[str]:
    """A line for each primary score of an endpoint whose whole interval is beyond ±limit."""
    for probe in log.probes:
        first = probe.results[0] if probe.role == "endpoint" and probe.results else None
        if first is None or not first.measurable or first.low is None or first.high is None:
            continue
        if first.low > limit or first.high < -limit:
            score = f"{first.metric} {number(first.estimate)} {interval(first)}"
            yield f"{probe.probe}: {score} lies beyond --fail_over {limit:g}"
