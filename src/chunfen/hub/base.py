"""What every source shares: the shape of one of models, which files it takes, and how files are checked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeAlias

from chunfen.errors import HubError
from chunfen.hub import manifest as manifests

Source: TypeAlias = Callable[[str, str | None, Path], manifests.Manifest]
"""``source(reference, revision, folder)`` gets a model and returns its manifest, saved in ``folder``.

The files themselves may lie elsewhere: the hub clients have caches of their own, which other tools share.
"""

PATTERNS = (
    "*.safetensors",
    "*.json",
    "*.jinja",
    "*.py",
    "*.model",
    "*.tiktoken",
    "vocab.txt",
    "merges.txt",
)
"""Files that a model may need. Pickled weights (.bin, .pt) are not among them: they can run any code."""


class UnreachableError(HubError):
    """A hub that does not answer. Other sources, or what is in the cache, may still do."""


def wanted(names: Iterable[str]) -> list[str]:
    """The files of a model repository to fetch: those at its top that `PATTERNS` names, weights only once.

    Raises HubError for a repository without a config or without safetensors weights.

    >>> wanted(["config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx", "README.md"])
    ['config.json', 'model.safetensors']
    >>> wanted(["config.json", "model.safetensors", "consolidated.safetensors"])
    ['config.json', 'model.safetensors']
    """
    found = sorted(n for n in names if "/" not in n and any(fnmatch(n, pattern) for pattern in PATTERNS))
    if "config.json" not in found:
        raise HubError("it has no config.json, so it is not a transformers model")
    weights = [n for n in found if n.endswith(".safetensors")]
    if not weights:
        raise HubError("it has no safetensors weights; pickled ones are not read, as they can run code")
    if any(n.startswith("model") for n in weights):  # some repositories hold the same weights in a second layout
        found = [n for n in found if n not in weights or n.startswith("model")]
    return found


def mismatched(folder: Path, hashes: Mapping[str, str]) -> list[str]:
    """Names of files whose content is not what the hub says: by SHA-256, or git's SHA-1 for small files."""
    return [name for name, expected in hashes.items() if _hash(folder / name, expected) != expected]


def first_line(error: BaseException) -> str:
    """What another library's error says, in one line."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def record(
    folder: Path,
    names: Iterable[str],
    files: Path,
    *,
    source: str,
    reference: str,
    revision: str,
    client: str,
) -> manifests.Manifest:
    """Write down in the cache ``folder`` what a hub client put into its own folder ``files``."""
    from importlib.metadata import version

    found = manifests.describe(
        files,
        names,
        source=source,
        reference=reference,
        revision=revision,
        versions={client: version(client)},
    )
    folder.mkdir(parents=True, exist_ok=True)
    manifests.write(found, folder / manifests.NAME)
    return found


def _hash(path: Path, like: str) -> str:
    """The hash of a file, of the kind that ``like`` is; empty where there is no file."""
    if not path.is_file():
        return ""
    if len(like) == 64:
        return manifests.sha256(path)
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
