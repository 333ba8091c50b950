"""Readings → results: every score of a probe with its interval, its coverage and its worst template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from chunfen.measure.metrics import RANGES
from chunfen.measure.resampling import clusterings
from chunfen.measure.statistics import Interval, bootstrap, wilson
from chunfen.measure.table import is_read, to_table
from chunfen.measure.types import Metric, Reading, Result, Table


def results(
    readings: Sequence[Reading], metrics: Sequence[Metric], *, resamples: int = 2000, seed: int = 42
) -> tuple[Result, ...]:
    """One result per metric, in their order.

    >>> from chunfen.measure.metrics import mean_value
    >>> readings = [Reading(f"i{i}", f"t{t}", value=float(i + t)) for i in range(5) for t in range(4)]
    >>> found, = results(readings, [Metric("mean_value", mean_value, "nats")], resamples=200)
    >>> found.estimate, found.coverage, found.worst
    (3.5, 1.0, ('t3', 5.0))
    """
    table = to_table(readings)
    return tuple(result(table, metric, resamples=resamples, seed=seed) for metric in metrics)


def result(table: Table, metric: Metric, *, resamples: int, seed: int) -> Result:
    """One metric of a table. Nothing read gives estimate None and a reason, never 0."""
    interval = bounded(bootstrap(table, metric.function, resamples, seed), metric.name, table)
    worst, spread = _over_templates(table, metric)
    rows = len(table.value)
    return Result(
        metric=metric.name,
        estimate=interval.estimate,
        low=interval.low,
        high=interval.high,
        unit=metric.unit,
        cases=rows,
        items=len(table.items),
        templates=len(table.templates),
        coverage=float(is_read(table).mean()) if rows else 0.0,
        reason="" if interval.estimate is not None else "no measurement: nothing that it needs could be read",
        worst=worst,
        spread=spread,
    )


def bounded(interval: Interval, name: str, table: Table) -> Interval:
    """A count without exceptions gets Wilson's interval, one trial per item, not a width of 0.

    >>> table = to_table([Reading(f"i{n}", "t", value=1.0) for n in range(10)])
    >>> bounded(Interval(1.0, 1.0, 1.0), "accuracy", table).low.__round__(3)
    0.722
    """
    start, end = RANGES.get(name.partition(":")[0], (0.0, 0.0))
    estimate, low, high = interval
    if estimate is None or estimate not in (start, end) or low != high or start == end:
        return interval
    items = len(table.items)
    found = wilson((estimate - start) / (end - start) * items, items)
    return Interval(*(None if v is None else start + (end - start) * v for v in found))


def unmeasured(metrics: Sequence[Metric], reason: str) -> tuple[Result, ...]:
    """Results of a probe that was not asked."""
    return tuple(
        Result(m.name, None, None, None, m.unit, 0, 0, 0, coverage=0.0, measurable=False, reason=reason)
        for m in metrics
    )


def not_measurable(found: Sequence[Result], reason: str) -> tuple[Result, ...]:
    """The same results, marked as telling nothing about the model."""
    return tuple(replace(r, measurable=False, reason=reason) for r in found)


def _over_templates(table: Table, metric: Metric) -> tuple[tuple[str, float] | None, float | None]:
    """((template farthest from the ideal, its estimate), standard deviation over them), where crossed."""
    if len(clusterings(table)) < 2:
        return None, None
    only = (table.template == np.arange(len(table.templates))[:, None]).astype(float)
    per_template = metric.function(table, only)
    known = np.flatnonzero(np.isfinite(per_template))
    if len(known) < 2:
        return None, None
    spread = float(np.std(per_template[known], ddof=1))
    if metric.ideal is None:
        return None, spread
    farthest = int(known[np.argmax(np.abs(per_template[known] - metric.ideal))])
    return (table.templates[farthest], float(per_template[farthest])), spread
