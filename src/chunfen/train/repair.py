"""Training a repair, from rows to an adapter folder.

rows → tokens → schedule → reference (adapter off) → steps → adapter
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chunfen.data.rows import PreferenceRow
from chunfen.errors import SettingError
from chunfen.models.loading import LoadedModel
from chunfen.settings.repair import RepairSettings
from chunfen.settings.train import TrainSettings
from chunfen.settings.tuner import TunerSettings

Progress = Callable[[str, int, int], None]

PARTS = 2
"""Parts in which a step is computed: half the memory, the same gradient."""


def train_repair(
    loaded: LoadedModel,
    rows: Sequence[PreferenceRow],
    *,
    adapter: Path,
    work: Path,
    per_step: Mapping[str, int],
    tuner: TunerSettings,
    train: TrainSettings,
    objective: RepairSettings,
    seed: int,
    progress: Progress,
    metric: Callable[..., None],
) -> Path:
    """Train an adapter on the rows of a repair and save it as a PEFT folder.

    per_step: rows of each part in one step. work: folder of the reference and the checkpoints; with what an
    interrupted training left there the next call goes on, and ends with the same weights. Returns `adapter`.
    """
    from transformers import PrinterCallback, set_seed

    from chunfen.engines.transformers.selfcheck import tree_refusal
    from chunfen.train.encode import encode_rows
    from chunfen.train.schedule import schedule
    from chunfen.train.trainer import PreferenceTrainer, Steps, Watch, last_checkpoint
    from chunfen.tuners import TUNERS

    if tuner.lora_dropout:
        raise SettingError(
            f"lora_dropout {tuner.lora_dropout}: a repair computes prompts that texts share once, so a dropped prompt "
            "would be dropped for both texts. Set it to 0."
        )
    tree = not tree_refusal(loaded.model)
    encoded = encode_rows(rows, loaded.tokenizer, system=loaded.system)
    parts, sides = [row.part for row in rows], [row.side for row in rows]
    plan = schedule(parts, per_step, train.max_steps, seed, sides)
    work.mkdir(parents=True, exist_ok=True)
    reference = _reference(loaded.model, encoded, work / "reference.safetensors", tree, objective, progress)
    set_seed(seed)
    model = TUNERS[tuner.tuner_type](loaded.model, tuner)
    trainer = PreferenceTrainer(
        model=model,
        args=_arguments(work, train, seed),
        train_dataset=Steps(plan, PARTS),
        rows=encoded,
        reference=reference,
        objective=objective,
        tree=tree,
        callbacks=[Watch(lambda done, total: progress("training", done, total), metric)],
    )
    trainer.remove_callback(PrinterCallback)  # the numbers go to the run's metrics.jsonl
    checkpoint = last_checkpoint(work)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return save_adapter(model, adapter)


def save_adapter(model: Any, adapter: Path) -> Path:
    """Write a PEFT folder whole: beside its place first, then renamed."""
    part = adapter.with_name(adapter.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(adapter, ignore_errors=True)
    model.save_pretrained(part)
    return part.rename(adapter)


def _reference(
    model: Any, encoded: Sequence[Any], path: Path, tree: bool, objective: RepairSettings, progress: Progress
) -> Any:
    from chunfen.train.objective import needs_reference
    from chunfen.train.reference import Reference, compute_reference

    if not path.exists():
        compute_reference(
            model,
            encoded,
            tree=tree,
            overshoot=objective.overshoot,
            needed=lambda row: needs_reference(row, objective),
            progress=lambda done, total: progress("reference", done, total),
        ).save(path)
    return Reference.load(path)


def _arguments(work: Path, train: TrainSettings, seed: int) -> Any:
    """transformers' own arguments. One element of the data set is a part of a step, so its batch size is 1."""
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(work),
        max_steps=train.max_steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=PARTS,
        train_sampling_strategy="sequential",
        learning_rate=train.learning_rate,
        lr_scheduler_type=train.lr_scheduler_type,
        warmup_steps=round(train.warmup_ratio * train.max_steps),
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm,
        save_steps=train.save_steps,
        save_total_limit=train.save_total_limit,
        logging_steps=train.logging_steps,
        seed=seed,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
