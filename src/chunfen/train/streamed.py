"""Training on rows that are read as they are needed: sets larger than the memory or the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

from torch.utils.data import IterableDataset

from chunfen.data.formats import RowError
from chunfen.data.load import REJECTED, Rejected
from chunfen.data.stream import RejectedFile, RowStream, stream_datasets
from chunfen.errors import DataError, SettingError
from chunfen.train.example import Example
from chunfen.train.examples import Examples, encoded
from chunfen.train.perform import PACK, Learned, Training
from chunfen.train.stages import STAGES

if TYPE_CHECKING:
    from chunfen.train.encode import Encoder
    from chunfen.train.stage import Stage
    from chunfen.tuners.base import Tuner

AT_ONCE = 4
"""Rows that are computed at once, unless per_device_train_batch_size says so."""


class StreamedBatches(IterableDataset):  # type: ignore[type-arg]
    """Batches out of a stream, epoch after epoch without end; each pass gives the same ones.

    size: examples of a batch. capacity: if given, a batch is filled up to so many tokens instead. reject: is told of
    rows that are of no use to the stage.
    """

    def __init__(
        self,
        rows: RowStream,
        stage: Stage,
        encoder: Encoder,
        *,
        size: int,
        capacity: int | None = None,
        reject: Callable[[Rejected], None],
    ) -> None:
        self.rows, self.stage, self.encoder = rows, stage, encoder
        self.size, self.capacity, self.reject = size, capacity, reject

    def __iter__(self) -> Iterator[list[Example]]:
        batch: list[Example] = []
        for example in self._examples():
            if batch and self._is_full(batch, example):
                yield batch
                batch = []
            batch.append(example)

    def _is_full(self, batch: list[Example], example: Example) -> bool:
        if self.capacity is None:
            return len(batch) == self.size
        return sum(map(_tokens, batch)) + _tokens(example) > self.capacity * self.size

    def _examples(self) -> Iterator[Example]:
        for epoch in count():
            found = 0
            for number, row in enumerate(self.rows.at(epoch), 1):
                try:
                    if row.kind not in self.stage.kinds:
                        raise RowError(f"it is a {row.kind}; this stage learns from: {', '.join(self.stage.kinds)}")
                    examples = self.stage.encode(row, self.encoder)
                except (RowError, DataError) as error:
                    if epoch == 0:
                        self.reject(Rejected(", ".join(self.rows.settings.dataset), number, str(error)))
                    continue
                found += len(examples)
                yield from examples
            if not found:
                raise DataError(f"dataset {', '.join(self.rows.settings.dataset)}: no row can be used.")


def _tokens(example: Example) -> int:
    return sum(len(text.ids) for text in example.texts)


class Streamed(Training):
    """A training that reads its rows as it goes. What the reference says is computed with each batch."""

    def learned(self, encoder: Encoder) -> Learned:
        settings = self.settings
        stage = STAGES[self.name](settings)
        if not stage.streams:
            raise SettingError(f"streaming: {self.name} has to see all rows before it begins. Leave streaming out.")
        if settings.max_steps is None:
            raise SettingError("streaming: a stream has no known end, so give --max_steps.")
        reject = RejectedFile(self.run.folder / REJECTED.name)
        size = settings.per_device_train_batch_size or (1 if settings.packing else AT_ONCE)
        batches = StreamedBatches(
            stream_datasets(settings.dataset, settings, reject),
            stage,
            encoder,
            size=size,
            capacity=(settings.max_length or PACK) if settings.packing else None,
            reject=reject,
        )
        per_step = settings.gradient_accumulation_steps or max(1, settings.accumulation // size)
        return Learned(stage, batches, per_step, settings.max_steps, 1.0, self._validation(stage, encoder))

    def _validation(self, stage: Stage, encoder: Encoder) -> Examples:
        held_out = self.held_out() if self.settings.val_dataset else []
        return encoded([row for row in held_out if row.kind in stage.kinds], stage, encoder, processes=1)

    def reference_of(self, learned: Learned, model: Any) -> None:
        """None is computed before: see `as_reference`."""

    def as_reference(self, learned: Learned, tuner: Tuner) -> Callable[[], Any]:
        if not learned.stage.asks:
            return lambda: None
        if self.settings.ref_model is None and tuner.reference() is not None:
            return tuner.reference
        raise SettingError(
            f"streaming: with tuner_type {self.settings.tuner_type}, adapters or ref_model, {self.name} needs a second "
            "model as its reference. Leave streaming out: what it says is then computed before. Or use a fresh adapter."
        )
