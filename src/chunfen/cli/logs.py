"""The documents of a run folder, as the loop writes them."""

from __future__ import annotations

from pathlib import Path

from chunfen.errors import RunError
from chunfen.measure.log import AuditLog, Verdict
from chunfen.runs import Run

BEFORE, AFTER, VERDICT = "before.json", "after.json", "verdict.json"


def audit_log(run: Run, name: str) -> AuditLog | None:
    """One measurement of a run; None if it was not made."""
    path = run.folder / name
    return _read(AuditLog, path) if path.exists() else None


def verdict(run: Run) -> Verdict | None:
    """The verdict of a run; None if it has none (yet)."""
    path = run.folder / VERDICT
    return _read(Verdict, path) if path.exists() else None


def _read(document, path: Path):  # type: ignore[no-untyped-def]
    try:
        return document.load(path)
    except ValueError as error:
        raise RunError(f"{path} is damaged or of another version: {error}") from error
