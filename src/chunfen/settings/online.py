"""What learning from rewards can be told: the rewards, the answers that are drawn, the terms of the loss."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from chunfen.errors import SettingError
from chunfen.settings.base import Settings

THINKING = r"<think>(?!.*<think>).*?</think>\s*<answer>(?!.*<answer>).*?</answer>"
"""Thoughts and an answer, each once."""


def _pattern(text: str) -> str:
    """A regular expression that can be read."""
    try:
        re.compile(text)
    except re.error as error:
        raise SettingError(f"reward_pattern {text!r} is no regular expression: {error}.") from error
    return text


class RewardsSettings(Settings):
    """What answers are rewarded for."""

    reward_funcs: tuple[str, ...] = ()
    """Rewards that are added: accuracy, bias, format, length, the name of a plug-in, or a Python file (rewards.py, or
    rewards.py:function). See docs/rewards.md."""
    reward_weights: tuple[float, ...] = ()
    """Weight of each reward; none: 1 each."""
    reward_pattern: Annotated[str, AfterValidator(_pattern)] = THINKING
    """format: the regular expression that a whole answer has to match."""
    reward_length: Annotated[int, Field(ge=1)] = 100
    """length: the wanted length of an answer in words, or characters of Chinese."""
    reward_axis: str = "gender"
    """bias: the axis by which answers are read, a name or the path of a probe file."""


class OnlineSettings(RewardsSettings):
    """How a model learns from rewards of its own answers."""

    num_generations: Annotated[int, Field(ge=2)] = 8
    """Answers to each prompt. A batch is counted in answers: per_device_train_batch_size × gradient_accumulation_steps
    of them are drawn for a step."""
    max_completion_length: Annotated[int, Field(ge=1)] = 256
    """Length of an answer in tokens, at most."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Sampling temperature of the answers."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Sample from the smallest set of tokens that holds this much probability."""
    beta: Annotated[float, Field(ge=0)] = 0.04
    """Weight of the divergence from the model as it was."""
    num_iterations: Annotated[int, Field(ge=1)] = 1
    """Optimizer steps with the same answers. With several, answers take less of the time, and epsilon has a meaning."""
    epsilon: Annotated[float, Field(gt=0)] = 0.2
    """How far the ratio to the model that drew the answers may go before it is clipped."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout before the update. Answers, too, are drawn with it: above 0 the model is compared with another one."""


class GrpoSettings(OnlineSettings):
    """Group-relative policy optimisation (Shao et al. 2024)."""

    rlhf_type: Literal["grpo"] = "grpo"
    """What `chunfen rlhf` was asked for."""
    loss_type: Literal["dapo", "grpo", "bnpo", "dr_grpo"] = "dapo"
    """How token losses are averaged, in TRL's names."""


class RlooSettings(OnlineSettings):
    """REINFORCE against the mean of the other answers (Ahmadian et al. 2024)."""

    rlhf_type: Literal["rloo"] = "rloo"
    """What `chunfen rlhf` was asked for."""
