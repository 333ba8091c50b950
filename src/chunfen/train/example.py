"""What a row becomes for training: token sequences, and which of their tokens the loss asks about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """ids: the whole sequence. reads: ascending positions (never 0) whose log-probability is read."""

    ids: tuple[int, ...]
    reads: Sequence[int]

    @classmethod
    def ending(cls, ids: tuple[int, ...], start: int) -> Text:
        """A sequence that is read from a position to its end.

        >>> list(Text.ending((7, 8, 9), 1).reads)
        [1, 2]
        """
        return cls(ids, range(start, len(ids)))


@dataclass(frozen=True, slots=True)
class Example:
    """One row of training. texts: the one to learn, or the better and the worse one.

    label: its class, its score, whether it is wanted, or the probability that the first text is the better one.
    margin: by how much it is better. number: its place among all rows, by which what the reference says of it is found.
    """

    texts: tuple[Text, ...]
    label: float = 1.0
    margin: float = 0.0
    number: int = 0
