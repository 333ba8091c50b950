"""What a preference loss is a function of: the log-probabilities of pairs, and a few numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from chunfen.errors import SettingError, did_you_mean

DIVERGENCES = ("reverse_kl", "forward_kl", "js_divergence", "alpha_divergence")
"""Ways to measure how far the policy is from the reference."""

_MOST = 80.0
"""Exponents end here, so that exp stays finite in fp32."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A batch of pairs. Log-probabilities are in nats, summed over the tokens of an answer.

    chosen, rejected [rows]: of the better and the worse answer, by the policy. chosen_length, rejected_length [rows]:
    their tokens. ref_chosen, ref_rejected [rows]: the same by the reference; 0 where there is none.
    label [rows]: probability that the chosen answer is the better one. prompt, prompt_length [rows]: log-probability
    and tokens of the prompt, where the likelihood term is to have them too (see `preference.sft`).
    """

    chosen: Tensor
    rejected: Tensor
    chosen_length: Tensor
    rejected_length: Tensor
    ref_chosen: Tensor | float = 0.0
    ref_rejected: Tensor | float = 0.0
    label: Tensor | float = 1.0
    prompt: Tensor | float = 0.0
    prompt_length: Tensor | float = 0.0

    @property
    def chosen_ratio(self) -> Tensor:
        """log π / π_ref of the chosen answer [rows]."""
        return self.chosen - self.ref_chosen

    @property
    def rejected_ratio(self) -> Tensor:
        """log π / π_ref of the rejected answer [rows]."""
        return self.rejected - self.ref_rejected


@dataclass(frozen=True, slots=True)
class Options:
    """Numbers that the losses share, by the names of their flags. What a loss does not need, it does not read.

    beta: steepness; for ipo the τ of its paper, for odds_ratio its weight. simpo_gamma: lead that simpo asks for, times
    beta. discopop_tau: temperature of discopop. f_divergence_type, f_alpha_divergence_coef: see `score`.
    """

    beta: float = 0.1
    simpo_gamma: float = 0.5
    discopop_tau: float = 0.05
    f_divergence_type: str = "reverse_kl"
    f_alpha_divergence_coef: float = 0.5


EXAMPLE = Pair(
    chosen=torch.tensor([-4.0]),
    rejected=torch.tensor([-5.0]),
    chosen_length=torch.tensor([2.0]),
    rejected_length=torch.tensor([4.0]),
    ref_chosen=torch.tensor([-6.0]),
    ref_rejected=torch.tensor([-4.0]),
)
"""The pair of all examples in this package: log-ratios 2 and -1, so a margin of 3; per token 1 and -0.25."""


def score(ratio: Tensor, options: Options) -> Tensor:
    """What an answer gains by its log-ratio, in any shape: f'(π / π_ref) (f-DPO, Wang et al. 2023, arXiv 2309.16240).

    reverse_kl: the log-ratio itself, as in DPO. forward_kl: 1 − 1/t. js_divergence: log 2t / (1 + t).
    alpha_divergence: (tᵃ⁻¹ − 1) / (a − 1), which is reverse_kl at a = 1 and forward_kl at a = 0.
    a is `f_alpha_divergence_coef`. As in TRL it is 1 − α of the paper, and exponents end at 80.

    >>> score(torch.tensor([0.0, 2.0]), Options(f_divergence_type="forward_kl"))
    tensor([0.0000, 0.8647])
    >>> score(torch.tensor([0.0, 2.0]), Options(f_divergence_type="alpha_divergence"))
    tensor([0.0000, 1.2642])
    """
    kind = options.f_divergence_type
    if kind == "js_divergence":
        return math.log(2) + F.logsigmoid(ratio)
    powers = {"reverse_kl": 0.0, "forward_kl": -1.0, "alpha_divergence": options.f_alpha_divergence_coef - 1}
    if kind not in powers:
        known = ", ".join(DIVERGENCES)
        raise SettingError(f"f_divergence_type {kind!r}: unknown.{did_you_mean(kind, DIVERGENCES)} Known: {known}.")
    power = powers[kind]
    return ratio if abs(power) < 1e-6 else torch.expm1((power * ratio).clamp_max(_MOST)) / power


def smoothed(label: Tensor | float, share: float) -> Tensor | float:
    """Labels when a share of them is taken to be the wrong way round (`label_smoothing`).

    >>> smoothed(torch.tensor([1.0, 0.5]), 0.1)
    tensor([0.9000, 0.5000])
    """
    return label * (1 - share) + (1 - label) * share


def ld_weights(position: Tensor, shared: Tensor, alpha: float) -> Tensor:
    """Weights of the tokens of an answer where what it has beyond the other one's length counts by alpha only.

    LD-DPO (Liu et al. 2024, arXiv 2409.06411). position [tokens]: the token's place in its answer, from 0.
    shared [tokens]: the shorter length of the pair that it belongs to. The weights belong on the log-probabilities,
    before they are summed, of the policy and of the reference; lengths stay what they are. TRL leaves its `sft` term
    without them. Returns [tokens].

    >>> ld_weights(torch.tensor([0, 1, 2]), torch.tensor([2, 2, 2]), alpha=0.25)
    tensor([1.0000, 1.0000, 0.2500])
    """
    return torch.where(position < shared, 1.0, alpha)


def rewards(pair: Pair, beta: float, *, per_token: bool = False) -> dict[str, Tensor]:
    """The rewards that the policy implies, beta · log π / π_ref, for the log: each [rows], without gradients.

    per_token: the mean over an answer's tokens instead of their sum, as fits simpo and odds_ratio.

    >>> {name: value.item() for name, value in rewards(EXAMPLE, 0.5).items()}
    {'rewards/chosen': 1.0, 'rewards/rejected': -0.5, 'rewards/accuracies': 1.0, 'rewards/margins': 1.5}
    """
    chosen, rejected = beta * pair.chosen_ratio.detach(), beta * pair.rejected_ratio.detach()
    if per_token:
        chosen, rejected = chosen / pair.chosen_length, rejected / pair.rejected_length
    return {
        "rewards/chosen": chosen,
        "rewards/rejected": rejected,
        "rewards/accuracies": (chosen > rejected).float(),
        "rewards/margins": chosen - rejected,
    }
