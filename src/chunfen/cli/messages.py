"""What the command line says, in English and Chinese (messages.yaml)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from chunfen.settings.language import Language, language


@cache
def catalog() -> dict[str, dict[Language, str]]:
    """Every message: key → language → text with {placeholders}."""
    text = Path(__file__).with_name("messages.yaml").read_text(encoding="utf-8")
    messages: dict[str, dict[Language, str]] = yaml.safe_load(text)
    return messages


def message(key: str, lang: str = "auto", **values: object) -> str:
    """One message in one language.

    >>> message("runs.none", "zh", folder="runs")
    'runs 里还没有运行记录。'
    """
    return catalog()[key][language(lang)].format(**values)


def both(key: str) -> str:
    """A message in both languages, for menus that must be understood before a language is known."""
    return f"{catalog()[key]['zh']}  {catalog()[key]['en']}"
