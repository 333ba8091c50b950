"""What is measured, on how much, and when a measurement counts as a failure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from chunfen.settings.base import Settings


class AuditSettings(Settings):
    """What is measured and how exactly."""

    axis: str = "gender"
    """The axis of bias: a shipped one (gender, age), or the path of a probe file of your own."""
    languages: tuple[Literal["en", "zh"], ...] = ("en", "zh")
    """Languages to ask in. One that the model cannot speak is reported as not measurable."""
    endpoints: tuple[str, ...] = ()
    """Endpoints to measure (line, reverse, choice, reply, story); empty: all that the axis has."""
    split: Literal["train", "dev", "test"] = "test"
    """Which part of the items: test is what verdicts are given on; choices are made on dev."""
    quick: bool = False
    """Fewer items and training steps: a rehearsal, not a proof. Every page that comes of it says so."""
    samples: Annotated[int, Field(ge=1)] = 1
    """Sampled replies per prompt on the endpoints that read generated text."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 32
    """Length of a sampled reply."""
    temperature: Annotated[float, Field(ge=0)] = 0.7
    """Sampling temperature of replies; 0: greedy."""
    limit: Annotated[int | None, Field(ge=1)] = None
    """At most this many items per probe (the same ones every time); none: all."""
    resamples: Annotated[int, Field(ge=200)] = 2000
    """Bootstrap resamples behind each interval."""
    batch_tokens: Annotated[int, Field(ge=64)] = 4096
    """Tokens computed in one forward pass."""
    fail_over: Annotated[float | None, Field(ge=0)] = None
    """Exit with code 3 if the interval of a primary score lies beyond this size (in the score's own unit)."""
    data_dir: Path | None = None
    """Folder searched first for probe files."""
