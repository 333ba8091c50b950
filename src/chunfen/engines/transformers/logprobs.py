"""Log-probabilities of chosen tokens, with gradients that need no second array as large as the logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_ROWS = 16
"""Rows of logits whose softmax is taken at once: small enough to stay near the cache."""


def picked_logprobs(logits: Tensor, row: Tensor, token: Tensor) -> Tensor:
    """log softmax(logits)[row, token], in fp32 or better.

    logits [rows, vocabulary], in any precision. row, token [n]: which log-probabilities are wanted. Returns [n].

    >>> picked_logprobs(torch.tensor([[0.0, 0.0], [2.0, 2.0]]), torch.tensor([1, 0]), torch.tensor([0, 1]))
    tensor([-0.6931, -0.6931])
    """
    found: Tensor = _PickedLogprobs.apply(logits, row, token)  # type: ignore[no-untyped-call]
    return found


class _PickedLogprobs(torch.autograd.Function):
    """Composed of torch's own operations this takes five arrays of the logits' size in fp32; here it takes one."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, row: Tensor, token: Tensor) -> Tensor:
        normaliser = torch.cat([_exact(part).logsumexp(-1) for part in torch.split(logits, _ROWS)])
        ctx.save_for_backward(logits, normaliser, row, token)
        return _exact(logits[row, token]) - normaliser[row]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        logits, normaliser, row, token = ctx.saved_tensors
        (gradient,) = gradients
        share = torch.zeros_like(normaliser).index_add_(0, row, gradient)
        found = torch.empty_like(logits)
        for part, out, level, weight in zip(
            *(torch.split(t, _ROWS) for t in (logits, found, normaliser, share)), strict=True
        ):
            out.copy_((_exact(part) - level[:, None]).exp_().mul_(-weight[:, None]))
        found.index_put_((row, token), gradient.to(found.dtype), accumulate=True)
        return found, None, None


def _exact(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
