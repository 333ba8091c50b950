"""Losses of preference between two answers, as TRL's DPO, CPO and ORPO have them.

Each takes a `Pair` and `Options` and returns a loss per row [rows]; a batch's loss is their mean. What is trained
under other names is a sum of these:

CPO      sigmoid (or hinge, ipo) without a reference, + cpo_alpha · sft
SimPO    simpo, + cpo_alpha · sft where wanted
ORPO     odds_ratio + sft
RPO      sigmoid + rpo_alpha · sft        (Pang et al. 2024)
MPO      0.8 · sigmoid + 0.2 · bco_pair + sft        (Wang et al. 2024)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from chunfen.train.losses.pair import EXAMPLE as EXAMPLE
from chunfen.train.losses.pair import Options, Pair, score


def logistic(logit: Tensor, label: Tensor | float = 1.0) -> Tensor:
    """Cross-entropy of a label, 0 to 1, against the probability σ(logit). Any shape.

    >>> logistic(torch.tensor([0.0, 2.0]), 0.75)
    tensor([0.6931, 0.6269])
    """
    return -label * F.logsigmoid(logit) - (1 - label) * F.logsigmoid(-logit)


def _logit(pair: Pair, options: Options) -> Tensor:
    """beta times what the chosen answer gained more than the rejected one [rows]."""
    return options.beta * (score(pair.chosen_ratio, options) - score(pair.rejected_ratio, options))


def _lead_per_token(pair: Pair, options: Options) -> Tensor:
    chosen, rejected = score(pair.chosen_ratio, options), score(pair.rejected_ratio, options)
    return chosen / pair.chosen_length - rejected / pair.rejected_length


def sigmoid(pair: Pair, options: Options) -> Tensor:
    """Direct preference optimisation (Rafailov et al. 2023, equation 7).

    With a label below 1 it is the conservative form of Mitchell (2023), which TRL 1.16 has in its CPO and no longer
    in its DPO: there, label smoothing leaves this loss as it is.

    >>> sigmoid(EXAMPLE, Options(beta=0.5))
    tensor([0.2014])
    """
    return logistic(_logit(pair, options), pair.label)


def hinge(pair: Pair, options: Options) -> Tensor:
    """Hinge on the margin; 1 / beta is the margin that suffices (SLiC, Zhao et al. 2023; normalised: Liu et al. 2023).

    >>> hinge(EXAMPLE, Options(beta=0.1))
    tensor([0.7000])
    """
    return torch.relu(1 - _logit(pair, options))


def ipo(pair: Pair, options: Options) -> Tensor:
    """Squared distance of the lead per token from 1 / (2 beta) (Azar et al. 2023, equation 17).

    The paper has whole answers; dividing by their lengths follows TRL, whose authors had it confirmed by the paper's.

    >>> ipo(EXAMPLE, Options(beta=0.5))
    tensor([0.0625])
    """
    return (_lead_per_token(pair, options) - 1 / (2 * options.beta)) ** 2


def sigmoid_norm(pair: Pair, options: Options) -> Tensor:
    """`sigmoid` of the lead per token (length-normalised DPO of Tülu 3, Lambert et al. 2024).

    >>> sigmoid_norm(EXAMPLE, Options(beta=2.0))
    tensor([0.0789])
    """
    return logistic(options.beta * _lead_per_token(pair, options), pair.label)


def exo_pair(pair: Pair, options: Options) -> Tensor:
    """KL of the policy's preference to the label's (EXO, Ji et al. 2024, equation 16). Infinite for labels of 0 or 1.

    >>> from dataclasses import replace
    >>> exo_pair(replace(EXAMPLE, label=0.75), Options(beta=0.5))
    tensor([0.0130])
    """
    logit = _logit(pair, options)
    label = torch.as_tensor(pair.label, dtype=logit.dtype, device=logit.device)
    first = torch.sigmoid(logit) * (F.logsigmoid(logit) - label.log())
    return first + torch.sigmoid(-logit) * (F.logsigmoid(-logit) - torch.log1p(-label))


def robust(pair: Pair, options: Options) -> Tensor:
    """`sigmoid`, unbiased when 1 − label of the labels are flipped (Chowdhury et al. 2024, arXiv 2403.00409).

    Labels have to be above ½. Returns values below 0 too.

    >>> from dataclasses import replace
    >>> robust(replace(EXAMPLE, label=0.75), Options(beta=0.5))
    tensor([-0.5486])
    """
    logit = _logit(pair, options)
    return (-pair.label * F.logsigmoid(logit) + (1 - pair.label) * F.logsigmoid(-logit)) / (2 * pair.label - 1)


def nca_pair(pair: Pair, options: Options) -> Tensor:
    """Noise contrast: each answer's own likelihood instead of their margin (NCA, Chen et al. 2024, arXiv 2402.05369).

    >>> nca_pair(EXAMPLE, Options(beta=0.5))
    tensor([1.2069])
    """
    chosen, rejected = options.beta * pair.chosen_ratio, options.beta * pair.rejected_ratio
    return -F.logsigmoid(chosen) - 0.5 * F.logsigmoid(-chosen) - 0.5 * F.logsigmoid(-rejected)


def bco_pair(pair: Pair, options: Options) -> Tensor:
    """Classify each answer as chosen or rejected (BCO, Jung et al. 2024, arXiv 2404.04656).

    The paper shifts rewards by their running mean; TRL 1.16 does not, and neither does this.

    >>> bco_pair(EXAMPLE, Options(beta=0.5))
    tensor([0.7873])
    """
    return -F.logsigmoid(options.beta * pair.chosen_ratio) - F.logsigmoid(-options.beta * pair.rejected_ratio)


def sppo_hard(pair: Pair, options: Options) -> Tensor:
    """Log-ratios of ±1 / (2 beta) (SPPO, Wu et al. 2024, equation 4.7, where the chosen answer always wins).

    >>> sppo_hard(EXAMPLE, Options(beta=0.5))
    tensor([1.])
    """
    target = 0.5 / options.beta
    return (pair.chosen_ratio - target) ** 2 + (pair.rejected_ratio + target) ** 2


def _optimal_transport(better: Tensor, worse: Tensor, pair: Pair, options: Options) -> Tensor:
    lead = better.sort().values - worse.sort().values
    return logistic(options.beta * lead, torch.as_tensor(pair.label, dtype=lead.dtype, device=lead.device).mean())


def aot(pair: Pair, options: Options) -> Tensor:
    """The batch's margins against those of the reference, both sorted (AOT, Melnyk et al. 2024, arXiv 2406.05882).

    Values are of ranks and not of rows, and labels count by their mean.

    >>> two = Pair(torch.tensor([5.0, 1.0]), torch.zeros(2), torch.ones(2), torch.ones(2), torch.tensor([0.0, 2.0]))
    >>> aot(two, Options(beta=1.0))
    tensor([0.3133, 0.0486])
    """
    margin = pair.chosen - pair.rejected
    return _optimal_transport(margin, torch.zeros_like(margin) + pair.ref_chosen - pair.ref_rejected, pair, options)


def aot_unpaired(pair: Pair, options: Options) -> Tensor:
    """The batch's chosen against its rejected log-ratios, both sorted; else as `aot`.

    >>> two = Pair(torch.tensor([5.0, 1.0]), torch.tensor([0.0, 3.0]), torch.ones(2), torch.ones(2))
    >>> aot_unpaired(two, Options(beta=1.0))
    tensor([0.3133, 0.1269])
    """
    return _optimal_transport(pair.chosen_ratio, pair.rejected_ratio, pair, options)


def apo_zero(pair: Pair, options: Options) -> Tensor:
    """Chosen up, rejected down: where chosen answers are better than the model's (D'Oosterlinck et al. 2024, eq. 7).

    >>> apo_zero(EXAMPLE, Options(beta=0.5))
    tensor([0.6465])
    """
    return torch.sigmoid(-options.beta * pair.chosen_ratio) + torch.sigmoid(options.beta * pair.rejected_ratio)


def apo_down(pair: Pair, options: Options) -> Tensor:
    """Both down, rejected more: where chosen answers are worse than the model's (D'Oosterlinck et al. 2024, eq. 8).

    >>> apo_down(EXAMPLE, Options(beta=0.5))
    tensor([0.9135])
    """
    margin = pair.chosen_ratio - pair.rejected_ratio
    return torch.sigmoid(options.beta * pair.chosen_ratio) + torch.sigmoid(-options.beta * margin)


def discopop(pair: Pair, options: Options) -> Tensor:
    """Logistic where the margin is negative, exponential where it is positive (DiscoPOP, Lu et al. 2024, equation 5).

    The exponents are joined, or exp(100) · 0 of a hopeless pair were not a number, as it is in TRL.

    >>> discopop(EXAMPLE, Options(beta=0.5))
    tensor([0.2231])
    """
    logit = _logit(pair, options)
    steep = logit / options.discopop_tau
    return logistic(logit) * torch.sigmoid(-steep) + torch.exp(F.logsigmoid(steep) - logit)


def sft(pair: Pair, options: Options) -> Tensor:
    """Negative log-likelihood of the chosen answer. The mean over the rows of a batch is the mean over its tokens.

    >>> sft(EXAMPLE, Options())
    tensor([2.])
    """
    tokens = (pair.chosen_length + pair.prompt_length).sum()
    return -(pair.chosen + pair.prompt) * (len(pair.chosen) / tokens)


def simpo(pair: Pair, options: Options) -> Tensor:
    """The lead per token, without a reference, against a wanted one of gamma / beta (Meng et al. 2024, equation 6).

    With alpha_divergence and a coefficient of 1 − α it is AlphaPO (Gupta et al. 2025).

    >>> simpo(EXAMPLE, Options(beta=2.0, simpo_gamma=0.5))
    tensor([2.1269])
    """
    chosen, rejected = pair.chosen / pair.chosen_length, pair.rejected / pair.rejected_length
    lead = score(chosen, options) - score(rejected, options)
    return logistic(options.beta * lead - options.simpo_gamma, pair.label)


def odds_ratio(pair: Pair, options: Options) -> Tensor:
    """beta times the log-odds part of ORPO, of mean log-probabilities (Hong et al. 2024, equation 7).

    ORPO adds `sft` to it (equation 6). TRL and the authors' code take that likelihood over prompt and answer: give the
    pair its `prompt` for the same.

    >>> odds_ratio(EXAMPLE, Options(beta=0.5))
    tensor([0.6357])
    """

    def log_odds(mean: Tensor) -> Tensor:
        # log p / (1 - p); a probability of 1 would have infinite odds, and gradients that are not a number.
        certain = -torch.finfo(mean.dtype).eps
        return mean - torch.log(-torch.expm1(mean.clamp_max(certain)))

    chosen, rejected = pair.chosen / pair.chosen_length, pair.rejected / pair.rejected_length
    return -options.beta * F.logsigmoid(log_odds(chosen) - log_odds(rejected))


Loss = Callable[[Pair, Options], Tensor]

PREFERENCE_LOSSES: Mapping[str, Loss] = {
    loss.__name__: loss
    for loss in (
        *(sigmoid, hinge, ipo, exo_pair, nca_pair, robust, bco_pair, sppo_hard, aot, aot_unpaired),
        *(apo_zero, apo_down, discopop, sft, sigmoid_norm),  # so far TRL's loss types, in its order
        *(simpo, odds_ratio),
    )
}
"""Every loss by its name in `loss_type`."""

NEEDS_REFERENCE = frozenset(PREFERENCE_LOSSES) - {"sft", "simpo", "odds_ratio"}
"""Losses that ask what the reference says; where it says nothing, its log-probabilities are 0 (`reference_free`)."""

USES_LABEL = frozenset({"sigmoid", "sigmoid_norm", "simpo", "exo_pair", "robust", "aot", "aot_unpaired"})
"""Losses that heed labels below 1; to the others the chosen answer is the better one."""

ALLOWS_DIVERGENCE = frozenset(PREFERENCE_LOSSES) - {
    *("nca_pair", "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero", "apo_down", "odds_ratio")
}
"""Losses that divergences other than reverse_kl make sense for. They know a score but for a constant of the prompt, so
that only differences of two may be used."""
