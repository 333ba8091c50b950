"""Files that are whole or not there, and hashes that say whether a file is the one that was written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> Path:
    """Write to a neighbour file, flush it to the disk, rename it: a reader sees the old text or the new."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        return part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_json(path: Path, document: Any) -> Path:
    """Write a JSON document whole; see `write_text`."""
    return write_text(path, json.dumps(document, ensure_ascii=False, indent=2, default=str) + "\n")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder beside its place to write into; at the end it takes its place, and that of an older one there."""
    part = path.with_name(path.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    shutil.rmtree(path, ignore_errors=True)
    part.rename(path)


def sha256(path: Path) -> str:
    """Hash of a file, or of a folder: of the names and hashes of all files in it, in order of name.

    Raises FileNotFoundError where there is nothing.
    """
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.is_file())
        lines = "".join(f"{p.relative_to(path).as_posix()} {sha256(p)}\n" for p in inside)
        return hashlib.sha256(lines.encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
