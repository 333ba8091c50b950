"""Settings that lie beside what was trained: how the model has to be loaded and asked that was trained with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chunfen.errors import SettingError
from chunfen.settings.data import SEED, DataSettings

SAVED = "chunfen.json"
"""The file's name in the folder of an adapter or a model."""
OF_MODEL = ("system", "template")
"""What a trained model is asked with."""
OF_ADAPTER = ("model", "hub", "revision", *OF_MODEL)
"""What an adapter is put on. What could run code of others (trust_remote_code) is never taken from a file."""


def saved_settings(adapters: Sequence[str | Path], model: str | Path) -> dict[str, Any]:
    """The settings beside the last adapter, or else beside the model; nothing where there is no such file."""
    settings = _read(_file(adapters, model))
    names = OF_ADAPTER if adapters else OF_MODEL
    return {name: settings[name] for name in names if settings.get(name) is not None}


def saved_data(adapters: Sequence[str | Path], model: str | Path) -> DataSettings:
    """Which rows the last adapter, or else the model, was trained with. Raises SettingError where nothing says so."""
    path = _file(adapters, model)
    settings = _read(path)
    if not settings.get("dataset"):
        raise SettingError(f"load_data_args: {path} does not say what was learned; write --dataset instead.")
    kept = {name: value for name, value in settings.items() if name in DataSettings.model_fields and value is not None}
    seed = kept.get("data_seed", settings.get("seed", SEED))
    return DataSettings.model_validate(kept | {"data_seed": seed, "external_plugins": ()})


def _file(adapters: Sequence[str | Path], model: str | Path) -> Path:
    return Path(adapters[-1] if adapters else model).expanduser() / SAVED


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")).get("settings", {})
    return settings
