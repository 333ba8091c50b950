"""How text is generated when a person, not an audit, asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from chunfen.settings.base import Settings
from chunfen.settings.run import RunSettings


class SamplingSettings(Settings):
    """How a reply is chosen, token by token."""

    max_new_tokens: Annotated[int, Field(ge=1)] = 512
    """Length of a reply in tokens, at most."""
    temperature: Annotated[float, Field(ge=0)] = 0.7
    """Sampling temperature; 0: always the likeliest token."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Sample from the smallest set of tokens that holds this much probability."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Sample from this many likeliest tokens; 0: from all."""
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0
    """Divides the logits of tokens that were used already; 1: off. Not for a data set."""
    seed: int = 42
    """Seed of the sampling: the same seed and the same question give the same reply."""


class BatchSettings(RunSettings):
    """Answering a whole data set, in a run folder."""

    dataset: tuple[str, ...] = ()
    """Data sets by name, or files of rows: answer every row instead of talking."""
    load_data_args: bool = False
    """Answer the rows that the adapter was evaluated on in its training; if there were none, those it learned from."""
    result_path: Path | None = None
    """Where the replies are written, a new .jsonl file; none: results.jsonl in the run folder."""
    max_batch_size: Annotated[int, Field(ge=1)] = 64
    """Rows that are answered together; their replies are written before the next ones are begun."""
    batch_tokens: Annotated[int, Field(ge=64)] = 4096
    """Tokens computed in one forward pass, at most."""
    num_return_sequences: Annotated[int, Field(ge=1)] = 1
    """Replies to each row; more than one takes a temperature above 0."""
    strict: bool = False
    """Stop at the first row that cannot be read or asked."""


class GenerateSettings(SamplingSettings, BatchSettings):
    """What to answer: what is typed, one question, or a data set."""

    infer_backend: Literal["transformers"] = "transformers"
    """The engine that answers."""
    prompt: str | None = None
    """Answer this one question and stop; none: a conversation in the terminal."""
