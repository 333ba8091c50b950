"""Measuring: ask every probe's cases through an engine, read the replies, score them, gate by competence."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chunfen.engines.base import Engine
from chunfen.measure.cache import ReadingsCache, content_hash
from chunfen.measure.log import AuditLog, ProbeLog
from chunfen.measure.results import results, unmeasured
from chunfen.measure.types import Case, Probe, Reading, Split
from chunfen.runs.machine import versions

Progress = Callable[[str, int, int], None]
"""(name of the probe, cases answered, cases in all)."""

CHANCE = 0.5
"""Competence items offer two texts; the interval's low end has to lie above this."""
COMPETENT = 0.8
"""And the estimate has to reach this: the items are plain, and whoever speaks the language gets nearly all."""
_AT_ONCE = 512
"""Requests handed to the engine at a time: enough for full batches, few enough for progress to be seen."""


def measure(
    engine: Engine,
    probes: Sequence[Probe],
    *,
    split: Split = "test",
    seed: int = 42,
    resamples: int = 2000,
    limit: int | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
    target: str = "",
    settings: Mapping[str, Any] | None = None,
    quick: bool = False,
) -> AuditLog:
    """Measure a model with some probes.

    Competence probes come first. In a language in which one falls short (`CHANCE`, `COMPETENT`), no result is
    measurable, and nothing else is asked.

    seed: of sampled replies and of resampling. limit: at most so many items per probe, always the same ones;
    competence is never limited. cache: a folder that keeps the readings of each finished probe, so that a
    killed measurement goes on there. target: a name for what is measured (default: the engine's). settings:
    how this measurement was asked for, kept in the log as it is.
    Raises `RunError` where `cache` cannot be written; what the engine raises passes through.
    """
    began, started = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    fingerprint = engine.fingerprint()
    kept = ReadingsCache(cache, fingerprint)
    gates: dict[str, str] = {}
    logs: dict[str, ProbeLog] = {}
    for probe in sorted(probes, key=lambda p: p.role != "competence"):
        cases = _cases(probe, split, seed, None if probe.role == "competence" else limit)
        gate = "" if probe.role == "competence" else gates.get(probe.language, "")
        log = _measure_probe(engine, probe, cases, gate, kept, progress, resamples, seed)
        logs[probe.name] = log
        if probe.role == "competence" and not _competent(log):
            gates.setdefault(probe.language, _why_not(log))
    return AuditLog(
        target=target or engine.name,
        fingerprint=fingerprint,
        split=split,
        seed=seed,
        settings={**(settings or {}), "resamples": resamples, "limit": limit},
        versions=versions(),
        started=started,
        seconds=round(time.perf_counter() - began, 3),
        quick=quick,
        probes=tuple(logs[probe.name] for probe in probes),
    )


def _cases(probe: Probe, split: Split, seed: int, limit: int | None) -> list[Case]:
    """What to ask: the probe's cases, of a limited number of items, sampling with the measurement's seed."""
    return [_seeded(case, seed) for case in limit_items(probe.cases(split), limit)]


def limit_items(cases: list[Case], limit: int | None) -> list[Case]:
    """Only the cases of `limit` items, spread evenly over the covariate (then the name).

    >>> from chunfen.engines.base import Request
    >>> cases = [Case(Request(""), item, "t", x=x) for item, x in zip("abcde", (0.9, 0.1, 0.5, 0.3, 0.7))]
    >>> [case.item for case in limit_items(cases, 3)]
    ['a', 'b', 'c']
    """
    items = sorted({(-1.0 if c.x is None else c.x, c.item) for c in cases})
    if limit is None or limit >= len(items):
        return cases
    step = (len(items) - 1) / max(limit - 1, 1)
    chosen = {items[round(n * step)] for n in range(limit)}
    return [c for c in cases if (-1.0 if c.x is None else c.x, c.item) in chosen]


def _seeded(case: Case, seed: int) -> Case:
    request = case.request
    if request.sampling is None:
        return case
    return replace(case, request=replace(request, sampling=replace(request.sampling, seed=seed)))


def _measure_probe(
    engine: Engine,
    probe: Probe,
    cases: list[Case],
    gate: str,
    kept: ReadingsCache,
    progress: Progress | None,
    resamples: int,
    seed: int,
) -> ProbeLog:
    """Readings and results of one probe. gate: why it cannot be measured, "" where it can."""
    readings: tuple[Reading, ...]
    content = content_hash(cases)
    if gate:
        readings, found = (), unmeasured(probe.metrics(), gate)
    else:
        readings = kept.get(probe.name, content) or _ask(engine, probe, cases, progress)
        kept.put(probe.name, content, readings)
        if progress:
            progress(probe.name, len(cases), len(cases))
        found = results(readings, probe.metrics(), resamples=resamples, seed=seed)
    return ProbeLog(
        probe=probe.name,
        version=content,
        axis=probe.name.partition(".")[0],
        endpoint=probe.endpoint,
        language=probe.language,
        role=probe.role,
        groups=probe.groups,
        results=found,
        readings=readings,
    )


def _ask(engine: Engine, probe: Probe, cases: list[Case], progress: Progress | None) -> tuple[Reading, ...]:
    """Put the cases to the engine, some at a time, and read the replies."""
    answer = engine.generate if probe.kind == "generate" else engine.loglikelihood
    readings: list[Reading] = []
    if progress:
        progress(probe.name, 0, len(cases))
    for start in range(0, len(cases), _AT_ONCE):
        some = cases[start : start + _AT_ONCE]
        replies = answer([case.request for case in some])
        for case, reply in zip(some, replies, strict=True):
            readings += probe.read(case, reply)
        if progress and start + len(some) < len(cases):
            progress(probe.name, start + len(some), len(cases))
    return tuple(readings)


def _competent(log: ProbeLog) -> bool:
    """Whether the accuracy (the first score) is above chance with its interval, and high enough."""
    accuracy = log.results[0]
    if accuracy.estimate is None or accuracy.low is None:
        return False
    return accuracy.low > CHANCE and accuracy.estimate >= COMPETENT


def _why_not(log: ProbeLog) -> str:
    accuracy = log.results[0]
    if accuracy.estimate is None or accuracy.low is None:
        return f"not measurable: {log.probe} could not be read"
    share = f"{accuracy.estimate:.0%} right, interval from {accuracy.low:.0%}"
    return f"not measurable: on {log.probe} the model is near chance ({share}; {COMPETENT:.0%} are needed)"
