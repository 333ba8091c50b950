"""Rows as tokens, computed once by all processors and kept in a file that training reads from the disk."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa

from chunfen.data.formats import RowError
from chunfen.data.row import Row
from chunfen.errors import DataError
from chunfen.hub.cache import cache_dir
from chunfen.runs.machine import code_hash
from chunfen.train.encode import Encoder
from chunfen.train.example import Example, Text
from chunfen.train.stage import Stage

SCHEMA = pa.schema(
    {
        "row": pa.int64(),
        "ids": pa.list_(pa.list_(pa.int32())),
        "reads": pa.list_(pa.list_(pa.int32())),
        "label": pa.float64(),
        "margin": pa.float64(),
        "refused": pa.string(),
    }
)
"""One line an example, or a row of no use with the reason. row: the number of the row that it comes of."""

FEW = 2_000
"""So few rows are encoded here: starting other processes takes longer."""
AT_ONCE = 256
"""Examples in one piece of the file, and rows that are handed to a process at once."""


class Examples(Sequence[Example]):
    """The examples in a file; they are read when they are asked for.

    first: the number of the first one. sizes [examples]: tokens of each. refused: row → why it is of no use.
    """

    def __init__(self, path: Path, first: int = 0) -> None:
        self.first = first
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        self.refused = {
            int(row): str(reason)
            for row, reason in zip(*(table[name].to_pylist() for name in ("row", "refused")), strict=True)
            if reason
        }
        self._table = table.filter(pa.compute.is_null(table["refused"])) if self.refused else table
        self.sizes = np.array([sum(map(len, texts)) for texts in self._lengths()], dtype=np.int64)

    def _lengths(self) -> Iterator[list[Any]]:
        for batch in self._table.select(["ids"]).to_batches():
            yield from batch.column(0).to_pylist()

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, place: int) -> Example: ...
    @overload
    def __getitem__(self, place: slice) -> list[Example]: ...
    def __getitem__(self, place: int | slice) -> Example | list[Example]:
        if isinstance(place, slice):
            return [self[k] for k in range(*place.indices(len(self)))]
        found = self._table.slice(place, 1).to_pylist()[0]
        texts = tuple(Text(tuple(i), tuple(r)) for i, r in zip(found["ids"], found["reads"], strict=True))
        return Example(texts, found["label"], found["margin"], self.first + place)


def write_examples(
    path: Path,
    rows: Sequence[Row],
    stage: Stage,
    encoder: Encoder,
    *,
    processes: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Examples:
    """Encode rows into a file. Rows that are of no use are kept in `Examples.refused` with the reason."""
    part = path.with_name(path.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    encode = partial(_encoded, stage, encoder)
    with pa.OSFile(str(part), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        for done, lines in _mapped(encode, rows, processes):
            writer.write_batch(pa.RecordBatch.from_pylist(lines, schema=SCHEMA))
            progress(done, len(rows))
    part.replace(path)
    return Examples(path)


def _mapped(
    encode: Callable[[Sequence[tuple[int, Row]]], list[dict[str, Any]]], rows: Sequence[Row], processes: int
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """(rows done so far, lines of the last piece), piece after piece in order."""
    numbered = list(enumerate(rows))
    pieces = [numbered[k : k + AT_ONCE] for k in range(0, len(rows), AT_ONCE)]
    if len(rows) <= FEW or processes == 1:
        yield from _counted(map(encode, pieces), pieces)
        return
    # A forked process begins at once, and asks nothing of the script that this one runs.
    how = "fork" if sys.platform == "linux" else "spawn"
    with multiprocessing.get_context(how).Pool(min(processes, len(pieces)), _alone) as pool:
        yield from _counted(pool.imap(encode, pieces), pieces)


def _alone() -> None:
    """One thread for each process of a pool: together they take all cores already."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _counted(found: Iterable[Any], pieces: Sequence[Sequence[Any]]) -> Iterator[tuple[int, Any]]:
    done = 0
    for piece, lines in zip(pieces, found, strict=True):
        done += len(piece)
        yield done, lines


def _encoded(stage: Stage, encoder: Encoder, rows: Sequence[tuple[int, Row]]) -> list[dict[str, Any]]:
    lines = []
    for number, row in rows:
        try:
            examples = stage.encode(row, encoder)
        except (RowError, DataError) as error:
            lines.append({"row": number, "refused": str(error)})
            continue
        lines += [
            {
                "row": number,
                "ids": [list(text.ids) for text in example.texts],
                "reads": [list(text.reads) for text in example.texts],
                "label": example.label,
                "margin": example.margin,
            }
            for example in examples
        ]
    return lines


def encoded(
    rows: Sequence[Row],
    stage: Stage,
    encoder: Encoder,
    *,
    processes: int | None = None,
    first: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Examples:
    """The examples of rows, out of the cache folder if the same rows were encoded in the same way before.

    processes: None: one for each core. first: the number of the first example (see `Example.number`).
    """
    path = cache_dir() / "tokens" / f"{_key(rows, stage, encoder)}.arrow"
    if not path.exists():
        write_examples(path, rows, stage, encoder, processes=processes or os.cpu_count() or 1, progress=progress)
    return Examples(path, first)


def _key(rows: Sequence[Row], stage: Stage, encoder: Encoder) -> str:
    """A hash over all that tokens depend on."""
    found = hashlib.sha256(code_hash().encode())
    tokenizer = encoder.tokenizer
    vocabulary = json.dumps(tokenizer.get_vocab(), sort_keys=True)
    how = (stage.wording(), encoder.system, encoder.learn, encoder.max_length, encoder.truncation, encoder.max_images)
    for part in (vocabulary, str(tokenizer.chat_template), str(tokenizer.init_kwargs), str(how)):
        found.update(part.encode())
    for row in rows:
        found.update(json.dumps(row.as_dict(), sort_keys=True, default=str).encode())
    return found.hexdigest()
