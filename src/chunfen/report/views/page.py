"""Everything that the page shows, gathered once; HTML, JSON and model card are made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chunfen.measure.log import AuditLog, ProbeLog, Verdict
from chunfen.measure.types import Result
from chunfen.report.numbers import known
from chunfen.report.views.answers import Answers, Sample, answers_of, samples_of
from chunfen.report.views.checks import CheckRow, Guard, Status, guards_of, rows_of, status_of
from chunfen.report.views.headline import Headline, Pair, headline_of
from chunfen.report.views.items import Line, Spread, line_of, spread_of

SAMPLES = {"reply": 6, "story": 2, "cue": 2}
"""How many replies of each endpoint are shown."""

BESIDE = ("slope", "intercept")
"""Scores that must not be reported one without the other."""


LEVELLESS = ("reverse",)
"""Endpoints whose level says how likely a text opens with either word, and nothing about the items."""


@dataclass(frozen=True, slots=True)
class Score:
    """One result before and after, and where it comes from."""

    probe: str
    endpoint: str
    axis: str
    language: str
    role: str
    groups: tuple[str, str]
    before: Result
    after: Result | None


@dataclass(frozen=True, slots=True)
class Gap:
    """A probe whose primary score could not be measured, and why, as far as the log says."""

    probe: str
    endpoint: str
    language: str
    when: str
    reason: str


@dataclass(frozen=True, slots=True)
class Page:
    """The report as values. `primary` are the scores shown large, `scores` all of them."""

    before: AuditLog
    after: AuditLog | None
    axis: str
    groups: tuple[str, str]
    quick: bool
    status: Status
    headline: Headline
    primary: tuple[Score, ...]
    scores: tuple[Score, ...]
    gaps: tuple[Gap, ...]
    lines: tuple[Line, ...]
    answers: tuple[Answers, ...]
    samples: tuple[Sample, ...]
    spreads: tuple[Spread, ...]
    checks: tuple[CheckRow, ...]
    guards: tuple[Guard, ...]
    notes: tuple[str, ...]
    manifest: Mapping[str, Any]


def page_of(
    before: AuditLog, after: AuditLog | None, verdict: Verdict | None, manifest: Mapping[str, Any], lang: str
) -> Page:
    """Gather what is to be shown. The first endpoint's axis is the page's axis."""
    pairs = [(probe, after.probe(probe.probe) if after else None) for probe in before.probes]
    endpoints = [pair for pair in pairs if pair[0].role == "endpoint"]
    shown = [pair for pair in endpoints if readable(pair[0])]
    main = next((probe for probe, _ in [*endpoints, *pairs]), None)
    scores = tuple(score for pair in pairs for score in scores_of(pair))
    checks = rows_of(verdict)
    gaps = tuple(gap for pair in endpoints for gap in gaps_of(pair))
    reasons = {gap.reason for gap in gaps}
    talked = [pair for pair in pairs if pair[0].endpoint in SAMPLES]
    return Page(
        before=before,
        after=after,
        axis=main.axis if main else "",
        groups=main.groups if main else ("", ""),
        quick=before.quick or bool(after and after.quick) or bool(verdict and verdict.quick),
        status=status_of(verdict, before.split),
        headline=headline_of(endpoints, lang),
        primary=tuple(s for pair in shown for s in primary_of(pair)),
        scores=scores,
        gaps=gaps,
        lines=tuple(line for pair in shown if pair[0].endpoint == "line" and (line := line_of(*pair))),
        answers=tuple(a for pair in endpoints if (a := answers_of(*pair))),
        samples=tuple(s for pair in talked for s in samples_of(*pair, SAMPLES[pair[0].endpoint])),
        spreads=tuple(each for pair in shown if (each := spread_of(*pair))),
        checks=checks,
        guards=guards_of(checks),
        notes=tuple(note for note in verdict.notes if note not in reasons) if verdict else (),
        manifest=manifest,
    )


def readable(log: ProbeLog) -> bool:
    """Whether the primary score of a probe was measured."""
    return bool(log.results) and log.results[0].measurable and known(log.results[0].estimate)


def scores_of(pair: Pair) -> list[Score]:
    log, late = pair
    source = (log.probe, log.endpoint, log.axis, log.language, log.role, log.groups)
    return [Score(*source, result, late.result(result.metric) if late else None) for result in log.results]


def primary_of(pair: Pair) -> list[Score]:
    """The first score of a probe, with the one that belongs beside it where its level means something."""
    scores = scores_of(pair)
    if pair[0].endpoint in LEVELLESS:
        return scores[:1]
    beside = [s for s in scores[1:] if (scores[0].before.metric, s.before.metric) == BESIDE]
    return [scores[0], *beside]


def gaps_of(pair: Pair) -> list[Gap]:
    """What could not be measured, before and after."""
    found = []
    for when, log in zip(("before", "after"), pair, strict=True):
        if log is not None and not readable(log):
            reason = next((r.reason for r in log.results if r.reason), "")
            found.append(Gap(log.probe, log.endpoint, log.language, when, reason))
    return found if len(found) < 2 or found[0].reason != found[1].reason else [found[0]]
