"""Readings of finished probes, kept in a folder so that an interrupted measurement goes on where it was."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

from chunfen.errors import RunError
from chunfen.measure.log import Document
from chunfen.measure.types import Case, Reading
from chunfen.runs.machine import code_hash

_log = logging.getLogger(__name__)


class KeptReadings(Document):
    """What one probe read."""

    probe: str
    readings: tuple[Reading, ...]


def digest(*parts: object) -> str:
    """16 hexadecimal digits of the SHA-256 over the parts' representations.

    >>> digest("line", 1) == digest("line", 1), digest("line", 1) == digest("line", 2), len(digest())
    (True, False, 16)
    """
    return hashlib.sha256("\x1f".join(repr(part) for part in parts).encode()).hexdigest()[:16]


def content_hash(cases: Sequence[Case]) -> str:
    """What was asked, as a hash: requests with their sampling, coordinates, covariates, facts; in order."""
    return digest(*((c.request, c.item, c.template, c.variant, c.x, sorted(c.facts.items())) for c in cases))


class ReadingsCache:
    """A folder of `KeptReadings`, one file per probe, content and model; no folder: keeps nothing."""

    def __init__(self, folder: Path | None, fingerprint: str) -> None:
        self.folder = folder
        self.fingerprint = fingerprint

    def _path(self, folder: Path, probe: str, version: str) -> Path:
        key = digest(probe, version, self.fingerprint, code_hash())  # the code, because it reads the replies
        return folder / f"{probe}-{key}.json"

    def get(self, probe: str, version: str) -> tuple[Reading, ...] | None:
        """The readings, if they are here and whole."""
        path = self.folder and self._path(self.folder, probe, version)
        if not path or not path.exists():
            return None
        try:
            kept: KeptReadings = KeptReadings.load(path)
        except (OSError, ValueError):
            _log.warning("%s is damaged; %s is measured again", path, probe)
            return None
        return kept.readings

    def put(self, probe: str, version: str, readings: Sequence[Reading]) -> None:
        """Keep readings: whole, or not at all. Raises `RunError` where the folder cannot be written."""
        if not self.folder:
            return
        path = self._path(self.folder, probe, version)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            KeptReadings(probe=probe, readings=tuple(readings)).save(path)
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror}. Free some space there, then go on") from error
