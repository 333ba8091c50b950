"""The nouns of measuring: a probe turns items into cases, a case is asked, a reply read, readings scored.

Probe.cases(split) → Case(request) → engine → Reply → Probe.read → Reading → Probe.results → Result
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from chunfen.engines.base import Reply, Request

Split = Literal["train", "dev", "test"]
"""train: repairs may learn from it. dev: choices are made on it. test: only verdicts are given on it."""

Role = Literal["endpoint", "guard", "competence"]
"""endpoint: a bias. guard: what a repair must leave alone. competence: whether an endpoint is measurable."""


@dataclass(frozen=True, slots=True)
class Case:
    """One request and its coordinates: which item, in which template, in which variant (order, sample, …).

    x: the item's covariate (for occupations the share of women, 0…1), if it has one.
    facts: what the probe's own reader needs to know again when the reply comes.
    """

    request: Request
    item: str
    template: str
    variant: str = ""
    x: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """One number or one class, read off one reply (one sample of it).

    value: in the unit of its probe (nats, share, points); None: there was nothing to read.
    label: the class of a generated reply, else "".
    prompt, text: the last user turn and the reply, for people to look at.
    """

    item: str
    template: str
    variant: str = ""
    x: float | None = None
    value: float | None = None
    label: str = ""
    prompt: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """One score with its error bars.

    metric: a name from the probe's `metrics`. estimate is None where nothing could be measured: never 0.
    low, high: bounds of the 95 % interval, two-way cluster bootstrap over items × templates.
    coverage: share of cases that could be read. measurable: False where the competence items say that the
    model cannot do what the endpoint supposes (`reason` says which).
    worst: the template farthest from the ideal, as (template id, its estimate). spread: standard deviation of
    the estimate over templates.
    """

    metric: str
    estimate: float | None
    low: float | None
    high: float | None
    unit: str
    cases: int
    items: int
    templates: int
    coverage: float
    measurable: bool = True
    reason: str = ""
    worst: tuple[str, float] | None = None
    spread: float | None = None


class Probe(Protocol):
    """A measuring instrument. The same object serves audit, repair data and guard."""

    name: str
    """Unique, "<axis>.<endpoint>.<language>": "gender.line.en", or "general.…" where there is no axis."""
    endpoint: str
    """The endpoint alone: line, reverse, choice, reply, story, …"""
    language: str
    role: Role
    kind: Literal["loglikelihood", "generate"]
    """Which of the engine's two verbs answers it."""
    groups: tuple[str, str]
    """Names of the positive and the negative group of a signed score; ("", "") for a probe without groups."""

    def cases(self, split: Split) -> list[Case]:
        """Everything to ask on one split."""
        ...

    def read(self, case: Case, reply: Reply) -> list[Reading]:
        """The readings of one reply; one per sample for generated text."""
        ...

    def metrics(self) -> Sequence[Metric]:
        """The scores that this probe computes from its readings, the primary one first."""
        ...


class MetricFunction(Protocol):
    """A statistic of a table under weights; vectorised over resamples. See `measure.statistics`."""

    def __call__(self, table: Table, weights: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Metric:
    """A named statistic.

    function: (table, weights [resamples, rows]) → values [resamples].
    unit: "nats", "share" (0…1) or "points" (0…100) or "ratio".
    ideal: the value of a model without the bias; None where there is none (an accuracy, a perplexity).
    """

    name: str
    function: MetricFunction
    unit: str
    ideal: float | None = 0.0


@dataclass(frozen=True)
class Table:
    """Readings as arrays, one row per reading, ready for statistics.

    value [rows] float, NaN where nothing was read; x [rows] float, NaN where the item has no covariate;
    item, template [rows] int: positions in items, templates; label [rows] str; variant [rows] str.
    """

    value: Any
    x: Any
    item: Any
    template: Any
    label: Any
    variant: Any
    items: tuple[str, ...]
    templates: tuple[str, ...]
