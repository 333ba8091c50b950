"""Is the model that was made the one that was meant? Asked of its logits on a few texts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from chunfen.errors import ChunfenError

TEXTS = (
    "The nurse told the engineer that the report would be ready on Monday, because",
    "春分这一天，白昼和黑夜一样长。",
    "def mean(values):\n    return sum(values) / len(values)\n",
)
COMPUTED = {"float32": 5e-4, "float16": 2e-2, "bfloat16": 1e-1}
WRITTEN = {"float32": 5e-4, "float16": 1e-2, "bfloat16": 4e-2}
"""Greatest difference of two logits, as a share of the largest logit, that comes of rounding: of everything that a
forward pass computes, or of the weights alone. In float32 a weight that is merged wrongly is off by far more."""


def tolerance(computed: str, written: str) -> float:
    """The share of the largest logit by which two may differ: number formats of the computation and of the weights."""
    return max(COMPUTED[computed], WRITTEN[written])


def check_ids(tokenizer: Any, vocabulary: int) -> list[list[int]]:
    """Token ids of a few texts, as far as the tokenizer knows them, and some drawn at random from the vocabulary."""
    rng = random.Random(0)
    drawn = [rng.randrange(vocabulary) for _ in range(32)]
    written = (list(tokenizer(text)["input_ids"]) for text in TEXTS)
    return [*filter(None, written), drawn]


@torch.no_grad()
def logits_of(model: Any, sequences: Sequence[Sequence[int]]) -> Tensor:
    """Logits of every token of every sequence: [tokens, vocabulary], float32, on the CPU."""
    parts = [model(input_ids=torch.tensor([ids], device=model.device)).logits[0] for ids in sequences]
    return torch.cat([part.float().cpu() for part in parts])


def greatest_difference(one: Tensor, other: Tensor) -> float:
    """The greatest difference of two logits.

    >>> greatest_difference(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 2.5]]))
    0.5
    """
    return float((one - other).abs().max())


def compare(wanted: Tensor, made: Tensor, share: float, what: str) -> float:
    """The greatest difference. Raises ChunfenError if it is more than this share of the largest logit."""
    if not torch.isfinite(wanted).all():
        raise ChunfenError(f"{what}: the logits with the adapter on are not finite, so its weights are broken.")
    difference = greatest_difference(wanted, made)
    limit = share * float(wanted.abs().max())
    if not difference <= limit:  # so that NaN fails too
        raise ChunfenError(
            f"{what}: logits are off by {difference:.3g}, more than the {limit:.2g} that rounding explains. "
            "Nothing was written."
        )
    return difference
