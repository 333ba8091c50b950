"""The repair objective: what each kind of row pulls on, as a pure function of log-probabilities.

    parity   huber(margin)            the two texts become equally likely …
             + huber(level − ref)     … at the likelihood they had together,
             + KL(even split ‖ π)     and at the word that tells them apart everything else stays
    prefer   DPO(margin, ref, label)  the balanced answer rather than the model's own leaning one
             + NLL(chosen)            which itself becomes likely: DPO alone lets both fall
    keep     KL(reference ‖ π)        wherever the model is to stay as it is
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chunfen.data.rows import Objective
from chunfen.train.losses import dpo_loss, margin_loss, sparse_kl


@dataclass(frozen=True, slots=True)
class ObjectiveWeights:
    """Weights of the terms above. beta: strength of the pull towards the reference in DPO."""

    beta: float = 0.1
    parity: float = 1.0
    level: float = 0.2
    split: float = 1.0
    prefer: float = 1.0
    nll: float = 0.3
    keep: float = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """What the reference model says about one row.

    logprobs: [texts], summed over each text's read tokens. ids, probabilities: [positions, K], the wanted sparse
    distributions: for `parity` one position (the word that differs, already split evenly), or none; for `keep` every
    read position of the chosen text; for `prefer` none.
    """

    logprobs: Tensor
    ids: Tensor
    probabilities: Tensor


@dataclass(frozen=True, slots=True)
class Scored:
    """What the policy says about one row: for each text the log-probabilities over the vocabulary at each read
    position [positions, vocabulary], and of the tokens that stand there [positions]."""

    distributions: tuple[Tensor, ...]
    logprobs: tuple[Tensor, ...]


def row_loss(objective: Objective, scored: Scored, target: Target, weights: ObjectiveWeights, label: float) -> Tensor:
    """The loss of one row: a scalar."""
    sums = torch.stack([text.sum() for text in scored.logprobs])
    if objective == "keep":
        return weights.keep * sparse_kl(scored.distributions[0], target.ids, target.probabilities).mean()
    margin = (sums[0] - sums[1])[None]
    reference_margin = (target.logprobs[0] - target.logprobs[1])[None]
    if objective == "prefer":
        nll = -scored.logprobs[0].mean()
        return weights.prefer * dpo_loss(margin, reference_margin, weights.beta, label)[0] + weights.nll * nll
    loss = weights.parity * margin_loss(margin)[0]
    loss = loss + weights.level * margin_loss((sums.mean() - target.logprobs.mean())[None])[0]
    if len(target.ids):
        loss = loss + weights.split * sparse_kl(scored.distributions[0][:1], target.ids, target.probabilities)[0]
    return loss
