"""Choosing the next token, so that a reply depends on its seed, prompt and number, and on nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from chunfen.engines.base import Message

_LIKELY = 256
"""A nucleus is looked for among this many likeliest tokens before the whole vocabulary is sorted."""

_BLOCK = 256
"""Tokens whose probabilities are summed up first, so that only one such block a row is looked into."""


def uniforms(seed: int, prompt: str | Sequence[Message], sample: int, count: int) -> npt.NDArray[np.float64]:
    """The random numbers [count] in [0, 1) behind one reply, one per token.

    Two replies share them exactly if seed, prompt and sample number are the same; a larger count only adds
    more.

    >>> bool((uniforms(42, "The nurse", 0, 3) == uniforms(42, "The nurse", 0, 9)[:3]).all())
    True
    >>> bool((uniforms(42, "The nurse", 0, 3) == uniforms(42, "The nurse", 1, 3)).any())
    False
    """
    key = hashlib.sha256(json.dumps([seed, prompt, sample]).encode()).digest()
    return np.random.default_rng(int.from_bytes(key, "big")).random(count)


def choose(logits: Tensor, uniform: Tensor, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """One token [rows] per row of logits [rows, vocabulary], by inversion of the cumulative distribution.

    uniform [rows]: numbers in [0, 1). temperature 0: the likeliest token. top_k: only the k likeliest (0:
    all). top_p: only the smallest set of likeliest tokens that holds this much probability. Applied in that
    order. Inversion needs one number per token, and a logit that is off by a rounding error moves the border
    between two tokens just as little: the same reply in another batch is the same but for rare, honest ties.

    >>> logits = torch.tensor([[0.5, 0.25, 0.25]]).log()
    >>> [choose(logits, torch.tensor([u])).item() for u in (0.0, 0.49, 0.51, 0.76)]
    [0, 0, 1, 2]
    """
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits.float()
    probabilities = torch.softmax(logits if temperature == 1 else logits / temperature, -1)
    if top_k and top_k < probabilities.shape[-1]:
        probabilities = _at_least(probabilities, probabilities.topk(top_k).values[:, -1:])
    if top_p < 1:
        probabilities = _at_least(probabilities, _nucleus_border(probabilities, top_p))
    return _invert(probabilities, uniform)


def _invert(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """The first token at which the sum of probabilities exceeds its part `uniform` of all: block first, then token."""
    padded = torch.nn.functional.pad(probabilities, (0, -probabilities.shape[-1] % _BLOCK))
    blocks = padded.view(len(padded), -1, _BLOCK)
    cumulative = blocks.sum(-1, dtype=torch.float64).cumsum(-1)
    level = uniform.to(cumulative)[:, None] * cumulative[:, -1:]
    block = _first_above(cumulative, level)
    before = torch.where(block > 0, cumulative.gather(-1, (block - 1).clamp_min(0)), 0.0)
    inside = blocks.take_along_dim(block[..., None], 1)[:, 0].double().cumsum(-1) + before
    return (block * _BLOCK + _first_above(inside, level))[:, 0]


def _first_above(cumulative: Tensor, level: Tensor) -> Tensor:
    """Where a rising sum [rows, n] first exceeds a level [rows, 1]; a level that rounding lifted to the end stays below
    it, so that what is found has added something."""
    last = cumulative[:, -1:].contiguous()
    return torch.searchsorted(cumulative, torch.minimum(level, torch.nextafter(last, last.new_zeros(()))), right=True)


def _at_least(probabilities: Tensor, border: Tensor) -> Tensor:
    """Only what is as likely as the border, or likelier; sums to 1 again."""
    kept = probabilities.masked_fill(probabilities < border, 0)
    return kept / kept.sum(-1, keepdim=True)


def _nucleus_border(probabilities: Tensor, top_p: float) -> Tensor:
    """The least probability [rows, 1] within the smallest set of likeliest tokens that holds top_p."""
    likely = probabilities.topk(min(_LIKELY, probabilities.shape[-1])).values
    if bool((likely.sum(-1) < top_p).any()):
        likely = probabilities.sort(descending=True).values
    before = likely.cumsum(-1) - likely
    last = (before < top_p).sum(-1, keepdim=True) - 1
    return likely.gather(-1, last)
