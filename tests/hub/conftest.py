"""Fetching in a process of its own, as the hub clients read their settings once, when they are imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

_FETCH = """
import sys
from chunfen.errors import ChunfenError
from chunfen.models import fetch
try:
    print(fetch(sys.argv[1], hub=sys.argv[2], revision=sys.argv[3] or None, verify=bool(sys.argv[4])))
except ChunfenError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


_READ = """
import json, sys
from chunfen.data.source import load_datasets
from chunfen.errors import ChunfenError
from chunfen.settings.data import DataSettings
try:
    loaded = load_datasets(sys.argv[1:], DataSettings())
    print(json.dumps({"rows": [row.as_dict() for row in loaded.rows], "sources": loaded.sources}))
except ChunfenError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@dataclass(frozen=True)
class Fetched:
    """How it ended: the folder, or what was said on standard error."""

    code: int
    path: Path
    said: str


Fetch = Callable[..., Fetched]


class Python(Protocol):
    """Runs code in a new process with the caches of one test and one address for all hubs."""

    def __call__(self, code: str, *words: str, address: str) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def python(tmp_path: Path) -> Python:
    """See `Python`."""

    def run(code: str, *words: str, address: str) -> subprocess.CompletedProcess[str]:
        own = {
            "CHUNFEN_CACHE": str(tmp_path / "cache"),
            "HF_HOME": str(tmp_path / "hf"),
            "HF_ENDPOINT": address,
            "MODELSCOPE_CACHE": str(tmp_path / "ms"),
            "MODELSCOPE_HOME": str(tmp_path / "mshome"),
            "MODELSCOPE_ENDPOINT": address,
        }
        proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "")
        command = [sys.executable, "-c", code, *words]
        return subprocess.run(command, env=os.environ | proxies | own, capture_output=True, text=True, timeout=240)

    return run


@pytest.fixture
def fetch(python: Python) -> Fetch:
    """``fetch(model, hub, address)`` in a new process, with the caches of this test."""

    def run(
        model: str,
        hub: str = "auto",
        address: str = "http://127.0.0.1:9",
        *,
        revision: str = "",
        verify: str = "",
    ) -> Fetched:
        done = python(_FETCH, model, hub, revision, verify, address=address)
        return Fetched(done.returncode, Path(done.stdout.strip()), done.stderr)

    return run


@dataclass(frozen=True)
class Loaded:
    """How it ended: the rows and what each data set gave, or what was said on standard error."""

    code: int
    rows: list[dict[str, Any]]
    sources: list[dict[str, Any]]
    said: str


Load = Callable[..., Loaded]


@pytest.fixture
def load(python: Python) -> Load:
    """``load(data set, …, address=…)`` in a new process, with the caches of this test."""

    def run(*datasets: str, address: str = "http://127.0.0.1:9") -> Loaded:
        done = python(_READ, *datasets, address=address)
        found = json.loads(done.stdout or '{"rows": [], "sources": []}')
        return Loaded(done.returncode, found["rows"], found["sources"], done.stderr)

    return run
