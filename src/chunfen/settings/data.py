"""Which rows are learned from, in what order, and how long they may be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from chunfen.settings.base import Settings

Stopping = Literal["first_exhausted", "all_exhausted"]
Truncation = Literal["delete", "left", "right", "split"]
SEED = 42


class DataSettings(Settings):
    """What is learned from, and how it is read."""

    dataset: tuple[str, ...] = ()
    """Data sets, each id[:subset][#rows]: a name that `chunfen data list` shows, a hub id such as org/name (HF:: or
    MS:: before it picks the hub), or a file or folder of rows."""
    val_dataset: tuple[str, ...] = ()
    """Data sets to evaluate on, written in the same way."""
    split_dataset_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of each data set that is kept out of training, to evaluate on; not with val_dataset."""
    data_seed: int | None = None
    """Seed of which rows are taken and in what order; none: seed."""
    dataset_num_proc: Annotated[int, Field(ge=1)] | None = None
    """Processes that turn rows into tokens; none: one for each core."""
    streaming: bool = False
    """Read rows as they are needed instead of all at once: for sets that are larger than the memory or the disk."""
    shuffle_buffer_size: Annotated[int, Field(ge=1)] = 1000
    """Rows among which a stream is shuffled; 1: not at all."""
    interleave_prob: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """How often each data set has its turn, a number for each, with sum 1; none: one set after the other."""
    stopping_strategy: Stopping = "first_exhausted"
    """When interleaving ends. first_exhausted: when one set has no more rows. all_exhausted: when each has been read to
    its end at least once; shorter ones begin again."""
    max_length: Annotated[int, Field(ge=1)] | None = None
    """Tokens of a row, at most; none: as many as the longest row has and the model takes."""
    truncation_strategy: Truncation = "delete"
    """What becomes of longer rows. delete: not used, and listed. left, right: cut there. split: made into several."""
    max_images: Annotated[int, Field(ge=0)] | None = None
    """Pictures of a row, at most; rows with more are listed and not used. none: any number."""
    packing: bool = False
    """Put several rows into one sequence of max_length tokens; they do not see each other."""
    learn: Literal["all", "last"] = "all"
    """Which answers of a conversation are learned; a message's own `loss` overrules it."""
    strict: bool = False
    """Stop at the first row that cannot be read, instead of listing it."""
    model_name: str | None = None
    """What the model shall call itself; for data sets such as identity."""
    model_author: str | None = None
    """Who the model shall say has made it; for data sets such as identity."""
    external_plugins: tuple[Path, ...] = ()
    """Python files to run first, for example one that calls DatasetHub.register. Only files that you have read."""

    @property
    def order_seed(self) -> int:
        """Seed of which rows are taken and in what order: data_seed, or else the run's seed."""
        return int(getattr(self, "seed", SEED)) if self.data_seed is None else self.data_seed
