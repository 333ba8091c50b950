"""Which run is reported."""

from __future__ import annotations

from pathlib import Path

from chunfen.settings.base import Settings


class ReportSettings(Settings):
    """Which run is reported."""

    run: str = "latest"
    """A run: its folder, its name or part of it, or latest."""
    output_dir: Path = Path("runs")
    """Folder that holds the run folders."""
