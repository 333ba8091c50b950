"""The audit log and the verdict: typed, versioned documents. Report, gate and model card read only these."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from chunfen.measure.types import Reading, Result, Role, Split
from chunfen.runs.files import write_text


class Document(BaseModel):
    """A frozen JSON document with a format number, written whole or not at all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def save(self, path: Path) -> Path:
        """Write whole or not at all, so that a half-written document is never seen."""
        return write_text(path, self.model_dump_json())

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls.model_validate_json(path.read_bytes())


class ProbeLog(Document):
    """What one probe measured: its identity, every reading, its results (the primary metric first)."""

    probe: str
    version: str
    """Hash of the probe's data, so that two logs can be known to have asked the same."""
    axis: str
    """The topic: gender, age, … or "general" for guards."""
    endpoint: str
    language: str
    role: Role
    groups: tuple[str, str] = ("", "")
    """Names of the positive and the negative group of a signed score, e.g. ("female", "male")."""
    results: tuple[Result, ...]
    readings: tuple[Reading, ...]

    def result(self, metric: str) -> Result | None:
        return next((r for r in self.results if r.metric == metric), None)


class AuditLog(Document):
    """One measurement of one target, complete: what was asked, how, and everything that came back."""

    format: Literal[1] = 1
    target: str
    """Name of what was measured, e.g. "smollm2-135m-instruct" or "smollm2-135m-instruct + adapter"."""
    fingerprint: str
    split: Split
    seed: int
    settings: dict[str, Any]
    versions: dict[str, str]
    started: str
    seconds: float
    quick: bool = False
    probes: tuple[ProbeLog, ...]

    def probe(self, name: str) -> ProbeLog | None:
        return next((p for p in self.probes if p.probe == name), None)


class Check(Document):
    """One line of a verdict: a claim, its numbers, and whether it holds.

    id: a stable name, e.g. "P1.slope". metric: "<probe>/<metric>".
    before, after: the two results; change: the statistic that is judged, with its 95 % interval, in `unit`.
    floor, aim: pre-registered limits in the same unit; sense: whether the change must be at least or at most
    them, or within ± them.
    judged: "estimate" (and `interval_floor` for the interval's near end) or "interval" (non-inferiority).
    passed: None where it could not be measured; reason says why. Never counted as passed.
    """

    id: str
    group: Literal["target", "guard", "cost"]
    metric: str
    before: Result | None = None
    after: Result | None = None
    change: float | None = None
    change_low: float | None = None
    change_high: float | None = None
    unit: str = ""
    sense: Literal["at_least", "at_most", "within"] = "at_least"
    floor: float | None = None
    interval_floor: float | None = None
    aim: float | None = None
    required: bool = True
    """False: reported, but no part of pass or miss."""
    passed: bool | None = None
    aim_met: bool | None = None
    p_value: float | None = None
    """Two-sided, Holm-adjusted over the primary endpoints where these are compared."""
    reason: str = ""


class Verdict(Document):
    """Whether a repair has been shown: every pre-registered check, and the sum of them."""

    format: Literal[1] = 1
    checks: tuple[Check, ...]
    quick: bool = False
    seed: int = 42
    notes: tuple[str, ...] = Field(default=())

    @property
    def passed(self) -> bool:
        """True only if every required check was measured and holds."""
        needed = [c for c in self.checks if c.required]
        return bool(needed) and all(c.passed for c in needed)
