"""How the model is made trainable."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from chunfen.settings.base import Settings


class TunerSettings(Settings):
    """What is trained: a small adapter, and where it sits."""

    tuner_type: Literal["lora"] = "lora"
    """The tuning method."""
    lora_rank: Annotated[int, Field(ge=1)] = 16
    """Rank r of the LoRA update BA."""
    lora_alpha: Annotated[float, Field(gt=0)] = 64.0
    """LoRA scale; the update is multiplied by alpha / rank."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout before the update. Must be 0 where texts share a prefix in one row, as in repairs."""
    target_modules: tuple[str, ...] = ("residual",)
    """Which linear layers get an adapter: names; residual: the output layers of attention and MLP, which write into the
    residual stream; all-linear: every one but the head."""
