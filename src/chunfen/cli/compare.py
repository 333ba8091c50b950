"""Two runs side by side."""

from __future__ import annotations

from collections.abc import Iterator

from chunfen.cli import logs
from chunfen.cli.show import interval, number
from chunfen.measure.types import Result
from chunfen.runs import Run


def compared(one: Run, other: Run) -> Iterator[tuple[str, str, str]]:
    """A row for each primary score that either run measured: (score, in one, in the other)."""
    for name in (logs.BEFORE, logs.AFTER):
        left, right = _scores(one, name), _scores(other, name)
        for score in dict.fromkeys([*left, *right]):
            yield (f"{name.removesuffix('.json')} {score}", _cell(left.get(score)), _cell(right.get(score)))


def _scores(run: Run, name: str) -> dict[str, Result]:
    log = logs.audit_log(run, name)
    return {f"{p.probe}/{p.results[0].metric}": p.results[0] for p in log.probes if p.results} if log else {}


def _cell(result: Result | None) -> str:
    return "–" if result is None else f"{number(result.estimate)} {interval(result)}".strip()
