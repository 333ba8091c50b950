"""Rows as they are needed, from sets that are larger than the memory or the disk: shuffled, mixed, and repeatable."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from random import Random

from chunfen.data.load import Rejected
from chunfen.data.mix import check_probabilities, interleave, shuffled
from chunfen.data.row import Row
from chunfen.data.source import Source, open_source
from chunfen.errors import DataError, SettingError
from chunfen.settings.data import DataSettings

log = logging.getLogger("chunfen.data")
Reject = Callable[[Rejected], None]


@dataclass(frozen=True)
class RowStream(Iterable[Row]):
    """The rows of one epoch from row ``start`` on; each pass over it gives the same ones.

    Sources are read one after the other or interleaved, then shuffled in a buffer. The order depends on the settings,
    the seed and the epoch only. What comes before ``start`` is read and passed over, so that a stream can be taken up
    again exactly where it was left. reject: is told of every row that cannot be read, in each pass.
    """

    sources: tuple[Source, ...]
    settings: DataSettings
    reject: Reject
    epoch: int = 0
    start: int = 0

    def at(self, epoch: int, start: int = 0) -> RowStream:
        """The same stream at another place."""
        return replace(self, epoch=epoch, start=start)

    def __iter__(self) -> Iterator[Row]:
        return islice(
            shuffled(self._mixed(), self.settings.shuffle_buffer_size, self._draw("shuffle")), self.start, None
        )

    def _mixed(self) -> Iterator[Row]:
        if not self.settings.interleave_prob:
            return (row for source in self.sources for row in self._rows(source))
        again = [lambda source=source: self._rows(source) for source in self.sources]
        how = self.settings
        return interleave(again, how.interleave_prob, how.stopping_strategy, self._draw("interleave"))

    def _rows(self, source: Source) -> Iterator[Row]:
        """Those of one source: all, or the first ``#N``, again from the first where it has fewer."""
        wanted, given = source.ref.rows, 0
        while True:
            for row in islice(self._good(source), None if wanted is None else wanted - given):
                given += 1
                yield row
            if not given:
                raise DataError(f"dataset {source.ref.text!r}: no row can be read.")
            if wanted is None or given == wanted:
                return

    def _good(self, source: Source) -> Iterator[Row]:
        for found in source.each():
            if isinstance(found, Row):
                yield found
            elif self.settings.strict:
                raise DataError(str(found))
            else:
                self.reject(found)

    def _draw(self, what: str) -> Random:
        return Random(f"{self.settings.order_seed} {what} {self.epoch}")


def stream_datasets(datasets: Sequence[str], settings: DataSettings, reject: Reject | None = None) -> RowStream:
    """The data sets as a stream. Of a set with ``#N`` its first N rows.

    reject: what to do with a row that cannot be read, such as a `RejectedFile`; None: a warning in the log. Raises
    SettingError for what is not known or cannot be done with a stream.

    >>> settings = DataSettings(dataset=("instructions-en", "instructions-zh"), interleave_prob=(0.5, 0.5))
    >>> stream = stream_datasets(settings.dataset, settings)
    >>> list(stream.at(epoch=1, start=100)) == list(stream.at(epoch=1))[100:]
    True
    """
    if not datasets:
        raise SettingError(
            "dataset: none is given. Write --dataset with a name that `chunfen data list` shows, or a file."
        )
    if settings.split_dataset_ratio:
        raise SettingError(
            "split_dataset_ratio: a stream cannot be split, as nobody knows its end. Name a val_dataset instead."
        )
    check_probabilities(settings.interleave_prob, datasets)
    sources = tuple(open_source(text, settings) for text in datasets)
    return RowStream(sources, settings, warn if reject is None else reject)


def warn(row: Rejected) -> None:
    """Say in the log that a row cannot be read."""
    log.warning("%s", row)


class RejectedFile:
    """Lists rows that cannot be read in a file as they turn up, each once, however often a stream passes them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: set[tuple[str, int]] = set()
        if path.is_file():  # of the same run, before it was interrupted
            for line in path.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                self._seen.add((row["file"], row["line"]))

    @property
    def count(self) -> int:
        """How many are listed."""
        return len(self._seen)

    def __call__(self, row: Rejected) -> None:
        if (row.file, row.line) not in self._seen:
            self._seen.add((row.file, row.line))
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
