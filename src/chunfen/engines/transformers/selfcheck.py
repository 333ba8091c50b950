"""Does this model compute the same over a tree of texts as one by one? Asked of the model itself, not of its
name."""

from __future__ import annotations

import random

import numpy as np
import torch

from chunfen.engines.transformers.scoring import Model, token_logprobs

TOLERANCE = 1e-3
"""Nats per token in fp32. Every known way to get a tree wrong is off by far more."""

COARSE_TOLERANCE = 0.25
"""The same for half-precision weights, whose rounding alone moves a log-probability by some hundredths."""

_CANNOT = (
    RuntimeError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    NotImplementedError,
    AssertionError,
)
"""How a model says that it does not take a four-dimensional mask or position ids."""


def tree_refusal(model: Model) -> str:
    """Why the model must not be given trees of texts; "" if it can.

    Six short branching sequences are scored as a tree and one by one. Models with recurrent or linear-
    attention layers, with ALiBi, or with a mask format of their own fail here and take the plain path.
    """
    sequences, reads = branching_sequences(model.config.get_text_config())
    alone = [
        token_logprobs(model, [s], [r], tree=False, batch_tokens=1)[0] for s, r in zip(sequences, reads, strict=True)
    ]
    try:
        shared = token_logprobs(model, sequences, reads, tree=True, batch_tokens=4096)
    except _CANNOT as error:
        first_line = (str(error).splitlines() or [""])[0]
        return f"it does not take a tree mask ({type(error).__name__}: {first_line[:120]})"
    worst = float(np.abs(np.concatenate(alone) - np.concatenate(shared)).max())
    limit = TOLERANCE if model.dtype == torch.float32 else COARSE_TOLERANCE
    return "" if worst <= limit else f"log-probabilities over a tree are off by {worst:.2g} nats"


def branching_sequences(config: object) -> tuple[list[list[int]], list[range]]:
    """Six sequences that fork at two depths, longer than a short sliding window, and what to read."""
    rng = random.Random(0)
    vocabulary = min(config.vocab_size, 20_000)  # type: ignore[attr-defined]
    window = getattr(config, "sliding_window", None) or 0
    stem_length = window + 4 if 0 < window <= 64 else 6

    def tokens(count: int) -> list[int]:
        return [rng.randrange(vocabulary) for _ in range(count)]

    stem = tokens(stem_length)
    branches = [stem + tokens(3) for _ in range(2)]
    sequences = [branch + tokens(length) for branch in branches for length in (4, 6, 3)]
    return sequences, [range(2, len(sequence)) for sequence in sequences]
