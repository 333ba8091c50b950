"""Losses of single answers that are wanted or not, as TRL's KTO has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def kto(ratio: Tensor, desirable: Tensor, beta: float, kl: Tensor | float) -> Tensor:
    """Kahneman–Tversky optimisation (Ethayarajh et al. 2024, equation 7).

    ratio [rows]: log π / π_ref of the answers, summed over their tokens. desirable [rows]: whether an answer is wanted.
    kl: how far the policy is from the reference, see `kto_kl`; a gain below it counts as a loss. Returns [rows].

    >>> kto(torch.tensor([3.0, 3.0]), torch.tensor([True, False]), beta=0.5, kl=1.0)
    tensor([0.2689, 0.7311])
    """
    return torch.sigmoid(torch.where(desirable, -beta, beta) * (ratio - kl))


def apo_zero_unpaired(ratio: Tensor, desirable: Tensor, beta: float, kl: Tensor | float = 0.0) -> Tensor:
    """`kto` against no divergence: `kl` is not read (D'Oosterlinck et al. 2024, equation 7, for single answers).

    >>> apo_zero_unpaired(torch.tensor([2.0, 2.0]), torch.tensor([True, False]), beta=0.5)
    tensor([0.2689, 0.7311])
    """
    return kto(ratio, desirable, beta, 0.0)


UNPAIRED_LOSSES: Mapping[str, Callable[[Tensor, Tensor, float, Tensor | float], Tensor]] = {
    "kto": kto,
    "apo_zero_unpaired": apo_zero_unpaired,
}
"""Every loss by its name in `loss_type`."""

NEEDS_KL = frozenset({"kto"})
"""Losses that ask for the divergence, so for the answers to other rows' prompts as well."""


def desirability(desirable: Tensor, desirable_weight: float, undesirable_weight: float) -> Tensor:
    """The weight of each answer's loss [rows] (λ_D and λ_U of KTO).

    >>> desirability(torch.tensor([True, False]), 1.0, 1.5)
    tensor([1.0000, 1.5000])
    """
    return torch.where(desirable, desirable_weight, undesirable_weight)


def mismatched(answers: Sequence[T]) -> list[T]:
    """The answers of a batch, moved on by one row: none stands below its own prompt, and all of them are still there.

    >>> mismatched(["first", "second", "third"])
    ['third', 'first', 'second']
    """
    return [*answers[-1:], *answers[:-1]]


def kto_kl(policy: Tensor, reference: Tensor) -> Tensor:
    """Estimate of KL(π ‖ π_ref), in nats an answer, from answers below prompts that are not theirs (see `mismatched`).

    policy, reference [rows]: summed log-probabilities of such answers: all those of a step, of every process, since the
    mean is taken before it is cut off at 0. A batch of one row has no mismatch, and its gain would cancel out: give
    two or more. Returns one number without gradients (section 4.1 of the KTO paper).

    >>> kto_kl(torch.tensor([-3.0, -4.0]), torch.tensor([-5.0, -5.0]))
    tensor(1.5000)
    >>> kto_kl(torch.tensor([-3.0, -4.0]), torch.tensor([-2.0, -1.0]))
    tensor(0.)
    """
    return (policy - reference).detach().mean().clamp_min(0)
