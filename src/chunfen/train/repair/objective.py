"""The repair objective: what each kind of row pulls on, as a pure function of log-probabilities.

parity   huber(margin − target)   the two texts become equally likely …
         + huber(level − ref)     … at the likelihood they had together,
         + KL(even split ‖ π)     and at the word that tells them apart everything else stays
prefer   SimPO(lead per token)    the balanced answer rather than the model's own leaning one,
         + NLL(chosen)            which itself becomes likely: a margin alone lets both fall
hold     huber((ref + LEAD − margin)₊)   what was right comes a little further ahead, and is then left alone
keep     KL(reference ‖ π)        wherever the model is to stay as it is
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from chunfen.data.repair_row import RepairRow
from chunfen.settings.repair import RepairSettings
from chunfen.train.forward import Scored, TextBatch
from chunfen.train.losses import dpo_loss, margin_loss, simpo_loss, sparse_kl

LEAD = 1.0
"""Nats that `hold` asks for beyond the reference: a guard has to exclude a loss, not just to expect none."""


def needs_reference(row: RepairRow, objective: RepairSettings) -> bool:
    """Whether the loss of a row asks what the reference model says of it."""
    return row.objective != "prefer" or objective.loss_type != "simpo"


def batch_losses(
    batch: TextBatch,
    scored: Scored,
    reference: tuple[Tensor, Tensor],
    objective: RepairSettings,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of each row [rows], and the means of what is worth watching.

    reference: (sums [rows, 2], target [kept, K]) of the same rows, see `Reference.of`; `scored` was asked for the
    tokens that the targets are about.
    """
    sums, target = (part.to(scored.sums.device) for part in reference)
    kinds = [row.row.objective for row in batch.rows]
    label = torch.tensor([row.row.label for row in batch.rows], device=sums.device)
    two = torch.tensor([len(row.texts) == 2 for row in batch.rows], device=sums.device)
    first = batch.first.to(sums.device)
    second = first + two.long()

    def lead(values: Tensor) -> Tensor:
        """Of the first text over the second [rows]; 0 where there is one text."""
        return torch.where(two, values[first] - values[second], 0.0)

    margin, reference_margin = lead(scored.sums), sums[:, 0] - sums[:, 1]

    kl = sparse_kl(scored.kept, target)
    owner = batch.owner.to(sums.device)
    counts = torch.bincount(owner, minlength=len(kinds)).clamp_min(1)
    divergence = torch.zeros(len(kinds), device=sums.device).index_add(0, owner, kl) / counts

    level = (scored.sums[first] + scored.sums[second] - sums.sum(1)) / 2
    parity = objective.parity_weight * margin_loss(margin, -objective.overshoot * reference_margin)
    parity = parity + objective.level_weight * margin_loss(level) + objective.split_weight * divergence
    if objective.loss_type == "simpo":
        gain = lead(scored.means)
        preference = simpo_loss(gain, objective.beta, objective.simpo_gamma, label)
    else:
        gain = margin - reference_margin
        preference = dpo_loss(margin, reference_margin, objective.beta, label)
    prefer = objective.prefer_weight * preference - objective.rpo_alpha * scored.means[first]
    hold = objective.hold_weight * margin_loss((reference_margin + LEAD - margin).clamp_min(0))
    table = {"parity": parity, "prefer": prefer, "hold": hold, "keep": objective.keep_weight * divergence}
    losses = torch.stack([table[kind][k] for k, kind in enumerate(kinds)])
    return losses, _watched(kinds, gain, margin, reference_margin, divergence)


def _watched(
    kinds: Sequence[str], gain: Tensor, margin: Tensor, reference_margin: Tensor, divergence: Tensor
) -> dict[str, Tensor]:
    """parity_margin: mean size of the margins that shall vanish, parity_before: the same in the reference.
    prefer_accuracy: share of rows whose chosen text leads (SimPO) or has gained on the rejected one (DPO). hold_gain:
    how much the lead of right texts grew, in nats. keep_kl: drift, in nats a token."""
    of = {kind: torch.tensor([k == kind for k in kinds], device=margin.device) for kind in set(kinds)}
    watched = {}
    if "parity" in of:
        watched["parity_margin"] = margin[of["parity"]].abs().mean()
        watched["parity_before"] = reference_margin[of["parity"]].abs().mean()
    if "prefer" in of:
        watched["prefer_accuracy"] = (gain > 0)[of["prefer"]].float().mean()
    if "hold" in of:
        watched["hold_gain"] = (margin - reference_margin)[of["hold"]].mean()
    if "keep" in of:
        watched["keep_kl"] = divergence[of["keep"]].mean()
    return {name: value.detach() for name, value in watched.items()}
