"""The rows of a data set with columns of its own, as the fields that formats know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from chunfen.data.catalog import DatasetSpec
from chunfen.data.files import Line


def shaped(line: Line, spec: DatasetSpec, fill: Mapping[str, str]) -> Line:
    """A raw row with its columns renamed, further fields written, and text replaced, as the catalog says.

    >>> from pathlib import Path
    >>> spec = DatasetSpec("sums", columns={"result": "response"}, fields={"query": "What is {a} + {b}?"})
    >>> shaped(Line(Path("x"), 1, {"a": 1, "b": 2, "result": "3"}), spec, {}).value
    {'a': 1, 'b': 2, 'response': '3', 'query': 'What is 1 + 2?'}
    >>> shaped(Line(Path("x"), 1, {"a": 1}), spec, {}).error
    "query needs the column 'b', which is not there"
    """
    if line.error or not isinstance(line.value, Mapping):
        return line
    raw = line.value
    row = {name: value for name, value in raw.items() if name not in spec.columns}
    row |= {spec.columns[name]: value for name, value in raw.items() if name in spec.columns}
    there = {name: "" if value is None else value for name, value in raw.items()}
    for name, text in spec.fields.items():
        try:
            row[name] = text.format_map(there)
        except KeyError as error:
            return replace(line, value=None, error=f"{name} needs the column {error}, which is not there")
        except (IndexError, TypeError, ValueError):
            return replace(line, value=None, error=f"{name} cannot be written as {text!r}")
    return replace(line, value=_filled(row, fill) if fill else row)


def _filled(value: Any, fill: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for text, other in fill.items():
            value = value.replace(text, other)
        return value
    if isinstance(value, Mapping):
        return {name: _filled(inner, fill) for name, inner in value.items()}
    return [_filled(inner, fill) for inner in value] if isinstance(value, list) else value
