"""Losses of single tokens, as TRL's SFT has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor


def nll(log_probs: Tensor) -> Tensor:
    """Negative log-likelihood. log_probs: of the right tokens, in any shape, in nats.

    >>> import torch
    >>> nll(torch.tensor([-0.5, -2.0]))
    tensor([0.5000, 2.0000])
    """
    return -log_probs


def dft(log_probs: Tensor) -> Tensor:
    """`nll` weighted by the token's own probability, which gets no gradient (dynamic fine-tuning, Wu et al. 2025).

    >>> import torch
    >>> dft(torch.tensor([0.5, 0.25]).log())
    tensor([0.3466, 0.3466])
    """
    return -log_probs * log_probs.detach().exp()


TOKEN_LOSSES: Mapping[str, Callable[[Tensor], Tensor]] = {"nll": nll, "dft": dft}
"""Every loss by its name in `loss_type`. A step's loss is their sum divided by the tokens that are learned in it."""
