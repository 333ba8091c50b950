"""The fields of one raw row, taken one after the other: what nobody takes is an extra column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class RowError(ValueError):
    """Why a row cannot be read. The message names the field and what was expected of it."""


class Fields:
    """Takes fields out of a raw row. null counts as absent."""

    def __init__(self, raw: object) -> None:
        if not isinstance(raw, Mapping):
            raise RowError(f"a row has to be an object with named fields, not {kind_of(raw)}")
        self.left: dict[str, Any] = {}
        for name, value in raw.items():
            if not isinstance(name, str):
                raise RowError(f"field names have to be text, not {name!r}")
            if value is not None:
                self.left[name] = value

    def has(self, *names: str) -> str | None:
        """The first of these names that is there."""
        return next((name for name in names if name in self.left), None)

    def take(self, *names: str) -> Any:
        """The value of the first of these names that is there, which is then gone; None if none is."""
        name = self.has(*names)
        return None if name is None else self.left.pop(name)

    def text(self, *names: str) -> str | None:
        """The same, for a field that has to be text."""
        name = self.has(*names)
        return None if name is None else as_text(self.left.pop(name), name)

    def many(self, *names: str) -> tuple[Any, ...]:
        """The same, for a list; one value alone is a list of one, and text that holds JSON is read."""
        name = self.has(*names)
        if name is None:
            return ()
        value = parsed(self.left.pop(name), name)
        return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def as_text(value: object, name: str) -> str:
    """The value, if it is text that can be tokenized."""
    if not isinstance(value, str):
        raise RowError(f"{name} has to be text, not {kind_of(value)}")
    if "\0" in value:
        raise RowError(f"{name} holds a NUL character; the file is damaged or not text")
    return value


def parsed(value: object, name: str) -> object:
    """Lists and objects that a table (CSV, some Parquet files) holds as JSON text."""
    if not isinstance(value, str) or value[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise RowError(f"{name} looks like JSON but is none: {error}") from None


def kind_of(value: object) -> str:
    """The type of a value, in the words of JSON.

    >>> kind_of([1]), kind_of(None), kind_of(True), kind_of(2.5)
    ('a list', 'null', 'true or false', 'a number')
    """
    names = {bool: "true or false", str: "text", int: "a number", float: "a number", type(None): "null"}
    if type(value) in names:
        return names[type(value)]
    return "an object" if isinstance(value, Mapping) else "a list" if isinstance(value, (list, tuple)) else "bytes"
