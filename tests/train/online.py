"""What the tests of learning from rewards share: settings, rows and a reward, on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chunfen.runs import Run
from chunfen.settings.commands import ONLINE_COMMANDS
from chunfen.train.online import train_online
from train.stages import ASKED, Killed

GREETING = '''
def greets(replies, rows):
    """The share of words that are hello."""
    return [reply.split().count("hello") / max(1, len(reply.split())) for reply in replies]
'''


def write_prompts(path: Path, **columns: Any) -> Path:
    """A file of prompts with these columns beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"query": asked, **columns}) + "\n" for asked in ASKED), encoding="utf-8")
    return path


def online_settings(verb: str, model: Path, folder: Path, **more: Any) -> Any:
    """The settings of a short training that greets are the reward of."""
    rows = write_prompts(folder / "prompts.jsonl")
    reward = folder / "greeting.py"
    reward.write_text(GREETING, encoding="utf-8")
    given = {
        "model": str(model),
        "dataset": (str(rows),),
        "output_dir": folder,
        "name": "run",
        "reward_funcs": (str(reward),),
        "num_generations": 4,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "max_completion_length": 6,
        "max_steps": 6,
        "learning_rate": 2e-2,
        "save_steps": 2,
        "logging_steps": 1,
        "torch_dtype": "float32",
        "dataset_num_proc": 1,
    }
    return ONLINE_COMMANDS[verb](**given | more)


def rewarded(verb: str, settings: Any, *, stop_at: int | None = None) -> tuple[Path, Run]:
    """Train, or be killed at a step; a second call with the same settings goes on with the same run."""
    folder = settings.output_dir / settings.name
    run = Run.open(folder) if folder.exists() else Run.create(verb, settings)

    def progress(what: str, done: int, total: int) -> None:
        if what == "training" and done == stop_at:
            raise Killed

    run.progress = progress
    return train_online(verb, settings, run), run
