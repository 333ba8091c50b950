"""Python files of the user that register things of their own before a command begins."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from chunfen.errors import SettingError


def run_plugins(paths: Iterable[Path]) -> None:
    """Run each file once, as a module of its own. Raises SettingError for a file that is not there or fails."""
    for path in paths:
        name = f"chunfen_plugin_{path.stem}"
        known = sys.modules.get(name)
        if known is not None and known.__file__ == str(path.resolve()):
            continue
        spec = spec_from_file_location(name, path.resolve())
        if not path.is_file() or spec is None or spec.loader is None:
            raise SettingError(f"external_plugins {path}: there is no such Python file.")
        module = module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # whatever a stranger's file raises
            del sys.modules[name]
            raise SettingError(f"external_plugins {path}: it fails with {type(error).__name__}: {error}") from error
