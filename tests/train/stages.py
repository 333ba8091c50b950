"""What the tests of trainings share: settings and rows for every stage, on the tiny model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chunfen.runs import Run
from chunfen.settings.commands import STAGE_COMMANDS
from chunfen.train.perform import train

ASKED = ["who is a nurse ?", "who is a man ?", "is a nurse a man ?", "hello", "is a woman a nurse ?"]
ANSWERED = ["a nurse is a woman .", "a man is a man .", "hello a man", "hello hello", "a woman is a nurse ."]
WORSE = ["hello hello", "a nurse .", "a woman .", "who", "man ? man"]
TURNS = [
    {"query": asked, "response": answer, "system": "hello is a man ."}
    for asked, answer in zip(ASKED, ANSWERED, strict=True)
]
ROWS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "pt": [{"text": f"{a} {b}"} for a, b in zip(ASKED, ANSWERED, strict=True)],
    "sft": TURNS,
    "seq_cls": [{"text": text, "label": "man" if "man" in text.split() else "other"} for text in ASKED],
    "rm": [row | {"rejected_response": worse} for row, worse in zip(TURNS, WORSE, strict=True)],
    "kto": [row | {"label": bool(k % 2)} for k, row in enumerate(TURNS)],
}
"""Rows of each stage; those that learn from pairs take the rows of rm."""

STAGES = ("pt", "sft", "seq_cls", "rm", "dpo", "simpo", "cpo", "orpo", "kto")


def write_rows(path: Path, stage: str) -> Path:
    """A file of rows that the stage can learn from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS.get(stage, ROWS["rm"])), encoding="utf-8")
    return path


def settings_of(stage: str, model: Path, folder: Path, **more: Any) -> Any:
    """The settings of a short training of a stage."""
    verb = "sft" if stage == "seq_cls" else stage
    given = {
        "model": str(model),
        "dataset": (str(write_rows(folder / f"{stage}.jsonl", stage)),),
        "output_dir": folder,
        "name": "run",
        "max_steps": 6,
        "gradient_accumulation_steps": 3,
        "learning_rate": 1e-2,
        "save_steps": 2,
        "logging_steps": 1,
        "torch_dtype": "float32",
        "dataset_num_proc": 1,
    }
    if stage == "seq_cls":
        given["task_type"] = "seq_cls"
    if stage == "kto":
        given |= {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 1}
    return STAGE_COMMANDS[verb](**given | more)


class Killed(BaseException):
    """What a test ends a training with, as if the process had been killed."""


def trained(stage: str, settings: Any, *, stop_at: int | None = None) -> tuple[Path, Run]:
    """Train, or be killed at a step; a second call with the same settings goes on with the same run."""
    verb = "sft" if stage == "seq_cls" else stage
    folder = settings.output_dir / settings.name
    run = Run.open(folder) if folder.exists() else Run.create(verb, settings)

    def progress(what: str, done: int, total: int) -> None:
        if what == "training" and done == stop_at:
            raise Killed

    run.progress = progress
    return train(stage, settings, run), run
