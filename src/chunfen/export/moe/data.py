"""The rows that a router learns from: one data set per expert, split into rows to train on and rows to measure on."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from chunfen.data.encode import Tokens, encode_row
from chunfen.data.load import Rejected
from chunfen.data.source import load_datasets
from chunfen.errors import DataError
from chunfen.settings.data import DataSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExpertRows:
    """name: the data set, as given. training, held: rows as tokens. rejected: what could not be read."""

    name: str
    training: tuple[Tokens, ...]
    held: tuple[Tokens, ...]
    rejected: tuple[Rejected, ...]


def read_sets(
    names: Sequence[str], tokenizer: Any, *, training: int, held: int, max_length: int, seed: int
) -> list[ExpertRows]:
    """The rows of each expert in a random order: so many to train on and to measure on, or what there is.

    Raises DataError for a data set without two rows to learn from.
    """
    return [_read(name, tokenizer, training, held, max_length, seed) for name in names]


def _read(name: str, tokenizer: Any, training: int, held: int, max_length: int, seed: int) -> ExpertRows:
    loaded = load_datasets((name,), DataSettings(data_seed=seed))
    if loaded.rejected:
        log.warning("%s: %d rows cannot be read; they are listed in the new folder.", name, len(loaded.rejected))
    random.Random(seed).shuffle(loaded.rows)
    encoded = (_end(encode_row(row, tokenizer), max_length) for row in loaded.rows)
    useful = list(islice((row for row in encoded if any(row.learned[1:])), training + held))
    if len(useful) < 2:
        raise DataError(f"{name}: {len(useful)} rows have an answer or a text to learn; a router needs at least two.")
    kept = min(held, len(useful) // 2)
    return ExpertRows(name, tuple(useful[kept:]), tuple(useful[:kept]), tuple(loaded.rejected))


def _end(row: Tokens, max_length: int) -> Tokens:
    """The end of a row, where its answer is.

    >>> _end(Tokens((1, 2, 3), (False, True, True)), 2)
    Tokens(ids=(2, 3), learned=(True, True))
    """
    return Tokens(row.ids[-max_length:], row.learned[-max_length:])
