"""Settings that lie beside what was trained: how the model has to be loaded and asked that was trained with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SAVED = "chunfen.json"
"""The file's name in the folder of an adapter or a model."""
OF_MODEL = ("system", "template")
"""What a trained model is asked with."""
OF_ADAPTER = ("model", "hub", "revision", *OF_MODEL)
"""What an adapter is put on. What could run code of others (trust_remote_code) is never taken from a file."""


def saved_settings(adapters: Sequence[str | Path], model: str | Path) -> dict[str, Any]:
    """The settings beside the last adapter, or else beside the model; nothing where there is no such file."""
    folder, names = (Path(adapters[-1]), OF_ADAPTER) if adapters else (Path(model), OF_MODEL)
    path = folder.expanduser() / SAVED
    if not path.is_file():
        return {}
    settings = json.loads(path.read_text(encoding="utf-8")).get("settings", {})
    return {name: settings[name] for name in names if settings.get(name) is not None}
