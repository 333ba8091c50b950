"""Every word of the report, by key, from words/<language>.yaml. Code holds none."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml
from markupsafe import Markup

from chunfen.errors import SettingError
from chunfen.report.numbers import DASH, figure, interval, known

LANGUAGES = ("en", "zh")


class Words:
    """The words of one language. A key that is missing is an error, so that no page shows a hole."""

    def __init__(self, lang: str, table: Mapping[str, str]) -> None:
        self.lang = lang
        self.table = table

    def __call__(self, key: str, /, **values: object) -> str:
        """The text of a key, its {placeholders} filled; KeyError if the key or a placeholder is missing."""
        return self.table[key].format(**values)

    def html(self, key: str, /, **values: object) -> Markup:
        """The same for a page: values are escaped unless they are Markup; the words may hold markup."""
        return Markup(self.table[key]).format(**values)

    def name(self, kind: str, raw: str) -> str:
        """What a machine name is called; one that nobody has described (a user's own axis) speaks for itself.

        >>> words("en").name("endpoint", "line"), words("en").name("endpoint", "my_own")
        ('occupation line', 'my own')
        """
        return self.table.get(f"{kind}.{raw}", raw.replace("_", " "))

    def has(self, key: str) -> bool:
        return key in self.table

    def quantity(self, value: float | None, unit: str, *, signed: bool = False, decimals: int | None = None) -> str:
        """A number with its unit.

        >>> w = words("en")
        >>> w.quantity(0.123, "share"), w.quantity(2.29, "nats"), w.quantity(None, "share")
        ('12.3\u202f%', '2.29 nats', '—')
        """
        if not known(value):
            return DASH
        text = figure(value, unit, signed=signed, decimals=decimals)
        return self.table.get(f"unit.{unit}", "{n}").format(n=text)

    def short(self, value: float | None, unit: str, *, signed: bool = False) -> str:
        """A number for a table cell: a percentage keeps its sign, other units are named elsewhere."""
        return self.quantity(value, unit, signed=signed) if unit == "share" else figure(value, unit, signed=signed)

    def interval(self, low: float | None, high: float | None, unit: str, *, signed: bool = False) -> str:
        return interval(low, high, unit, signed=signed)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested keys joined by dots.

    >>> flatten({"a": {"b": "x", "c": "y"}})
    {'a.b': 'x', 'a.c': 'y'}
    """
    table: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            table |= flatten(value, f"{prefix}{key}.")
        else:
            table[f"{prefix}{key}"] = str(value)
    return table


@cache
def words(lang: str) -> Words:
    """The words of a language; SettingError for one that there is no file of."""
    if lang not in LANGUAGES:
        raise SettingError(f"lang: there is no report in {lang!r}; use one of {', '.join(LANGUAGES)}.")
    text = resources.files("chunfen.report").joinpath("words", f"{lang}.yaml").read_text(encoding="utf-8")
    return Words(lang, flatten(yaml.safe_load(text)))
