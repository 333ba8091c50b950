"""Losses of repairs: pure functions of log-probabilities.

Margins are log π(first) − log π(second) in nats, summed over tokens. Every function works on a batch and returns
one loss per row, so that rows of one batch can have objectives and weights of their own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from chunfen.train.losses.preference import logistic


def dpo_loss(margin: Tensor, reference_margin: Tensor, beta: float, label: Tensor | float = 1.0) -> Tensor:
    """Direct preference optimisation with a soft label (Rafailov et al. 2023, equation 7; cDPO for labels < 1).

    margin, reference_margin: [rows], chosen − rejected. label: probability that the chosen text is preferred; 1 is
    ordinary DPO. Returns [rows].

    >>> dpo_loss(torch.tensor([2.0]), torch.tensor([0.0]), beta=0.5)
    tensor([0.3133])

    With 0 < label < 1 the loss has a finite optimum, at margin = reference_margin + logit(label) / beta.
    """
    return logistic(beta * (margin - reference_margin), label)


def simpo_loss(lead: Tensor, beta: float, gamma: float, label: Tensor | float = 1.0) -> Tensor:
    """Preference without a reference, per token (Meng et al. 2024, SimPO).

    lead: [rows], mean log π per token of the chosen text minus that of the rejected one. The pull ends where the
    chosen text leads by a good deal more than gamma / beta nats a token: what is preferred already is left alone.
    label: as for `dpo_loss`. Returns [rows].

    >>> simpo_loss(torch.tensor([0.5, 4.0]), beta=2.0, gamma=1.0)
    tensor([0.6931, 0.0009])
    """
    return logistic(beta * lead - gamma, label)


def parity_label(reference_margin: Tensor, beta: float) -> Tensor:
    """The soft label with which `dpo_loss` has its optimum at margin 0: σ(−beta · reference_margin).

    A pair that leans towards the first text gets a label below ½ and is pulled back, a pair that leans the other
    way above ½: the sign takes care of itself.

    >>> margin = torch.tensor([0.0], requires_grad=True)
    >>> reference = torch.tensor([1.7])
    >>> dpo_loss(margin, reference, 0.3, parity_label(reference, 0.3)).sum().backward()
    >>> bool(margin.grad.abs() < 1e-6)
    True
    """
    return torch.sigmoid(-beta * reference_margin)


def margin_loss(margin: Tensor, target: Tensor | float = 0.0, scale: float = 1.0) -> Tensor:
    """Squared distance of a margin from its target (the IPO form, Azar et al. 2023, with a target per pair).

    Quadratic within `scale` nats and linear beyond (Huber), so that one extreme pair cannot own a batch.

    >>> margin_loss(torch.tensor([0.5, 3.0]))
    tensor([0.1250, 2.5000])
    """
    difference = margin - target
    return F.huber_loss(difference, torch.zeros_like(difference), reduction="none", delta=scale)


def sparse_kl(log_probs: Tensor, target: Tensor) -> Tensor:
    """KL(target ‖ policy) where the target is known for its K most likely tokens and one bucket for all the rest.

    log_probs, target: [positions, K], the policy's log-probabilities and the wanted probabilities of the same K
    tokens; the sums of both are at most 1. Returns [positions], in nats; a lower bound of the KL over the vocabulary.

    >>> sparse_kl(torch.tensor([[0.5, 0.25]]).log(), torch.tensor([[0.5, 0.25]])).abs() < 1e-6
    tensor([True])
    >>> sparse_kl(torch.tensor([[0.25, 0.25]]).log(), torch.tensor([[0.5, 0.25]]))
    tensor([0.1733])
    """
    tiny = 1e-8
    rest_policy = (1 - log_probs.exp().sum(-1)).clamp_min(tiny)
    rest_target = (1 - target.sum(-1)).clamp_min(tiny)
    inside = (target * (target.clamp_min(tiny).log() - log_probs)).sum(-1)
    return inside + rest_target * (rest_target.log() - rest_policy.log())


def even_split(ids: Tensor, target: Tensor, first: Tensor, second: Tensor, overshoot: float = 0.0) -> Tensor:
    """A sparse distribution in which two tokens share their joint mass evenly and everything else stays.

    ids, target: [positions, K] (see `sparse_kl`); first, second: [positions], token ids that stand in `ids`. overshoot:
    instead of 0, the two tokens' log-ratio becomes minus this share of what it is in `target`.

    >>> even_split(torch.tensor([[7, 9, 4]]), torch.tensor([[0.6, 0.1, 0.2]]), torch.tensor([7]), torch.tensor([9]))
    tensor([[0.3500, 0.3500, 0.2000]])
    """
    is_first, is_second = ids == first[:, None], ids == second[:, None]
    one = (target * is_first).sum(-1, keepdim=True)
    other = (target * is_second).sum(-1, keepdim=True)
    tiny = 1e-8
    share = torch.sigmoid(-overshoot * (one.clamp_min(tiny).log() - other.clamp_min(tiny).log()))
    mass = one + other
    return torch.where(is_first, mass * share, torch.where(is_second, mass * (1 - share), target))
