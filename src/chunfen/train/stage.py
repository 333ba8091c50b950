"""What a stage of training is. A new one is a small class: what it reads of a row, and its loss.

rows → prepare → encode → examples → (reference) → [forward → losses] × steps
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from chunfen.data.row import Row
from chunfen.models.loading import Head
from chunfen.train.forward import TextBatch, row_logits

if TYPE_CHECKING:
    from chunfen.train.encode import Encoder
    from chunfen.train.example import Example
    from chunfen.train.reference import Referred

Watched = dict[str, Tensor]
"""Means over a batch that are worth watching, by the name that they have in metrics.jsonl."""


class Stage:
    """Base of all stages. settings: those of the command, of which a stage reads the terms of its loss.

    kinds: the kinds of row that it learns from (see `Row.kind`). head: what the model has to say.
    streams: whether it can begin before it has seen all rows.
    asks: whether the loss asks what a reference model says.
    classes: what it tells apart, once `prepare` has seen the rows.
    """

    kinds: ClassVar[tuple[str, ...]] = ()
    head: ClassVar[Head] = "lm"
    streams: ClassVar[bool] = True
    asks: bool = False
    classes: tuple[Any, ...] = ()

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def prepare(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows as this stage learns from them; most take them as they are."""
        return rows

    def wording(self) -> str:
        """What `encode` depends on besides the row and the encoder, so that tokens are kept apart that differ."""
        return type(self).__name__

    def encode(self, row: Row, encoder: Encoder) -> list[Example]:
        """The examples of a row: one, or several where a long text is split. Raises RowError for a row of no use."""
        raise NotImplementedError

    def needs_reference(self, example: Any) -> bool:
        """Whether the loss asks what the reference model says of an example."""
        return self.asks

    def distributions(self, example: Any) -> range:
        """At which read positions of its first text a whole distribution of the reference is aimed at."""
        return range(0)

    def target(self, example: Any, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Of such positions: the tokens asked about, and their wanted probabilities, both [positions, K].

        logits [positions, vocabulary]: those of the reference.
        """
        raise NotImplementedError

    def items(self, batch: TextBatch) -> int | None:
        """How many things the loss of a step is the mean of. None: each part of a step counts the same."""
        return len(batch.rows)

    def forward(self, model: Any, batch: TextBatch, *, tree: bool, dtype: Any = None) -> Tensor:
        """Logits of what is read: of the tokens [read positions, vocabulary], unless the stage has another head."""
        return row_logits(model, batch, tree=tree, dtype=dtype)

    def losses(self, logits: Tensor, batch: TextBatch, reference: Referred | None) -> tuple[Tensor, Watched]:
        """The loss of each row [rows], summed over its items, and what is worth watching.

        reference: what the reference model says of the rows, where the stage asks for it.
        """
        raise NotImplementedError
