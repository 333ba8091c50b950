"""What is in the cache: every file with its size and SHA-256, checked cheaply on each use."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

NAME = "chunfen.json"
"""Name of the manifest file in a model's cache folder."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file: bytes, time of its last change (ns), and hash of its content."""

    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Where what is cached came from and what its files were.

    source: pypi, huggingface, modelscope. reference: its id there. revision: the commit or version that was
    got. folder: where the files lie. files: relative name → record. versions: the programs that made them.
    """

    source: str
    reference: str
    revision: str
    folder: Path
    files: Mapping[str, FileRecord]
    versions: Mapping[str, str]

    def damaged(self, *, full: bool = False) -> list[str]:
        """Names of missing or changed files. Reads only those whose time changed, or all if ``full``."""
        return [name for name, record in self.files.items() if not _intact(self.folder / name, record, full)]


def describe(
    folder: Path,
    names: Iterable[str],
    *,
    source: str,
    reference: str,
    revision: str,
    versions: Mapping[str, str],
) -> Manifest:
    """Hash the named files of a folder."""
    files = {name: _record(folder / name) for name in sorted(names)}
    return Manifest(source, reference, revision, folder, files, dict(versions))


def write(manifest: Manifest, path: Path) -> None:
    """Write a manifest as JSON, atomically. A folder that holds its own manifest is written as "."."""
    document: dict[str, Any] = asdict(manifest)
    document["folder"] = "." if manifest.folder == path.parent else str(manifest.folder)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
    temporary.replace(path)


def read(path: Path) -> Manifest | None:
    """The manifest at ``path``; None where there is none that can be read, so the model is fetched anew."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        files = {name: FileRecord(**record) for name, record in document.pop("files").items()}
        manifest = Manifest(files=files, **document)
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None
    return replace(manifest, folder=(path.parent / manifest.folder).resolve())


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record(path: Path) -> FileRecord:
    stat = path.stat()
    return FileRecord(stat.st_size, stat.st_mtime_ns, sha256(path))


def _intact(path: Path, record: FileRecord, full: bool) -> bool:
    if not path.is_file():
        return False
    stat = path.stat()
    if stat.st_size != record.size:
        return False
    if stat.st_mtime_ns == record.mtime_ns and not full:
        return True
    return sha256(path) == record.sha256
