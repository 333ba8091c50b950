"""What exactly was loaded, as one hash: weights, config, tokenizer, chat template, adapters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from chunfen.hub import cache_dir
from chunfen.hub import manifest as manifests

_CONTENT = (
    "*.safetensors",
    "*config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "chat_template*",
    "*.py",
)
_INCIDENTAL = {"transformers_version", "peft_version", "_name_or_path", "base_model_name_or_path", "revision"}
"""Keys of configs that say where and by what a file was written, not what the model computes."""


def fingerprint(folders: Iterable[Path], settings: Mapping[str, str | None]) -> str:
    """A hash that changes whenever a file of the model or an adapter, or a setting that matters, does.

    folders: the model's, then the adapters' in order. settings: what else there is (dtype, system prompt).
    Two copies of the same files give the same fingerprint, wherever they lie.
    """
    content = [_content(folder) for folder in folders]
    text = json.dumps([content, dict(settings)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _content(folder: Path) -> dict[str, str]:
    """A hash of every file that makes the model, by name."""
    paths = {path for pattern in _CONTENT for path in folder.glob(pattern) if path.is_file()}
    return {path.name: _hash(path) for path in sorted(paths)}


def _hash(path: Path) -> str:
    """SHA-256 of a file; of a config without what is incidental, so that a copy stays the same model."""
    if not path.name.endswith("config.json"):
        return _remembered_hash(path.resolve())
    config = {k: v for k, v in json.loads(path.read_text(encoding="utf-8")).items() if k not in _INCIDENTAL}
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def _remembered_hash(path: Path) -> str:
    """SHA-256 of a file, computed once per (path, size, time of change) and kept in the cache folder."""
    stat = path.stat()
    key = hashlib.sha256(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()
    note = cache_dir() / "hashes" / key
    try:
        return note.read_text(encoding="ascii")
    except FileNotFoundError:
        pass
    found = manifests.sha256(path)
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        temporary = note.with_suffix(".tmp")
        temporary.write_text(found, encoding="ascii")
        temporary.replace(note)
    except OSError:  # a cache that cannot be written only costs time
        pass
    return found
