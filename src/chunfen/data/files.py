"""Files of raw rows: JSON, JSON lines, CSV, TSV, Parquet, plain text, packed ones, and folders of them.

All but a JSON list are read as they are asked for, so a file may be larger than the memory. A line that cannot be read
is no reason to stop: it comes out as a `Line` with its error.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from chunfen.data.cells import CellError, readable
from chunfen.errors import DataError

BOM = b"\xef\xbb\xbf"
PACKED = (".gz", ".bz2", ".zst")
"""Endings of packed files, behind the ending of their kind."""


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
    for file in files_in(path):
        yield from read_file(file)


def files_in(path: Path) -> list[Path]:
    """A file, or the files of rows in a folder and below it, by name; errors as for `read_lines`."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if kind_of_file(p) and not p.name.startswith(".") and p.is_file())
        if not files:
            raise DataError(f"{path}: the folder holds no file of rows ({', '.join(READERS)}).")
        return files
    if not path.is_file():
        raise DataError(f"{path}: there is no such file or folder.")
    if not kind_of_file(path):
        raise DataError(f"{path}: files of this kind cannot be read. Known are {', '.join(READERS)}.")
    return [path]


def read_file(path: Path) -> Iterator[Line]:
    """All raw rows of a file of a known kind. DataError where the disk or the packing is damaged."""
    number = 0
    try:
        for line in READERS[kind_of_file(path)](path):
            number = line.number
            yield line
    except OSError as error:
        raise DataError(f"{path}: cannot be read behind line {number}: {error}") from error


def kind_of_file(name: str | PurePath) -> str:
    """The ending that says how a file is read, "" for none that is known.

    >>> kind_of_file("rows.JSONL"), kind_of_file("c4/en.json.gz"), kind_of_file("README.md")
    ('.jsonl', '.json', '')
    """
    path = PurePath(name)
    if path.suffix.lower() in PACKED:
        path = path.with_suffix("")
    ending = path.suffix.lower()
    return ending if ending in READERS else ""


def _opened(path: Path) -> BinaryIO:
    if path.suffix.lower() not in PACKED:
        return path.open("rb")
    from pyarrow import input_stream

    return io.BufferedReader(input_stream(str(path), compression="detect"))


def _raw(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not blank, numbered, without a byte order mark."""
    with _opened(path) as file:
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
        value = json.loads(raw.decode("utf-8"), parse_constant=_no_number)
        if b"\\ud" in raw or b"\\uD" in raw:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return Line(path, number, value)
    except UnicodeDecodeError as error:
        return Line(path, number, error=_not_utf8(raw, error))
    except UnicodeEncodeError:
        return Line(path, number, error="half a character: a surrogate without its other half")
    except RecursionError:
        return Line(path, number, error="nested too deeply")
    except ValueError as error:
        return Line(path, number, error=f"not JSON: {error}")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _json(path: Path) -> Iterator[Line]:
    """A list of rows, one row, {"data": [rows]}, or JSON lines in a file that is called .json."""
    head = [raw for _, raw in islice(_raw(path), 2)]
    if len(head) == 2 and head[0].lstrip().startswith(b"{") and not _parsed(path, 1, head[0]).error:
        yield from _json_lines(path)
        return
    with _opened(path) as file:
        raw = file.read().removeprefix(BOM)
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
        with _opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as text:
            reader = csv.reader(text, delimiter=delimiter, strict=True)
            header: list[str] = []
            while True:
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield Line(path, reader.line_num, error=f"not {kind_of_file(path)[1:].upper()}: {error}")
                    continue
                if not header:
                    header = cells
                    if reason := _bad_header(header):
                        yield Line(path, 1, error=reason)
                        return
                elif cells:
                    yield _table_row(path, reader.line_num, header, cells)

    return read


def _bad_header(header: list[str]) -> str:
    if len(set(header)) < len(header):
        return f"a column name comes twice: {', '.join(header)}"
    return _undecoded(header)


def _table_row(path: Path, number: int, header: list[str], cells: list[str]) -> Line:
    if len(cells) != len(header):
        return Line(path, number, error=f"{len(cells)} cells for {len(header)} columns")
    if error := _undecoded(cells):
        return Line(path, number, error=error)
    return Line(path, number, {k: v for k, v in zip(header, cells, strict=True) if v != ""})


def _undecoded(cells: list[str]) -> str:
    """What is wrong with bytes that were kept as they are, as surrogates, because they are not UTF-8."""
    try:
        "".join(cells).encode("utf-8")
    except UnicodeEncodeError as error:
        return f"not UTF-8: byte {ord(error.object[error.start]) - 0xDC00:#04x}"
    return ""


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
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for value in batch.to_pylist():
                    number += 1
                    yield table_line(path, number, value)
    except (ArrowException, OSError) as error:
        where = f"damaged behind row {number}" if number else "not a Parquet file"
        raise DataError(f"{path}: {where}: {error}") from None


def table_line(file: Path, number: int, value: Any) -> Line:
    """A row of typed columns as a raw row, its cells made readable."""
    if not isinstance(value, dict):
        return Line(file, number, value)
    row = {}
    for name, cell in value.items():
        try:
            row[name] = readable(cell)
        except CellError as error:
            return Line(file, number, error=f"column {name!r} holds {error}")
    return Line(file, number, row)


READERS: dict[str, Callable[[Path], Iterator[Line]]] = {
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": _table(","),
    ".tsv": _table("\t"),
    ".parquet": _parquet,
    ".txt": _text,
}
"""Ending of a file name → how such a file is read."""
