"""Rewards by name: what an answer of the model is worth. A plug-in registers under the entry point chunfen.reward."""

from __future__ import annotations

from chunfen.registry import Registry
from chunfen.train.rewards.base import Maker

REWARDS: Registry[Maker] = Registry(
    "reward",
    {
        "accuracy": "chunfen.train.rewards.accuracy:accuracy",
        "bias": "chunfen.bias.reward:bias",
        "format": "chunfen.train.rewards.form:form",
        "length": "chunfen.train.rewards.length:length",
    },
)
"""Each makes a reward of the settings and the rows; see `chunfen.train.rewards.base`. A user's own is in `file`."""
