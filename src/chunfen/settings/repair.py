"""What a repair pulls on, and how hard."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from chunfen.settings.base import Settings

Weight = Annotated[float, Field(ge=0)]


class RepairSettings(Settings):
    """Weights of the repair objective. The defaults were chosen on the development split (bench/choose.py)."""

    loss_type: Literal["simpo", "dpo"] = "simpo"
    """How balanced answers are preferred to picking ones: per token and without a reference (simpo), or as sums against
    the reference (dpo; then `beta` is usually 0.1–0.5)."""
    beta: Annotated[float, Field(gt=0)] = 2.5
    """Steepness of the preference loss."""
    simpo_gamma: Weight = 1.25
    """The lead that simpo asks for, times `beta`, in nats per token."""
    rpo_alpha: Weight = 0.5
    """Weight of the likelihood of the chosen answer, beside the preference."""
    prefer_weight: Weight = 1.0
    """Weight of the preference: balanced answers rather than picking ones."""
    parity_weight: Weight = 2.5
    """Weight of the squared margin between the two texts of a pair."""
    overshoot: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """How far beyond parity training pairs are pulled, as a share of their margin in the reference. What is learned
    reaches unseen items in part only; with this they come to parity too."""
    level_weight: Weight = 0.25
    """Weight that keeps a pair's joint likelihood where it was."""
    split_weight: Weight = 2.5
    """Weight of the KL to the reference with the mass of the two group words split evenly."""
    hold_weight: Weight = 2.5
    """Weight that keeps right texts as far ahead of wrong ones as they were."""
    keep_weight: Weight = 3.0
    """Weight of the KL to the reference on the model's own answers to everything else."""
