"""Learning from rewards, as a story: rows → prompts → rewards → model → [answers → rewards → step] × steps.

The rows and what is left in the run folder are as in `chunfen.train.perform`; the steps are TRL's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunfen.data.load import Rejected
from chunfen.data.row import Row
from chunfen.errors import SettingError
from chunfen.models.templates import render, turns_of
from chunfen.runs import Run
from chunfen.train.batches import Schedule, by_rows
from chunfen.train.perform import Training

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import Trainer

    from chunfen.train.encode import Encoder
    from chunfen.train.rewards.trl import TrlReward
    from chunfen.tuners.base import Tuner

KINDS = ("prompt", "conversation", "preference")
"""Rows that bring a prompt. An answer that is there is not learned; rewards may compare with it."""
ANSWERS = 16
"""Answers of an optimizer step, unless the settings say otherwise."""


def train_online(name: str, settings: Any, run: Run) -> Path:
    """Train by grpo or rloo and return the folder of what was trained.

    settings: those of the command. A run that was interrupted goes on where its last checkpoint is.
    """
    return OnlineTraining(name, settings, run).perform()


@dataclass(frozen=True, slots=True)
class Sizes:
    """How answers are counted. at_once: those that are computed together. accumulation: times a step. prompts: of a
    step. evaluated: answers to validation rows that are drawn together."""

    at_once: int
    accumulation: int
    prompts: int
    evaluated: int


def sizes(settings: Any) -> Sizes:
    """The sizes of a training. Raises SettingError where a step would not hold all answers to its prompts."""
    each = settings.num_generations
    at_once = settings.per_device_train_batch_size or each
    accumulation = settings.gradient_accumulation_steps or -(-ANSWERS // at_once)
    evaluated = settings.per_device_eval_batch_size or each
    if at_once * accumulation % each:
        raise SettingError(
            f"num_generations {each} does not divide the {at_once * accumulation} answers of a step "
            f"(per_device_train_batch_size {at_once} × gradient_accumulation_steps {accumulation}): all answers to a "
            f"prompt are compared in one step. Make it a multiple of {each}."
        )
    if evaluated % each:
        raise SettingError(f"per_device_eval_batch_size {evaluated} must be a multiple of num_generations {each}.")
    return Sizes(at_once, accumulation, at_once * accumulation // each, evaluated)


def refuse(settings: Any) -> None:
    """Settings that would do nothing here, or would make an interrupted training go on otherwise."""
    for name in ("packing", "truncation_strategy", "learn", "streaming"):
        if (given := getattr(settings, name)) != type(settings).model_fields[name].default:
            raise SettingError(f"{name} {given} is not for learning from rewards; leave it out.")
    again, epsilon = settings.num_iterations, settings.epsilon
    if again == 1 and epsilon != type(settings).model_fields["epsilon"].default:
        raise SettingError(f"epsilon {epsilon} does nothing with num_iterations 1: the ratio is 1 in the first step.")
    if settings.save_steps % again:
        raise SettingError(
            f"save_steps {settings.save_steps} must be a multiple of num_iterations {again}: a checkpoint holds no "
            "answers."
        )


def schedule(settings: Any, count: int, prompts: int) -> Schedule:
    """Which of `count` rows are asked for which step, `prompts` at a time, in the order of training."""
    again = settings.num_iterations
    batches = (
        -(-settings.max_steps // again) if settings.max_steps else round(settings.num_train_epochs * count / prompts)
    )
    return by_rows(count, prompts, 1, rounds=settings.num_train_epochs, steps=max(1, batches), seed=settings.order_seed)


def refusal(row: Row, encoder: Encoder, answer: int) -> str:
    """Why a row cannot be asked, or "". answer: the tokens that an answer may have."""
    for name in ("tools", "images", "videos", "audios"):
        if getattr(row, name):
            return f"it has {name}, which are not shown to a model that learns from rewards"
    if any(turn.role == "tool" or turn.tool_calls for turn in row.prompt):
        return "it has calls of tools, which are not shown to a model that learns from rewards"
    if encoder.max_length is None:
        return ""
    turns, room = [(turn.role, turn.content) for turn in row.prompt], encoder.max_length - answer
    length = len(render(encoder.tokenizer, turns, system=encoder.system))
    return f"the prompt has {length} tokens; beside an answer of {answer} there is room for {room}" * (length > room)


def asked(rows: Sequence[Row], system: str | None) -> Dataset:
    """The prompts of rows as TRL reads them: messages, which it writes by the tokenizer's own template, and the place
    of the row, by which rewards find it."""
    from datasets import Dataset

    prompts = [turns_of(((turn.role, turn.content) for turn in row.prompt), system) for row in rows]
    return Dataset.from_dict({"prompt": prompts, "row": list(range(len(rows)))})


def describe(numbers: Mapping[str, float]) -> str:
    """What a line of metrics says, for the user.

    >>> describe({"reward": 0.25, "completions/mean_length": 31.2})
    'reward 0.25, 31 tokens an answer'
    """
    if "eval_reward" in numbers:
        return f"reward of the validation rows {numbers['eval_reward']:.4g}"
    if "reward" not in numbers:
        return ""
    return f"reward {numbers['reward']:.4g}, {numbers['completions/mean_length']:.0f} tokens an answer"


def require_trl(verb: str) -> None:
    """Raises SettingError where TRL is not installed."""
    if missing := [name for name in ("trl", "datasets") if find_spec(name) is None]:
        raise SettingError(f'{verb} needs {" and ".join(missing)}, not installed: pip install "chunfen[rl]".')


class OnlineTraining(Training):
    """One training by rewards and what its steps share."""

    def write(self, path: Path) -> None:
        """All of it, from rows to the folder of what was trained."""
        from transformers import set_seed

        from chunfen.train.fit import fit
        from chunfen.train.load import load_for_training, training_encoder
        from chunfen.train.rewards.trl import made, makers
        from chunfen.tuners import TUNERS

        settings, kind = self.settings, TUNERS[self.settings.tuner_type]
        require_trl(self.name)
        refuse(settings)
        counted, named = sizes(settings), makers(settings)
        from chunfen.train.policy import forget_reference  # TRL, which takes seconds

        encoder = training_encoder(settings)
        rows, held_out = self.prompts(encoder)
        rewards = made(named, settings, [*rows, *held_out])
        loaded = load_for_training(settings, whole=kind.whole)
        set_seed(settings.seed)
        tuner = kind(loaded.model, settings)
        trainer = self.online(counted, tuner, encoder, rewards, rows, held_out)
        fit(trainer, self.work, begin=settings.resume_from_checkpoint)
        forget_reference(tuner.model)
        self.save(tuner, encoder, path)

    def prompts(self, encoder: Encoder) -> tuple[list[Row], list[Row]]:
        """The rows whose prompts are answered in training, and in evaluations."""
        rows, held_out, rejected = self.rows(KINDS)
        file = ", ".join(self.settings.dataset)
        kept: list[list[Row]] = []
        for part in (rows, held_out):
            reasons = [refusal(row, encoder, self.settings.max_completion_length) for row in part]
            rejected += [Rejected(file, number, why) for number, why in enumerate(reasons, 1) if why]
            kept.append([row for row, why in zip(part, reasons, strict=True) if not why])
        self.report(rejected, left=len(kept[0]))
        self.run.record(rows=len(kept[0]), validation_rows=len(kept[1]))
        return kept[0], kept[1]

    def online(
        self,
        counted: Sizes,
        tuner: Tuner,
        encoder: Encoder,
        rewards: Sequence[TrlReward],
        rows: Sequence[Row],
        held_out: Sequence[Row],
    ) -> Trainer:
        """TRL's trainer with all of it."""
        from chunfen.train.fit import telling
        from chunfen.train.policy import Between, policy_arguments, policy_trainer

        settings, run = self.settings, self.run
        plan = schedule(settings, len(rows), counted.prompts)
        steps = settings.max_steps or plan.steps * settings.num_iterations
        run.record(steps=steps, epochs=round(plan.rounds, 4))
        given = policy_arguments(
            self.name,
            self.work,
            settings,
            max_steps=steps,
            **self.options(tuner, plan, evaluates=bool(held_out)) | self.computed(counted),
        )
        prompts = asked([*rows, *held_out], encoder.system)
        return policy_trainer(
            self.name,
            given,
            tuner,
            rewards,
            train_dataset=prompts.select([number for batch in plan.batches for number in batch]),
            eval_dataset=prompts.select(range(len(rows), len(prompts))) if held_out else None,
            tokenizer=encoder.tokenizer,
            watch=Between(
                lambda done, total: run.progress("training", done, total),
                telling(run.metric, run.say, steps, describe),
                plan.rounds,
            ),
        )

    def computed(self, counted: Sizes) -> dict[str, Any]:
        """How much is computed at once, where, and in what number format."""
        import torch

        from chunfen.train.load import compute_dtype

        dtype = compute_dtype(self.settings)
        return {
            "per_device_train_batch_size": counted.at_once,
            "gradient_accumulation_steps": counted.accumulation,
            "per_device_eval_batch_size": counted.evaluated,
            "bf16": dtype == torch.bfloat16,
            "fp16": dtype == torch.float16,
        }
