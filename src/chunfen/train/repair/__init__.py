"""Training a repair, from rows to an adapter folder.

rows → tokens → schedule → reference (adapter off) → steps → adapter
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from chunfen.data.repair_row import RepairRow
from chunfen.errors import SettingError
from chunfen.models.loading import LoadedModel
from chunfen.settings.repair import RepairSettings
from chunfen.settings.train import RepairTrainSettings
from chunfen.settings.tuner import TunerSettings

Progress = Callable[[str, int, int], None]

PARTS = 2
"""Parts in which a step is computed: half the memory, the same gradient."""


def train_repair(
    loaded: LoadedModel,
    rows: Sequence[RepairRow],
    *,
    adapter: Path,
    work: Path,
    per_step: Mapping[str, int],
    tuner: TunerSettings,
    train: RepairTrainSettings,
    objective: RepairSettings,
    seed: int,
    progress: Progress,
    metric: Callable[..., None],
) -> Path:
    """Train an adapter on the rows of a repair and save it as a PEFT folder.

    per_step: rows of each part in one step. work: folder of the reference and the checkpoints; with what an
    interrupted training left there the next call goes on, and ends with the same weights. Returns `adapter`.
    """
    from transformers import set_seed

    from chunfen.engines.transformers.selfcheck import tree_refusal
    from chunfen.runs.files import whole_folder
    from chunfen.train.fit import arguments, fit, watcher
    from chunfen.train.reference import referred
    from chunfen.train.repair.encode import encode_rows
    from chunfen.train.repair.schedule import schedule
    from chunfen.train.repair.stage import RepairStage
    from chunfen.train.trainer import Batches, StageTrainer
    from chunfen.tuners import TUNERS

    if tuner.lora_dropout:
        raise SettingError(
            f"lora_dropout {tuner.lora_dropout}: a repair computes prompts that texts share once, so a dropped prompt "
            "would be dropped for both texts. Set it to 0."
        )
    tree = not tree_refusal(loaded.model)
    stage = RepairStage(objective)
    examples = encode_rows(rows, loaded.tokenizer, system=loaded.system)
    plan = schedule([row.part for row in rows], per_step, train.max_steps, seed, sides=[row.side for row in rows])
    work.mkdir(parents=True, exist_ok=True)
    reference = referred(work / "reference.safetensors", loaded.model, examples, stage, tree=tree, progress=progress)
    set_seed(seed)
    tuned = TUNERS[tuner.tuner_type](loaded.model, tuner)
    trainer = StageTrainer(
        stage=stage,
        reference=reference,
        tree=tree,
        model=tuned.model,
        args=arguments(work, train, seed=seed, max_steps=train.max_steps, gradient_accumulation_steps=PARTS),
        train_dataset=Batches(examples, [step[part::PARTS] for step in plan for part in range(PARTS)]),
        callbacks=[*tuned.callbacks(), watcher(progress, metric)],
    )
    fit(trainer, work)
    with whole_folder(adapter) as folder:
        tuned.save(folder)
    return adapter
