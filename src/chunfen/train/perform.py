"""A whole training, as a story: rows → examples → model → reference → steps → an adapter or a model.

What is left in the run folder:

    rejected_rows.jsonl   rows that could not be used, with the reason        metrics.jsonl   numbers by step
    training/             checkpoints, and what the reference says            adapter/ or model/   what was trained
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunfen.data.load import REJECTED, Rejected, write_rejected
from chunfen.data.row import Row
from chunfen.errors import DataError
from chunfen.hub.quiet import quiet
from chunfen.models.catalog import resolve as find_model
from chunfen.models.loading import pick_device
from chunfen.runs import Run
from chunfen.runs.files import whole_folder, write_json
from chunfen.runs.machine import release_memory, versions
from chunfen.settings.saved import SAVED
from chunfen.train.stages import STAGES

if TYPE_CHECKING:
    from chunfen.train.backend import Backend
    from chunfen.train.batches import Schedule
    from chunfen.train.encode import Encoder
    from chunfen.train.example import Example
    from chunfen.train.examples import Examples
    from chunfen.train.reference import Reference
    from chunfen.train.stage import Stage
    from chunfen.train.trainer import StageTrainer
    from chunfen.tuners.base import Tuner

AT_ONCE = {"cpu": 1024, "gpu": 8192}
"""Tokens that keep a processor busy: parts of a step have about so many."""
PACK = 2048
"""Tokens of a pack, unless max_length says so."""


def train(name: str, settings: Any, run: Run) -> Path:
    """Train the stage of this name and return the folder of what was trained.

    settings: those of the stage's command. A run that was interrupted goes on where its last checkpoint is.
    """
    if settings.streaming:
        from chunfen.train.streamed import Streamed

        return Streamed(name, settings, run).perform()
    return Training(name, settings, run).perform()


@dataclass(frozen=True)
class Learned:
    """What is learned, in the batches in which it is computed.

    batches: a data set of lists of examples. per_step: batches of an optimizer step. steps: of the whole training.
    rounds: how often it goes through the rows. validation: what is only evaluated. examples: all that is learned, if
    that is known before.
    """

    stage: Stage
    batches: Any
    per_step: int
    steps: int
    rounds: float
    validation: Examples
    examples: Sequence[Example] = ()


class Training:
    """One training and what its steps share."""

    def __init__(self, name: str, settings: Any, run: Run) -> None:
        quiet()  # before any library is imported that has something to say
        self.name, self.settings, self.run = name, settings, run
        self.work = run.folder / "training"
        self.work.mkdir(exist_ok=True)
        self.model = find_model(settings.model).name  # of a folder, its absolute path

    @cached_property
    def backend(self) -> Backend:
        """Who carries it out."""
        from chunfen.train.backend import backend_of

        return backend_of(self.settings, self.run.say)

    def perform(self) -> Path:
        """The folder of what was trained: at once if that was finished, else after `write`."""
        from chunfen.tuners import TUNERS

        output = "model" if TUNERS[self.settings.tuner_type].whole else "adapter"
        return self.run.stage("training", output).make(self.write)

    def write(self, path: Path) -> None:
        """All of it, from rows to the folder of what was trained."""
        from transformers import set_seed

        from chunfen.train.fit import fit
        from chunfen.train.load import load_for_training, training_encoder
        from chunfen.tuners import TUNERS

        settings, kind, backend = self.settings, TUNERS[self.settings.tuner_type], self.backend
        encoder = training_encoder(settings)
        learned = self.learned(encoder)
        stage = learned.stage
        self.run.record(steps=learned.steps, epochs=round(learned.rounds, 4))
        set_seed(settings.seed)  # of a new head
        loaded = load_for_training(backend.loading(), whole=kind.whole, head=stage.head, classes=stage.classes)
        reference = self.reference_of(learned, loaded.model)
        set_seed(settings.seed)
        tuner = kind(loaded.model, settings)
        with backend.process():
            trainer = self.trainer(learned, tuner, encoder, reference)
            fit(trainer, self.work, begin=settings.resume_from_checkpoint)
            backend.finish(tuner.model)
        self.save(tuner, encoder, path)

    def save(self, tuner: Tuner, encoder: Encoder, path: Path) -> None:
        """What was trained, with what it takes to use it and to make it again."""
        with whole_folder(path) as folder:
            tuner.save(folder)
            encoder.tokenizer.save_pretrained(folder)
            write_json(folder / SAVED, self.described())
        release_memory()

    def learned(self, encoder: Encoder) -> Learned:
        """All rows as examples, and when each is computed."""
        from chunfen.train.trainer import Batches

        stage, examples, validation = self.examples(encoder)
        plan = schedule(self.settings, examples.sizes.tolist(), encoder.max_length)
        batches = Batches(examples, plan.batches)
        return Learned(stage, batches, plan.per_step, plan.steps, plan.rounds, validation, examples)

    def examples(self, encoder: Encoder) -> tuple[Stage, Examples, Examples]:
        """The stage with what it found out about the rows, and what is learned and what is only evaluated."""
        from chunfen.train.examples import encoded

        stage = STAGES[self.name](self.settings)
        rows, held_out, rejected = self.rows(stage.kinds)
        progress = lambda done, total: self.run.progress("tokens", done, total)  # noqa: E731
        processes = self.settings.dataset_num_proc
        examples = encoded(stage.prepare(rows), stage, encoder, processes=processes, progress=progress)
        validation = encoded(held_out, stage, encoder, processes=processes, progress=progress, first=len(examples))
        for found in (examples, validation):
            rejected += [Rejected(", ".join(self.settings.dataset), row + 1, why) for row, why in found.refused.items()]
        self.report(rejected, left=len(examples))
        self.run.record(rows=len(examples), validation_rows=len(validation), tokens=int(examples.sizes.sum()))
        return stage, examples, validation

    def report(self, rejected: Sequence[Rejected], *, left: int) -> None:
        """Name the rows that cannot be used. Raises DataError where none is left."""
        if rejected:
            write_rejected(self.run.folder / REJECTED.name, rejected)
            self.run.say(f"{len(rejected)} rows cannot be used: {self.run.folder / REJECTED.name} says why.")
        if not left:
            raise DataError(f"dataset: no row can be used. The first reason: {rejected[0].reason}.")

    def rows(self, kinds: Collection[str]) -> tuple[list[Row], list[Row], list[Rejected]]:
        """What is learned, what is only evaluated, and what cannot be read or is of no kind that is learned."""
        from chunfen.data.source import load_datasets

        settings = self.settings
        loaded = load_datasets(settings.dataset, settings)
        self.run.record(sources=loaded.sources)
        rejected, kept = list(loaded.rejected), []
        for rows in (loaded.rows, loaded.validation):
            kept.append([row for row in rows if row.kind in kinds])
            for number, row in enumerate(rows, 1):
                if row.kind not in kinds:
                    why = f"it is a {row.kind}; {self.name} learns from: {', '.join(kinds)}"
                    rejected.append(Rejected(", ".join(settings.dataset), number, why))
        if not kept[0]:
            raise DataError(f"dataset {', '.join(settings.dataset)}: no row can be used: {rejected[0].reason}.")
        return kept[0], kept[1], rejected

    def held_out(self) -> list[Row]:
        """The rows of the validation sets alone."""
        from chunfen.data.source import load_datasets

        alone = self.settings.model_copy(update={"val_dataset": (), "interleave_prob": ()})
        return load_datasets(self.settings.val_dataset, alone).rows

    def reference_of(self, learned: Learned, model: Any) -> Reference | None:
        """What the reference model says of all examples; None if the stage does not ask."""
        from chunfen.engines.transformers.selfcheck import tree_refusal
        from chunfen.train.load import load_reference
        from chunfen.train.reference import referred

        if not any(map(learned.stage.needs_reference, learned.examples[:1])):
            return None
        other = load_reference(self.settings) if self.settings.ref_model else model
        return referred(
            self.work / "reference.safetensors",
            other,
            [*learned.examples, *learned.validation],
            learned.stage,
            tree=not tree_refusal(other),
            progress=self.run.progress,
        )

    def as_reference(self, learned: Learned, tuner: Tuner) -> Callable[[], Any]:
        """How the model becomes its own reference, batch by batch, where none was computed before."""
        return lambda: None

    def trainer(self, learned: Learned, tuner: Tuner, encoder: Encoder, reference: Reference | None) -> StageTrainer:
        """transformers' `Trainer` with all of it."""
        from chunfen.engines.transformers.selfcheck import tree_refusal
        from chunfen.train.batches import in_order
        from chunfen.train.fit import arguments, telling, watcher
        from chunfen.train.load import compute_dtype
        from chunfen.train.trainer import Batches, StageTrainer

        settings, validation = self.settings, learned.validation
        options = self.options(tuner, learned, evaluates=bool(len(validation)))
        options |= (more := self.backend.arguments(options, steps=learned.steps))
        self.run.record(**more)
        given = arguments(self.work, settings, seed=settings.seed, max_steps=learned.steps, **options)
        told = telling(self.run.metric, self.run.say, learned.steps)
        return StageTrainer(
            stage=learned.stage,
            reference=reference,
            as_reference=self.as_reference(learned, tuner),
            penalty=tuner.penalty,
            tree=learned.stage.head == "lm" and not tree_refusal(tuner.model),
            dtype=self.backend.dtype(compute_dtype(settings)),
            model=tuner.model,
            args=given,
            train_dataset=learned.batches,
            eval_dataset=Batches(validation, in_order(len(validation), settings.evaluated_at_once)),
            processing_class=encoder.tokenizer,
            **self.backend.optimizer(tuner.optimizer(given)),
            callbacks=[*tuner.callbacks(), watcher(self.run.progress, told, epochs=learned.rounds)],
        )

    def options(self, tuner: Tuner, plan: Schedule | Learned, *, evaluates: bool) -> dict[str, Any]:
        """transformers' arguments that only whole trainings have."""
        settings = self.settings
        return {
            "gradient_accumulation_steps": plan.per_step,
            "learning_rate": settings.learning_rate or (1e-5 if tuner.whole else 1e-4),
            "optim": settings.optim,
            "adam_beta2": settings.adam_beta2,
            "neftune_noise_alpha": settings.neftune_noise_alpha,
            "activation_checkpointing": settings.gradient_checkpointing,
            "full_determinism": settings.full_determinism,
            "use_cpu": pick_device(settings.device).type == "cpu",
            "report_to": list(settings.report_to) or "none",
            "run_name": self.run.name,
            "eval_strategy": "no" if settings.eval_strategy == "no" or not evaluates else "steps",
            "eval_steps": self.eval_steps(plan),
        }

    def eval_steps(self, plan: Schedule | Learned) -> int:
        """Steps between evaluations. To transformers all batches are one epoch, so that epochs are counted here."""
        if self.settings.eval_strategy == "epoch":
            return max(1, round(plan.steps / plan.rounds))
        return int(self.settings.eval_steps or self.settings.save_steps)

    def described(self) -> dict[str, Any]:
        """What it takes to make this again."""
        settings = self.settings.model_dump(mode="json") | {"model": self.model}
        return {"verb": self.name, "settings": settings, "versions": versions()}


def schedule(settings: Any, sizes: Sequence[int], max_length: int | None) -> Schedule:
    """Which examples are computed together and when. sizes: tokens of each."""
    from chunfen.train.batches import by_packs, by_rows, by_tokens

    seed = settings.seed if settings.data_seed is None else settings.data_seed
    how: dict[str, Any] = {"rounds": settings.num_train_epochs, "steps": settings.max_steps, "seed": seed}
    at_once = settings.per_device_train_batch_size
    if settings.packing:
        capacity = settings.max_length or min(max_length or PACK, PACK)
        return by_packs(sizes, capacity, at_once or 1, settings.accumulation, **how)
    if at_once:
        return by_rows(len(sizes), at_once, settings.accumulation, **how)
    tokens = AT_ONCE["cpu" if pick_device(settings.device).type == "cpu" else "gpu"]
    return by_tokens(sizes, settings.accumulation, tokens, **how)
