"""Before and after: every pre-registered criterion on paired readings, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from chunfen.measure.criterion import Criterion, beyond, holds
from chunfen.measure.log import AuditLog, Check, ProbeLog, Verdict
from chunfen.measure.metrics import function
from chunfen.measure.pairing import check_same_questions, paired_tables
from chunfen.measure.resampling import Distribution
from chunfen.measure.results import result
from chunfen.measure.statistics import CHANGES, Interval, holm, interval_of, mcnemar_exact, paired_bootstrap
from chunfen.measure.types import Metric, Result, Table


class Pair(NamedTuple):
    """The same probes before and after."""

    before: list[ProbeLog]
    after: list[ProbeLog]

    @property
    def name(self) -> str:
        return "+".join(p.probe for p in self.before)

    def hindrance(self) -> str:
        """Why a change cannot be measured, or ""."""
        for when, logs in (("before", self.before), ("after", self.after)):
            if reason := next(filter(None, map(_hindrance, logs)), ""):
                return f"{when}: {reason}"
        return ""

    def lost(self) -> bool:
        """Whether it could be measured before and cannot any more: the repair's doing, not the model's."""
        return not any(map(_hindrance, self.before)) and any(map(_hindrance, self.after))


def _hindrance(log: ProbeLog) -> str:
    """Why a probe tells nothing, or ""."""
    reason = next((r.reason for r in log.results if not r.measurable), "")
    return reason or ("" if log.readings else f"{log.probe} has no readings")


def compare(
    before: AuditLog,
    after: AuditLog,
    criteria: Sequence[Criterion],
    *,
    axis: str | None = None,
    resamples: int | None = None,
    facts: Mapping[str, float] | None = None,
) -> Verdict:
    """Judge a repair by every criterion, on the same questions before and after.

    axis: the repaired axis (default: that of the first endpoint probe). resamples: as in `before` if not
    given. facts: numbers for the criteria that are about no probe, by criterion id, e.g. {"C.time": 310.0}.
    A check that cannot be measured has passed None and a reason, and never counts as passed. It is excused
    (not required) where the model could not do the task before the repair either; of a criterion that is
    required always, one language at least has to be measured.
    Raises `PairingError` where the logs did not ask the same.
    """
    check_same_questions(before, after)
    axis = axis or next((p.axis for p in before.probes if p.role == "endpoint"), "")
    count = resamples or int(before.settings.get("resamples", 2000))
    checks: list[Check] = []
    for criterion in criteria:
        if not criterion.endpoints:
            if facts and criterion.id in facts:
                checks.append(_fact(criterion, facts[criterion.id]))
            continue
        for endpoints in [criterion.endpoints] if criterion.pool else [(e,) for e in criterion.endpoints]:
            pairs = _pairs(before, after, endpoints, axis if criterion.group == "target" else None)
            found = [_check(criterion, pair, count, before.seed) for pair in pairs]
            checks += _excused(criterion, found, pairs) if found else [_not_asked(criterion, endpoints)]
    return Verdict(
        checks=tuple(_adjusted(checks, criteria)),
        quick=before.quick,
        seed=before.seed,
        notes=_notes(before),
    )


def _pairs(before: AuditLog, after: AuditLog, endpoints: Iterable[str], axis: str | None) -> list[Pair]:
    """The probes of some endpoints, together per axis and language."""
    groups: dict[tuple[str, str], list[ProbeLog]] = {}
    for log in before.probes:
        if log.endpoint in endpoints and axis in (None, log.axis):
            groups.setdefault((log.axis, log.language), []).append(log)
    again = {log.probe: log for log in after.probes}
    return [Pair(logs, [again[log.probe] for log in logs]) for logs in groups.values()]


def _check(criterion: Criterion, pair: Pair, resamples: int, seed: int) -> Check:
    """One criterion on one pair of probes."""
    base = _blank(criterion, f"{pair.name}/{criterion.metric}")
    if reason := pair.hindrance():
        return base.model_copy(update={"reason": reason})
    tables = paired_tables(pair.before, pair.after)
    results = [
        _score(criterion, logs, table, resamples, seed)
        for logs, table in zip((pair.before, pair.after), tables, strict=True)
    ]
    base = base.model_copy(update={"before": results[0], "after": results[1]})
    if reason := _undefined(criterion, *results):
        return base.model_copy(update={"reason": reason})
    found = paired_bootstrap(*tables, function(criterion.function_name), CHANGES[criterion.change], resamples, seed)
    return _judged(criterion, base, found, tables)


def _blank(criterion: Criterion, metric: str) -> Check:
    """A check that has not been measured."""
    return Check(
        id=criterion.id,
        group=criterion.group,
        metric=metric,
        unit=criterion.unit,
        sense=criterion.sense,
        floor=criterion.floor,
        interval_floor=criterion.interval_floor,
        aim=criterion.aim,
        required=criterion.required != "never",
    )


def _score(criterion: Criterion, logs: list[ProbeLog], table: Table, resamples: int, seed: int) -> Result:
    """The score on one side: as it was logged, or computed where the probe did not."""
    logged = logs[0].result(criterion.metric) if len(logs) == 1 else None
    metric = Metric(criterion.metric, function(criterion.function_name), criterion.metric_unit, ideal=None)
    return logged or result(table, metric, resamples=resamples, seed=seed)


def _undefined(criterion: Criterion, before: Result, after: Result) -> str:
    """Why the change has no value, or ""."""
    for when, score in (("before", before), ("after", after)):
        if score.estimate is None:
            return f"{when}: {score.reason}"
    if criterion.needs_bias and before.low is not None and before.high is not None and before.low <= 0 <= before.high:
        return "before the repair the score could not be told from 0, so there is nothing to reduce"
    return ""


def _judged(criterion: Criterion, base: Check, found: Distribution, tables: tuple[Table, Table]) -> Check:
    """Fill in the change, and whether it meets floor and aim."""
    change = Interval(*(None if v is None else v * criterion.scale for v in interval_of(found)))
    floor = criterion.floor_given(base.before.estimate if base.before else None)
    passed = holds(criterion, change, floor)
    reason = ""
    if passed is None:
        reason = "reported; no floor is set" if floor is None else "too few items and templates for an interval"
    elif passed and criterion.group == "guard" and change.low == change.high:
        items = len(tables[0].items)
        unseen = f"a change in fewer than {3 / items:.1%} of cases would go unseen (rule of three)"
        reason = f"no score changed; with {items} items {unseen}"
    aim_met = None
    if criterion.aim is not None and change.estimate is not None:
        aim_met = beyond(change.estimate, criterion.aim, criterion.sense)
    p_value = None
    if criterion.mcnemar:
        p_value = _flips(*tables)
    elif criterion.primary:
        p_value = found.p_value(0.0)
    return base.model_copy(
        update={
            "change": change.estimate,
            "change_low": change.low,
            "change_high": change.high,
            "floor": floor,
            "passed": passed,
            "aim_met": aim_met,
            "p_value": p_value,
            "reason": reason,
        }
    )


def _flips(before: Table, after: Table) -> float:
    """Exact McNemar p-value over the rows that were read both times."""
    both = ~np.isnan(before.value) & ~np.isnan(after.value)
    right, still = before.value[both] > 0, after.value[both] > 0
    return mcnemar_exact(int(np.sum(right & ~still)), int(np.sum(~right & still)))


def _excused(criterion: Criterion, checks: list[Check], pairs: list[Pair]) -> list[Check]:
    """The checks, those not required that no repair could have been measured on."""
    measured = any(c.change is not None for c in checks)
    if criterion.required == "always" and not measured:
        return checks
    return [
        check.model_copy(update={"required": False})
        if check.change is None and not pair.lost() and not _unread_after(check)
        else check
        for check, pair in zip(checks, pairs, strict=True)
    ]


def _unread_after(check: Check) -> bool:
    """Whether there was a score before and none after."""
    scores = (check.before, check.after)
    return [s is not None and s.estimate is not None for s in scores] == [True, False]


def _not_asked(criterion: Criterion, endpoints: Sequence[str]) -> Check:
    """For a criterion whose probes are in no log."""
    blank = _blank(criterion, f"{'+'.join(endpoints)}/{criterion.metric}")
    required = criterion.required == "always"
    return blank.model_copy(update={"required": required, "reason": "not asked: no such probe in the audits"})


def _fact(criterion: Criterion, value: float) -> Check:
    """A check on a number that was handed in."""
    passed = holds(criterion, Interval(value, value, value), criterion.floor)
    aim_met = None if criterion.aim is None else beyond(value, criterion.aim, criterion.sense)
    blank = _blank(criterion, criterion.metric or criterion.id)
    return blank.model_copy(update={"change": value, "passed": passed, "aim_met": aim_met})


def _adjusted(checks: list[Check], criteria: Sequence[Criterion]) -> list[Check]:
    """Holm's adjustment over the measured primary endpoints."""
    primary = {c.id for c in criteria if c.primary}
    where = [n for n, check in enumerate(checks) if check.id in primary and check.p_value is not None]
    for n, p in zip(where, holm([checks[n].p_value or 0.0 for n in where]), strict=True):
        checks[n] = checks[n].model_copy(update={"p_value": p})
    return checks


def _notes(before: AuditLog) -> tuple[str, ...]:
    """What could not be measured, once each."""
    reasons = (r.reason for p in before.probes for r in p.results[:1] if not r.measurable)
    return tuple(dict.fromkeys(reasons))
