"""Fetching in a process of its own, as the hub clients read their settings once, when they are imported."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class Fetched:
    """How it ended: the folder, or what was said on standard error."""

    code: int
    path: Path
    said: str


Fetch = Callable[..., Fetched]


@pytest.fixture
def fetch(tmp_path: Path) -> Fetch:
    """``fetch(model, hub, address)`` in a new process, with the caches of this test."""

    def run(
        model: str,
        hub: str = "auto",
        address: str = "http://127.0.0.1:9",
        *,
        revision: str = "",
        verify: str = "",
    ) -> Fetched:
        own = {
            "CHUNFEN_CACHE": str(tmp_path / "cache"),
            "HF_HOME": str(tmp_path / "hf"),
            "HF_ENDPOINT": address,
            "MODELSCOPE_CACHE": str(tmp_path / "ms"),
            "MODELSCOPE_HOME": str(tmp_path / "mshome"),
            "MODELSCOPE_ENDPOINT": address,
        }
        proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "")
        command = [sys.executable, "-c", _FETCH, model, hub, revision, verify]
        done = subprocess.run(command, env=os.environ | proxies | own, capture_output=True, text=True, timeout=240)
        return Fetched(done.returncode, Path(done.stdout.strip()), done.stderr)

    return run
