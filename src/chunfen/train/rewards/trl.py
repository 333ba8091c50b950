"""Rewards as TRL calls them: the one place where its signature and ours meet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chunfen.data.row import Row
from chunfen.errors import ChunfenError, SettingError
from chunfen.train.rewards import REWARDS
from chunfen.train.rewards.base import Maker, Reward, named
from chunfen.train.rewards.file import from_file, is_file


class TrlReward:
    """A reward in TRL's signature. rows: all that there are; TRL hands over their places in the column `row`."""

    def __init__(self, name: str, reward: Reward, rows: Sequence[Row]) -> None:
        self.__name__ = name  # as it is called in metrics.jsonl
        self.reward, self.rows = reward, rows

    def __call__(
        self, completions: Sequence[Sequence[dict[str, str]]], row: Sequence[int], **_: Any
    ) -> list[float | None]:
        """What each completion is worth. Raises ChunfenError for values that cannot be rewards."""
        replies = [messages[-1]["content"] for messages in completions]
        values = self.reward(replies, [self.rows[number] for number in row])
        if not isinstance(values, Sequence) or len(values) != len(replies):
            what = f"{len(values)} values" if isinstance(values, Sequence) else type(values).__name__
            raise ChunfenError(
                f"reward {self.__name__} returned {what} for {len(replies)} replies, the first of them to "
                f"{named(self.rows[row[0]], row[0])}. It must return a list with one number each."
            )
        return [self._number(value, number) for value, number in zip(values, row, strict=True)]

    def _number(self, value: Any, number: int) -> float | None:
        if value is None:
            return None
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
        raise ChunfenError(
            f"reward {self.__name__} returned {value!r} for a reply to {named(self.rows[number], number)}. "
            "It must return finite numbers, or None where it has nothing to say."
        )


def makers(settings: Any) -> dict[str, Maker]:
    """The makers of the rewards that the settings name. Raises SettingError for a name or weights that cannot be."""
    names, weights = settings.reward_funcs, settings.reward_weights
    if not names:
        raise SettingError(f"reward_funcs: name one at least: {', '.join(REWARDS)}, or a Python file.")
    if len(set(names)) < len(names):
        raise SettingError(f"reward_funcs {' '.join(names)}: each once; reward_weights says how much it counts.")
    if weights and len(weights) != len(names):
        raise SettingError(f"reward_weights: {len(weights)} weights for {len(names)} rewards; give one each.")
    return {name: from_file(name) if is_file(name) else REWARDS[name] for name in names}


def made(makers: dict[str, Maker], settings: Any, rows: Sequence[Row]) -> list[TrlReward]:
    """The rewards themselves, once the rows are known."""
    return [TrlReward(Path(name).name, make(settings, rows), rows) for name, make in makers.items()]
