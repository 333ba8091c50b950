"""Every stage with every tuner, trained for real on a tiny model: the table in docs/stages.md.

    python tests/train/table.py     trains every cell and writes the table

A cell is killed in the middle and goes on; what it leaves is loaded again and says something else than before.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "stages.md"
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests"))

from chunfen.errors import ChunfenError
from chunfen.models.loading import load_model
from chunfen.settings.commands import ONLINE_COMMANDS
from train.online import online_settings, rewarded
from train.stages import STAGES, Killed, settings_of, trained
from tuners.cases import CASES

LORA = CASES["lora"].settings
BLOCKS = {"quant_bits": 4, "target_modules": ("q_proj", "v_proj", "up_proj")}
TUNERS: Mapping[str, Mapping[str, Any]] = {
    "full": CASES["full"].settings,
    "full + NEFTune": {**CASES["full"].settings, "neftune_noise_alpha": 5.0},
    "freeze": CASES["freeze"].settings,
    "LISA": CASES["lisa"].settings,
    "GaLore": CASES["galore"].settings,
    "LLaMA-Pro": CASES["llamapro"].settings,
    "LoRA": LORA,
    "rsLoRA": CASES["rslora"].settings,
    "DoRA": CASES["dora"].settings,
    "LoRA+": CASES["lora+"].settings,
    "PiSSA": CASES["pissa"].settings,
    "OLoRA": CASES["olora"].settings,
    "QLoRA": {**LORA, **BLOCKS},
    "LoftQ": {**LORA, **BLOCKS, "init_weights": "loftq"},
    "AdaLoRA": CASES["adalora"].settings,
    "VeRA": CASES["vera"].settings,
    "IA³": CASES["ia3"].settings,
    "BOFT": CASES["boft"].settings,
    "OFT": CASES["oft"].settings,
    "ReFT": CASES["reft"].settings,
}
"""A line of the table → the settings of its tuner."""

COLUMNS = (*STAGES, *ONLINE_COMMANDS)
WORKS = "yes"


def outcome(stage: str, tuner: str, model: Path, folder: Path) -> str:
    """WORKS, or in a few words why not."""
    online = stage in ONLINE_COMMANDS
    make, perform = (online_settings, rewarded) if online else (settings_of, trained)
    settings = make(stage, model, folder, max_steps=4, **TUNERS[tuner])
    try:
        with suppress(Killed):
            perform(stage, settings, stop_at=3)
        path, _ = perform(stage, settings)
        return WORKS if _moved(stage, model, path) else "what is loaded again says the same as before"
    except ChunfenError as error:
        return f"refused: {str(error).splitlines()[0]}"


def _moved(stage: str, model: Path, path: Path) -> bool:
    head: Any = {"seq_cls": "classes", "rm": "score"}.get(stage, "lm")
    classes = ("man", "other") if head == "classes" else ()
    given: dict[str, Any] = {"head": head, "classes": classes, "torch_dtype": "float32"}
    whole = path.name == "model"
    before = load_model(str(model), **given)
    after = load_model(str(path if whole else model), adapters=() if whole else (path,), **given)
    ids = torch.tensor([[0, 7, 8, 9, 10, 14]])
    with torch.no_grad():
        return not torch.allclose(before.model(ids).logits, after.model(ids).logits, atol=1e-6)


def table(found: Mapping[tuple[str, str], str]) -> str:
    """The page. found: (stage, tuner) → outcome."""
    notes: list[str] = []

    def cell(stage: str, tuner: str) -> str:
        said = found[stage, tuner]
        if said == WORKS:
            return "✓"
        if said not in notes:
            notes.append(said)
        return f"✗ {notes.index(said) + 1}"

    lines = [
        "# Stages and tuners",
        "",
        "<!-- Made by tests/train/table.py, which trains every cell. tests/train/test_table.py keeps it true. -->",
        "",
        "Every cell was trained for real on a tiny Llama: killed in the middle, continued from its checkpoint, saved,",
        "loaded again. ✓: all of it works. ✗: it does not, for the reason below.",
        "",
        "| | " + " | ".join(COLUMNS) + " |",
        "|---|" + "---|" * len(COLUMNS),
        *("| " + " | ".join([tuner, *(cell(stage, tuner) for stage in COLUMNS)]) + " |" for tuner in TUNERS),
    ]
    lines += ["", *(f"{number}. {note}" for number, note in enumerate(notes, 1))] if notes else []
    return "\n".join(lines) + "\n"


def listed() -> dict[tuple[str, str], bool]:
    """What the page says: (stage, tuner) → whether it works."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if " | " in line]
    stages = [name.strip("| ") for name in rows[0]]
    return {
        (stage, tuner): cell == "✓" for tuner, *cells in rows[1:] for stage, cell in zip(stages, cells, strict=True)
    }


def main() -> None:
    from conftest import make_tiny_model

    with tempfile.TemporaryDirectory() as scratch:
        model = make_tiny_model(Path(scratch) / "model")
        found = {}
        for stage in COLUMNS:
            for number, tuner in enumerate(TUNERS):
                found[stage, tuner] = outcome(stage, tuner, model, Path(scratch) / f"{stage}-{number}")
                print(stage, tuner, found[stage, tuner], flush=True)
    PAGE.write_text(table(found), encoding="utf-8")


if __name__ == "__main__":
    main()
