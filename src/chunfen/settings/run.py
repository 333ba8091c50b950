"""Where a run is written and how it is repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from chunfen.settings.base import Settings


class CommonSettings(Settings):
    """How a command behaves, whatever it does."""

    lang: Literal["auto", "en", "zh"] = "auto"
    """Language of messages and reports; auto: from the locale."""
    dry_run: bool = False
    """Print the resolved settings, where each came from, and the plan; then stop."""


class RunSettings(CommonSettings):
    """The run folder, its seed, and how the command behaves."""

    seed: int = 42
    """Seed of everything random: sampling, order of rows, initial weights, resampling."""
    output_dir: Path = Path("runs")
    """Folder that holds the run folders."""
    name: str | None = None
    """Name of the run folder; none: <time>-<verb>-<model>."""
    resume: bool = False
    """Continue the newest unfinished run with the same settings instead of starting a new one."""
    external_plugins: tuple[Path, ...] = ()
    """Python files of yours to run first: what they register (data sets, rewards, stages) can then be named."""
