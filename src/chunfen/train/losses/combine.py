"""Several preference losses at once, and which of them go together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from chunfen.errors import SettingError, did_you_mean
from chunfen.train.losses.pair import DIVERGENCES, Options, Pair
from chunfen.train.losses.pair import EXAMPLE as EXAMPLE
from chunfen.train.losses.preference import ALLOWS_DIVERGENCE, PREFERENCE_LOSSES, USES_LABEL


def combined(pair: Pair, types: Sequence[str], weights: Sequence[float], options: Options) -> Tensor:
    """The weighted sum of several losses, per row [rows]. No weights: 1 each.

    >>> combined(EXAMPLE, ["sigmoid", "sft"], [1.0, 0.5], Options(beta=0.5))
    tensor([1.2014])
    """
    total = torch.zeros_like(pair.chosen)
    for name, weight in zip(types, weights or [1.0] * len(types), strict=True):
        total = total + weight * PREFERENCE_LOSSES[name](pair, options)
    return total


def check_losses(
    types: Sequence[str],
    weights: Sequence[float] = (),
    *,
    label_smoothing: float = 0.0,
    f_divergence_type: str = "reverse_kl",
) -> None:
    """Raise SettingError, before an hour is lost, for losses that cannot be computed or would ignore a setting.

    >>> check_losses(["sigmoid", "sft"], [1.0, 0.5], label_smoothing=0.1)
    >>> check_losses(["hinge"], label_smoothing=0.1)
    Traceback (most recent call last):
    ...
    chunfen.errors.SettingError: label_smoothing 0.1: hinge would ignore it; leave it out.
    """
    for name in types:
        if name not in PREFERENCE_LOSSES:
            known = ", ".join(PREFERENCE_LOSSES)
            raise SettingError(f"loss_type {name!r}: unknown.{did_you_mean(name, PREFERENCE_LOSSES)} Known: {known}.")
    if not types:
        raise SettingError("loss_type: names no loss; give at least one, such as sigmoid.")
    if weights and len(weights) != len(types):
        raise SettingError(f"loss_weights: {len(weights)} for {len(types)} losses; give one for each, or none.")
    _check_label(types, label_smoothing)
    _check_divergence(types, f_divergence_type)


def _check_label(types: Sequence[str], share: float) -> None:
    if not 0 <= share < 0.5:
        raise SettingError(f"label_smoothing {share:g}: give a share of pairs, at least 0 and below 0.5.")
    if "exo_pair" in types and share == 0:
        raise SettingError("label_smoothing 0: exo_pair would be infinite; its paper takes 0.001.")
    # The likelihood of the chosen answer stands beside a preference, whichever way the label points.
    deaf = [name for name in types if name not in USES_LABEL | {"sft"}]
    if share and (deaf or set(types) == {"sft"}):
        raise SettingError(f"label_smoothing {share:g}: {', '.join(deaf or types)} would ignore it; leave it out.")


def _check_divergence(types: Sequence[str], kind: str) -> None:
    if kind not in DIVERGENCES:
        known = ", ".join(DIVERGENCES)
        raise SettingError(f"f_divergence_type {kind!r}: unknown.{did_you_mean(kind, DIVERGENCES)} Known: {known}.")
    fixed = [name for name in types if name not in ALLOWS_DIVERGENCE]
    if kind != "reverse_kl" and fixed:
        raise SettingError(f"f_divergence_type {kind!r}: {', '.join(fixed)} takes reverse_kl only; leave it out.")
