"""From files to standard rows, and a list of what could not be read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from chunfen.data.files import Line, read_lines
from chunfen.data.formats import RowError, to_row
from chunfen.data.row import Row
from chunfen.errors import DataError
from chunfen.runs.files import write_text

REJECTED = Path("rejected_rows.jsonl")
"""Where rows that cannot be read are listed, unless another place is named."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that cannot be read: where it stands, and why."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.reason}."


def each_row(lines: Iterable[Line]) -> Iterator[Row | Rejected]:
    """Every raw row, read or rejected, in order."""
    for line in lines:
        if line.error:
            yield Rejected(str(line.file), line.number, line.error)
            continue
        try:
            yield to_row(line.value)
        except RowError as error:
            yield Rejected(str(line.file), line.number, str(error))


def load_rows(path: Path, *, strict: bool = False) -> tuple[list[Row], list[Rejected]]:
    """All rows of a file or folder, and those that could not be read; see `sorted_out`."""
    return sorted_out(each_row(read_lines(path)), str(path), strict=strict)


def sorted_out(found: Iterable[Row | Rejected], name: str, *, strict: bool = False) -> tuple[list[Row], list[Rejected]]:
    """The rows that can be read, and those that cannot. name: of what they are from.

    strict: raise DataError at the first that cannot. Raises DataError, too, where not one row can be read.
    """
    rows: list[Row] = []
    rejected: list[Rejected] = []
    for row in found:
        if isinstance(row, Row):
            rows.append(row)
        elif strict:
            raise DataError(str(row))
        else:
            rejected.append(row)
    if not rows:
        why = f" The first of {len(rejected)} reasons: {rejected[0]}" if rejected else ""
        raise DataError(f"{name}: no row can be read.{why}")
    return rows, rejected


def write_rejected(path: Path, rejected: Sequence[Rejected]) -> None:
    """One JSON object a line: file, line, reason."""
    text = "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rejected)
    write_text(path, text)
