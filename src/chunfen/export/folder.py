"""The folder of a model that stands alone: whole or not there, never over something else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from chunfen.errors import SettingError
from chunfen.export.base import Base
from chunfen.runs.files import sha256, write_json
from chunfen.settings.merge import MergeCommand

RECORD = "merge.json"


def check_output(output: Path | None) -> Path:
    """The folder to write, absolute. Raises SettingError if none is named, or if something is there already."""
    if output is None:
        raise SettingError("output: say where the model is to be written, as --output FOLDER.")
    folder = output.expanduser().absolute()
    if folder.exists() or folder.is_symlink():
        raise SettingError(f"output {str(output)!r} exists; name a folder that does not, nothing is overwritten.")
    return folder


def check_shard_size(size: str) -> None:
    """Raise SettingError for a size that is not written as 500MB or 5GB."""
    if not re.fullmatch(r"[1-9]\d*[KMGT]?B", size):
        raise SettingError(f"max_shard_size {size!r}: write it as 500MB or 5GB.")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A hidden neighbour that gets the folder's name when the block ends well, and vanishes if not."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f".{folder.name}-{uuid4().hex[:8]}.part")
    part.mkdir()
    try:
        yield part
        check_output(folder)  # another process may have been faster
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def save_model(model: Any, base: Base, folder: Path, settings: MergeCommand) -> None:
    """Weights as safetensors, config, generation config, and the base's own tokenizer with its chat template.

    The model is turned into the number format that is written, in place.
    """
    import torch
    from transformers import AutoTokenizer

    model.to(getattr(torch, base.written)).save_pretrained(folder, max_shard_size=settings.max_shard_size)
    AutoTokenizer.from_pretrained(base.path, trust_remote_code=settings.trust_remote_code).save_pretrained(folder)


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """merge.json: what was merged and how, with the hash of every other file."""
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}
    write_json(folder / RECORD, {"format": 1, **record, "files": files})
