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

ROWS: Mapping[str, int] = {
    "line": 960,
    "reverse": 160,
    "story": 60,
    "told": 100,
    "reply": 60,
    "question": 300,
    "cue": 450,
    "agreement": 240,
    "opening": 100,
    "chat": 70,
    "text": 120,
}
"""Most rows of each part. More cost more of the reference model's time; training goes round them in turn."""

SHORT = 0.75
"""Share of the chosen answers that are as short as the rejected ones, so that length is not what is learned."""

STEREOTYPED = 0.5
"""Share of the rejected answers, among those not said by the model itself, that name the group the item leans to.
The others name the other group: no answer that picks one is to be left attractive."""
