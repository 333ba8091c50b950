"""Files of raw rows: JSON, JSON lines, CSV, TSV, Parquet, plain text, and folders of them.

A line that cannot be read is no reason to stop: it comes out as a `Line` with its error.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chunfen.errors import DataError

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One raw row. number: of the line in a file of lines or the row in a table or list, from 1. error: why there is no
    value, or ""."""

    file: Path
    number: int
    value: Any = None
    error: str = ""


def read_lines(path: Path) -> Iterator[Line]:
    """All raw rows of a file, or of all files of known kinds in a folder and below it, by name.

    Raises DataError for what is not there, is of an unknown kind, or holds no such file.
    """
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in READERS and not p.name.startswith("."))
        if not files:
            raise DataError(f"{path}: the folder holds no file of rows ({', '.join(READERS)}).")
        for file in files:
            yield from read_lines(file)
        return
    if not path.is_file():
        raise DataError(f"{path}: there is no such file or folder.")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: files of this kind cannot be read. Known are {', '.join(READERS)}.")
    yield from reader(path)


def _raw(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not blank, numbered, without a byte order mark."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            raw = raw.removeprefix(BOM) if number == 1 else raw
            if raw.strip():
                yield number, raw


def _not_utf8(raw: bytes, error: UnicodeDecodeError) -> str:
    return f"not UTF-8: byte {raw[error.start]:#04x} at place {error.start + 1}"


def _json_lines(path: Path) -> Iterator[Line]:
    for number, raw in _raw(path):
        yield _parsed(path, number, raw)


def _parsed(path: Path, number: int, raw: bytes) -> Line:
    try:
        return Line(path, number, json.loads(raw.decode("utf-8")))
    except UnicodeDecodeError as error:
        return Line(path, number, error=_not_utf8(raw, error))
    except RecursionError:
        return Line(path, number, error="nested too deeply")
    except ValueError as error:
        return Line(path, number, error=f"not JSON: {error}")


def _json(path: Path) -> Iterator[Line]:
    """A list of rows, one row, {"data": [rows]}, or JSON lines in a file that is called .json."""
    raw = path.read_bytes().removeprefix(BOM)
    whole = _parsed(path, 1, raw)
    if whole.error:
        if raw.lstrip().startswith(b"{"):
            yield from _json_lines(path)
        else:
            yield whole
        return
    value = whole.value
    if isinstance(value, dict):
        lists = [v for v in value.values() if isinstance(v, list) and all(isinstance(row, dict) for row in v)]
        value = lists[0] if len(value) == 1 and lists else [value]
    if not isinstance(value, list):
        yield Line(path, 1, error="the file has to hold a list of rows")
        return
    for number, row in enumerate(value, 1):
        yield Line(path, number, row)


def _table(delimiter: str) -> Callable[[Path], Iterator[Line]]:
    def read(path: Path) -> Iterator[Line]:
        csv.field_size_limit(2**31 - 1)
        raw = path.read_bytes().removeprefix(BOM)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            yield Line(path, 1, error=_not_utf8(raw, error))
            return
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header: list[str] = []
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Line(path, reader.line_num, error=f"not {path.suffix[1:].upper()}: {error}")
                return
            if not header:
                header = cells
                if len(set(header)) < len(header):
                    yield Line(path, 1, error=f"a column name comes twice: {', '.join(header)}")
                    return
            elif len(cells) != len(header):
                if cells:
                    yield Line(path, reader.line_num, error=f"{len(cells)} cells for {len(header)} columns")
            else:
                yield Line(path, reader.line_num, {k: v for k, v in zip(header, cells, strict=True) if v != ""})

    return read


def _text(path: Path) -> Iterator[Line]:
    """One text a line."""
    for number, raw in _raw(path):
        try:
            text = raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            yield Line(path, number, error=_not_utf8(raw, error))
            continue
        if text.strip():  # spaces that only Unicode knows
            yield Line(path, number, {"text": text})


def _parquet(path: Path) -> Iterator[Line]:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise DataError(f"{path}: reading Parquet needs pyarrow. Install it: pip install 'chunfen[data]'") from None
    try:
        file = ParquetFile(path)
    except (ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a Parquet file: {error}") from None
    number = 0
    for batch in file.iter_batches(batch_size=1024):
        for value in batch.to_pylist():
            number += 1
            yield Line(path, number, value)


READERS: dict[str, Callable[[Path], Iterator[Line]]] = {
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": _table(","),
    ".tsv": _table("\t"),
    ".parquet": _parquet,
    ".txt": _text,
}
"""Ending of a file name → how such a file is read."""
