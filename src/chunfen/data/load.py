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
    """All rows of a file or folder, and those that could not be read.

    strict: raise DataError at the first of those. Raises DataError, too, where not one row can be read.
    """
    rows: list[Row] = []
    rejected: list[Rejected] = []
    for found in each_row(read_lines(path)):
        if isinstance(found, Row):
            rows.append(found)
            continue
        if strict:
            raise DataError(f"{found.file}, line {found.line}: {found.reason}.")
        rejected.append(found)
    if not rows:
        why = (
            f" The first of {len(rejected)} reasons: line {rejected[0].line}: {rejected[0].reason}." if rejected else ""
        )
        raise DataError(f"{path}: no row can be read.{why}")
    return rows, rejected


def write_rejected(path: Path, rejected: Sequence[Rejected]) -> None:
    """One JSON object a line: file, line, reason."""
    text = "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rejected)
    write_text(path, text)
