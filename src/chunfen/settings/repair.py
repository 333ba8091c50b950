"""What a repair pulls on, and how hard."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from chunfen.settings.base import Settings

Weight = Annotated[float, Field(ge=0)]


class RepairSettings(Settings):
    """Weights of the repair objective. The defaults were chosen on the development split (bench/choose.py)."""

    beta: Annotated[float, Field(gt=0)] = 0.2
    """Strength with which DPO holds on to the reference."""
    rpo_alpha: Weight = 1.0
    """Weight of the likelihood of the chosen answer, beside DPO."""
    prefer_weight: Weight = 3.0
    """Weight of DPO: balanced answers rather than picking ones."""
    parity_weight: Weight = 2.0
    """Weight of the squared margin between the two texts of a pair."""
    level_weight: Weight = 0.2
    """Weight that keeps a pair's joint likelihood where it was."""
    split_weight: Weight = 2.0
    """Weight of the KL to the reference with the mass of the two group words split evenly."""
    keep_weight: Weight = 1.0
    """Weight of the KL to the reference on the model's own answers to everything else."""
