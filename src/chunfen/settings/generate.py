"""How text is generated when a person, not an audit, asks for it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from chunfen.settings.base import Settings


class GenerateSettings(Settings):
    """What to answer, and how."""

    prompt: str | None = None
    """Answer this one question and stop; none: a conversation in the terminal."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 512
    """Length of a reply in tokens, at most."""
    temperature: Annotated[float, Field(ge=0)] = 0.7
    """Sampling temperature; 0: always the likeliest token."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Sample from the smallest set of tokens that holds this much probability."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Sample from this many likeliest tokens; 0: from all."""
    seed: int = 42
    """Seed of the sampling."""
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0
    """Divides the logits of tokens that were used already; 1: off."""
