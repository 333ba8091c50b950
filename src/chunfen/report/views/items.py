"""The leaning of each item, and of each template: means of readings before and after."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from chunfen.measure.log import ProbeLog
from chunfen.measure.types import Reading, Result
from chunfen.report.numbers import known
from chunfen.report.views.answers import UNREAD
from chunfen.report.views.fit import Fit, fit_line


@dataclass(frozen=True, slots=True)
class Leaning:
    """One item: x is its covariate, before and after are means over templates (None: nothing read)."""

    item: str
    x: float
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class Line:
    """The occupation line of one probe: every item's leaning, and the two fitted lines."""

    probe: str
    endpoint: str
    language: str
    groups: tuple[str, str]
    items: tuple[Leaning, ...]
    before: Fit | None
    after: Fit | None
    slopes: tuple[float | None, float | None]
    """As they stand in the log: estimated over all readings, not over the item means that are drawn."""
    repaired: bool


@dataclass(frozen=True, slots=True)
class Spread:
    """A score over its templates: overall, and each template's own as (template, before, after)."""

    probe: str
    endpoint: str
    language: str
    metric: str
    unit: str
    before: Result | None
    after: Result | None
    templates: tuple[tuple[str, float | None, float | None], ...]


def means(readings: Iterable[Reading], key: Callable[[Reading], str]) -> dict[str, float]:
    """Mean value by key, over the readings that have a value."""
    values: dict[str, list[float]] = defaultdict(list)
    for reading in readings:
        if known(reading.value):
            values[key(reading)].append(reading.value)
    return {name: sum(each) / len(each) for name, each in values.items()}


def line_of(before: ProbeLog, after: ProbeLog | None) -> Line | None:
    """The line of a probe whose items have a covariate; None where there is nothing to draw."""
    positions = {r.item: r.x for log in (before, after) if log for r in log.readings if known(r.x)}
    first = means(before.readings, lambda r: r.item)
    last = means(after.readings, lambda r: r.item) if after else {}
    items = tuple(
        Leaning(item, x, first.get(item), last.get(item))
        for item, x in sorted(positions.items(), key=lambda pair: (pair[1], pair[0]))
        if item in first or item in last
    )
    if not items:
        return None
    fits = [fit_line([(i.x, y) for i in items if (y := getattr(i, when)) is not None]) for when in ("before", "after")]
    source = (before.probe, before.endpoint, before.language, before.groups)
    slopes = (_slope(before), _slope(after))
    return Line(*source, items, fits[0], fits[1], slopes, after is not None)


def _slope(log: ProbeLog | None) -> float | None:
    result = log.result("slope") if log else None
    return result.estimate if result else None


def spread_of(before: ProbeLog, after: ProbeLog | None) -> Spread | None:
    """How far the primary score of a probe depends on the template; None without several templates."""
    first = before.results[0] if before.results else None
    if first is None or first.worst is None:
        return None
    last = after.result(first.metric) if after else None
    score = picking if any(r.label for r in before.readings) and first.metric != "slope" else steepness
    early = score(before)
    late = score(after) if after else {}
    each = tuple((name, early.get(name), late.get(name)) for name in sorted({*early, *late}))
    return Spread(before.probe, before.endpoint, before.language, first.metric, first.unit, first, last, each)


def steepness(log: ProbeLog) -> dict[str, float]:
    """The slope on x of each template alone."""
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for reading in log.readings:
        if known(reading.x) and known(reading.value):
            points[reading.template].append((reading.x, reading.value))
    return {name: line.slope for name, each in points.items() if (line := fit_line(each))}


def picking(log: ProbeLog) -> dict[str, float]:
    """The share of each template's readable replies that name one group."""
    named: dict[str, list[bool]] = defaultdict(list)
    for reading in log.readings:
        if reading.label not in UNREAD:
            named[reading.template].append(reading.label in log.groups)
    return {name: sum(each) / len(each) for name, each in named.items()}
