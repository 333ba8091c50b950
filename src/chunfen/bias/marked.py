"""YAML and CSV files with the line of every value, so that an error can say where it is."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from chunfen.errors import DataError
from chunfen.registry import did_you_mean

Model = TypeVar("Model", bound=BaseModel)

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The fast loader where PyYAML was built with it; both give the lines."""

Key = tuple[str | int, ...]
"""The way to a value, for example ("line", 3, "text")."""


@dataclass
class Places:
    """Where each value was written: its key → (file, line)."""

    path: Path
    lines: dict[Key, tuple[Path, int]] = field(default_factory=dict)

    def at(self, key: Key) -> str:
        """``file:line`` of the value, or of the nearest thing around it that has a line."""
        for length in range(len(key), -1, -1):
            if key[:length] in self.lines:
                file, line = self.lines[key[:length]]
                return f"{file}:{line}"
        return f"{self.path}:1"

    def fail(self, key: Key, wrong: str, mend: str) -> NoReturn:
        """Stop with ``file:line: what is wrong — what to do``."""
        raise DataError(f"{self.at(key)}: {wrong} — {mend}")


def read_yaml(path: Path) -> tuple[dict[str, Any], Places]:
    """A YAML mapping as plain data, and the line of every value in it.

    Raises `DataError` where the file cannot be read, is no mapping, or has a key twice.
    """
    places = Places(path)
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=LOADER)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}) — check path and rights") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}) — save the file as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = (error.problem_mark.line if error.problem_mark else 0) + 1
        raise DataError(f"{path}:{line}: not YAML ({error.problem}) — mend quotes or indentation") from error
    if not isinstance(node, yaml.MappingNode):
        raise DataError(f"{path}:1: not a mapping — a probe file starts with `axis: NAME`")
    return _plain(node, (), places), places


def _plain(node: yaml.Node, key: Key, places: Places) -> Any:
    places.lines[key] = (places.path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, key, places)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, (*key, i), places) for i, child in enumerate(node.value)]
    return LOADER("").construct_object(node)


def _mapping(node: yaml.MappingNode, key: Key, places: Places) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for name_node, child in node.value:
        name = str(name_node.value)
        if name in data:
            places.lines[(*key, name)] = (places.path, name_node.start_mark.line + 1)
            places.fail((*key, name), f"key {name!r} stands here twice", "remove one of them")
        data[name] = _plain(child, (*key, name), places)
        places.lines[(*key, name)] = (places.path, name_node.start_mark.line + 1)
    return data


def read_csv(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, row) for every row of a CSV file with a header; lines that start with ``#`` are comments.

    A row is one line: quoted line breaks are refused, as a row of another length than the header is.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}) — check path and rights") from error
    header: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = [cell.strip() for cell in next(csv.reader([line]))]
        if not header:
            header = cells
        elif len(cells) != len(header):
            raise DataError(
                f"{path}:{number}: {len(cells)} cells, the header has {len(header)} — quote cells that hold a comma"
            )
        else:
            yield number, dict(zip(header, cells, strict=True))


def validated(model: type[Model], data: Mapping[str, Any], places: Places) -> Model:
    """The data as the model, or a `DataError` with the line and what to do for the first wrong thing."""
    try:
        return model.model_validate(_with_tuples(data))
    except ValidationError as error:
        # A mistyped key is an unknown one and a missing one: the first of these says more.
        first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        key: Key = first["loc"]
        if first["type"] == "extra_forbidden":
            known = _keys_beside(model, key)
            hint = did_you_mean(str(key[-1]), known).strip() or f"known: {', '.join(known)}"
            places.fail(key, f"unknown key {key[-1]!r}", hint)
        if first["type"] == "missing":
            places.fail(key[:-1], f"{_name(key)} is missing", f"add `{key[-1]}:`")
        value = f"({first['input']!r})" if isinstance(first["input"], str | int | float | bool) else ""
        places.fail(key, f"{_name(key)} is not right {value}".rstrip(), first["msg"].replace("tuple", "list"))


def _with_tuples(data: Any) -> Any:
    """Lists as tuples: what is frozen holds tuples, and strict validation takes nothing else for one."""
    if isinstance(data, Mapping):
        return {key: _with_tuples(value) for key, value in data.items()}
    return tuple(_with_tuples(value) for value in data) if isinstance(data, list) else data


def _name(key: Key) -> str:
    return ".".join(str(part) for part in key)


def _keys_beside(model: type[BaseModel], key: Key) -> list[str]:
    """The keys that would have been right where an unknown one stands."""
    for part in key[:-1]:
        if not isinstance(part, str) or part not in model.model_fields:
            continue
        for inner in _models_in(model.model_fields[part].annotation):
            model = inner
    return sorted(f.alias or n for n, f in model.model_fields.items())


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)
