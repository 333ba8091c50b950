"""How much of each part a repair gets: what is tuned, on the development split, apart from the settings.

The parts are described in `plan.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

PER_STEP: Mapping[str, int] = {
    "line": 16,
    "reverse": 1,
    "story": 1,
    "told": 1,
    "reply": 1,
    "question": 5,
    "cue": 8,
    "agreement": 4,
    "opening": 2,
    "chat": 1,
    "text": 2,
}
"""Rows of each part in one training step."""

ROUND = 60
"""Steps in which no row comes twice, as far as there are so many. More rows cost more of the reference model's time, so
a longer training goes round them again."""


def rows_per_part(per_step: Mapping[str, int], steps: int) -> dict[str, int]:
    """Most rows of each part for a training of so many steps."""
    return {part: count * min(steps, ROUND) for part, count in per_step.items()}


SHORT = 0.75
"""Share of the chosen answers that are as short as the rejected ones, so that length is not what is learned."""
