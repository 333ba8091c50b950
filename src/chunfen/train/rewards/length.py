"""The reward for a length."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from chunfen.data.row import Row
from chunfen.train.rewards.base import Reward

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
"""A character of Chinese or Japanese, or a word of anything else."""


def length(settings: Any, rows: Sequence[Row]) -> Reward:
    """1 for a reply of reward_length words; falls evenly to 0 where there are none, or twice as many.

    >>> from chunfen.settings.online import RewardsSettings
    >>> reward = length(RewardsSettings(reward_length=4), [])
    >>> reward(["one two three four", "one two", "one", "", "a " * 9, "四个汉字"], [])
    [1.0, 0.5, 0.25, 0.0, 0.0, 1.0]
    """
    wanted = settings.reward_length
    return lambda replies, rows: [max(0.0, 1 - abs(words(reply) - wanted) / wanted) for reply in replies]


def words(text: str) -> int:
    """Words of a text; in Chinese and Japanese, characters.

    >>> words("Just three words."), words("我在Python里写。")
    (3, 5)
    """
    return len(_WORD.findall(text))
