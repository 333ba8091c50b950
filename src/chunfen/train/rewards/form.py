"""The reward for a form: whether the whole of a reply matches a pattern."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from chunfen.data.row import Row
from chunfen.train.rewards.base import Reward


def form(settings: Any, rows: Sequence[Row]) -> Reward:
    """1 for a reply that matches reward_pattern from its beginning to its end, else 0. Space around it does not count.

    >>> from chunfen.settings.online import RewardsSettings
    >>> reward = form(RewardsSettings(), [])
    >>> reward(["<think>6 * 7</think>\\n<answer>42</answer>", "42", "<answer>42</answer>"], [])
    [1.0, 0.0, 0.0]
    """
    pattern = re.compile(settings.reward_pattern, re.DOTALL)
    return lambda replies, rows: [float(pattern.fullmatch(reply.strip()) is not None) for reply in replies]
