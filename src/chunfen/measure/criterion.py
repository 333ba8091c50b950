"""One pre-registered claim about a repair, as data, and whether a change meets it. Pure."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from chunfen.measure.statistics import CHANGES, Interval
from chunfen.registry import did_you_mean

Sense = Literal["at_least", "at_most", "within"]


class Criterion(BaseModel):
    """What has to change, by how much, and on what it is judged.

    A criterion without endpoints is about a number that is handed in (seconds, bytes).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: str
    """A stable name, e.g. "P1.slope"."""
    about: str = ""
    """The claim in words, and why it is measured this way."""
    group: Literal["target", "guard", "cost"]
    """target: on the repaired axis only. guard: on every probe of the endpoints, of whatever axis."""
    endpoints: tuple[str, ...] = ()
    """Endpoints it is about, each on its own."""
    pool: bool = False
    """Put the endpoints together into one score instead."""
    metric: str = ""
    """The score's name in the log."""
    function: str = ""
    """The score's name in `measure.metrics`; empty: the same."""
    metric_unit: str = "share"
    """The score's unit."""
    change: str = "difference"
    """How before and after are compared: a name in `measure.statistics.CHANGES`."""
    unit: str = "share"
    """Unit of the change. Points of a share are shown times 100."""
    sense: Sense = "at_least"
    """On which side of the limits the change must lie; within: between −limit and +limit."""
    judged: Literal["estimate", "interval"] = "estimate"
    """Held against the floor: the estimate, or the near end of the 95 % interval (non-inferiority)."""
    floor: float | None = None
    """The least that counts as met; none: reported only."""
    interval_floor: float | None = None
    """A second, weaker floor for the near end of the interval."""
    floor_times_before: float | None = None
    """The floor is widened to this many times |before|, where that is more."""
    aim: float | None = None
    """Where it is meant to go; held against the estimate."""
    needs_bias: bool = False
    """Undefined unless the score differed from 0 before: a share of nothing."""
    primary: bool = False
    """One of the primary endpoints, whose p-values are adjusted together (Holm)."""
    mcnemar: bool = False
    """Give the exact McNemar p-value of the flips between right and wrong."""
    required: Literal["always", "if_measurable", "never"] = "if_measurable"
    """Part of the verdict: always; where the model and the probes allow it; or reported only."""

    @model_validator(mode="after")
    def _change_exists(self) -> Criterion:
        if self.change not in CHANGES:
            raise ValueError(f"change: unknown {self.change!r}.{did_you_mean(self.change, CHANGES)}")
        return self

    @property
    def function_name(self) -> str:
        return self.function or self.metric

    @property
    def scale(self) -> float:
        return 100.0 if self.unit == "points" and self.metric_unit == "share" else 1.0

    def floor_given(self, before: float | None) -> float | None:
        """The floor, for what was found before."""
        if self.floor is None or self.floor_times_before is None or before is None:
            return self.floor
        return max(self.floor, self.floor_times_before * abs(before))


def beyond(value: float, limit: float, sense: Sense) -> bool:
    """Whether a value is on the right side of a limit (or on it).

    >>> beyond(-0.85, -0.8, "at_most"), beyond(-1.2, 1.0, "within")
    (True, False)
    """
    slack = 1e-12
    if sense == "within":
        return abs(value) <= limit + slack
    return value >= limit - slack if sense == "at_least" else value <= limit + slack


def near_end(interval: Interval, sense: Sense) -> float | None:
    """The end of the interval that lies on the wrong side: the one that a careful reader would take.

    >>> near_end(Interval(-0.85, -0.92, -0.75), "at_most")
    -0.75
    """
    if interval.low is None or interval.high is None:
        return None
    if sense == "within":
        return max(interval.low, interval.high, key=abs)
    return interval.low if sense == "at_least" else interval.high


def holds(criterion: Criterion, change: Interval, floor: float | None) -> bool | None:
    """Whether the change meets the floors; None where it has no value, no interval or no floor to meet."""
    near = near_end(change, criterion.sense)
    if floor is None or change.estimate is None or near is None:
        return None
    value = near if criterion.judged == "interval" else change.estimate
    enough = beyond(value, floor, criterion.sense)
    if criterion.interval_floor is not None:
        enough = enough and beyond(near, criterion.interval_floor, criterion.sense)
    return enough
