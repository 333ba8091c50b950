"""Every method as the tests try it, the tiny models that it is tried on, and a training of a few steps."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments, set_seed

from chunfen.models.adapters import OPENERS, with_adapters
from chunfen.settings.tuner import TunerSettings
from chunfen.tuners import TUNERS
from chunfen.tuners.base import Tuner
from engines.families import VOCABULARY, tiny

STEPS = 4
gc.freeze()  # each Trainer collects garbage first: what the imports made need not be looked through every time


@dataclass(frozen=True)
class Case:
    """settings: those of the method. moves: what stands in the name of every weight that is trained.

    changes: how much a fresh one may change the logits, as a share of their spread: what rounding does where it takes
    a share out of the weights. reference: whether switching off gives the model as it was.
    """

    settings: dict[str, Any]
    moves: str = "lora_"
    changes: float = 0.0
    reference: bool = True
    merges: bool = True

    def make(self, **more: Any) -> TunerSettings:
        return TunerSettings(**self.settings, **more)


PLACES = {"target_modules": ("all-linear",)}
LORA = {**PLACES, "tuner_type": "lora", "lora_rank": 4, "lora_alpha": 8, "lora_dropout": 0.0}
CASES = {
    "full": Case({"tuner_type": "full"}, moves="", reference=False),
    "freeze": Case({"tuner_type": "freeze", "freeze_parameters_ratio": 0.7}, moves="", reference=False),
    "lisa": Case({"tuner_type": "lisa", "lisa_activated_layers": 1, "lisa_step_interval": 2}, "", reference=False),
    "galore": Case({"tuner_type": "galore", "galore_rank": 4, "galore_update_proj_gap": 3}, moves="", reference=False),
    "llamapro": Case({"tuner_type": "llamapro", "llamapro_num_new_blocks": 2}, moves=""),
    "lora": Case(LORA),
    "lora-head": Case({**LORA, "modules_to_save": ("lm_head",)}, moves=""),
    "rslora": Case({**LORA, "use_rslora": True}),
    "dora": Case({**LORA, "use_dora": True}, changes=1e-6),
    "lora+": Case({**LORA, "lorap_lr_ratio": 16.0}),
    "gaussian": Case({**LORA, "init_weights": "gaussian"}),
    "pissa": Case({**LORA, "init_weights": "pissa"}, changes=1e-5, reference=False),
    "pissa-quick": Case({**LORA, "init_weights": "pissa_niter_16"}, changes=1e-5, reference=False),
    "olora": Case({**LORA, "init_weights": "olora"}, changes=1e-4, reference=False),
    "adalora": Case(
        {**PLACES, "tuner_type": "adalora", "adalora_init_r": 4, "adalora_target_r": 2, "adalora_tfinal": 1}
    ),
    "vera": Case({**PLACES, "tuner_type": "vera", "vera_rank": 8}, moves="vera_lambda"),
    "ia3": Case({**PLACES, "tuner_type": "ia3"}, moves="ia3_"),
    "boft": Case({**PLACES, "tuner_type": "boft", "boft_n_butterfly_factor": 1}, moves="boft_", changes=1e-6),
    "oft": Case({**PLACES, "tuner_type": "oft", "oft_block_size": 8}, moves="oft_", changes=1e-6),
    "reft": Case({"tuner_type": "reft", "reft_rank": 2}, moves="edits.", merges=False),
    "reft-first": Case(
        {"tuner_type": "reft", "reft_rank": 2, "reft_layers": (1,), "reft_positions": "f3"}, "edits.", merges=False
    ),
}
REFUSED = {("boft", "gpt2"), ("oft", "gpt2"), ("olora", "gpt2")}
"""What PEFT does not have: methods on the layers of GPT-2, which keep their weights the other way round."""
ALIKE = {"rslora", "lora+", "gaussian", "pissa-quick", "reft-first"}
"""Methods that see nothing of the model but what another one sees: one family is enough."""
UNBIASED = {"full", "freeze", "lisa", "galore", "llamapro", "reft", "pissa", "olora", "lora-head"}
"""Methods to which the biases of Qwen2 make no difference."""
PAIRS = [
    (case, family)
    for case in CASES
    for family in ("llama", "qwen2", "gpt2")
    if (case, family) not in REFUSED | {(case, "qwen2") for case in UNBIASED}
    and (family == "llama" or case not in ALIKE)
]

IDS = torch.randint(3, VOCABULARY, (2, 12), generator=torch.Generator().manual_seed(1))


def logits(model: Any) -> torch.Tensor:
    training = model.training
    model.eval()
    with torch.no_grad():
        found = model(input_ids=IDS).logits.float()
    model.train(training)
    return found


def attached(case: str, family: str) -> Tuner:
    """A fresh tuner on a tiny model, always the same."""
    model = tiny(family)
    settings = CASES[case].make()
    set_seed(5)
    return TUNERS[settings.tuner_type](model, settings)


def train(
    tuner: Tuner, folder: Path, *, resume: Path | None = None, more: tuple[TrainerCallback, ...] = (), **arguments: Any
) -> Trainer:
    """A few steps of a plain transformers Trainer."""
    generator = torch.Generator().manual_seed(2)
    rows = torch.randint(3, VOCABULARY, (2 * STEPS, 12), generator=generator)
    given = TrainingArguments(
        **{
            "output_dir": str(folder),
            "max_steps": STEPS,
            "per_device_train_batch_size": 2,
            "learning_rate": 1e-2,
            "save_steps": STEPS // 2,
            "report_to": "none",
            "disable_tqdm": True,
            "logging_strategy": "no",
            "use_cpu": True,
            "remove_unused_columns": False,
            "weight_decay": 0.1,
            **arguments,
        }
    )
    trainer = Trainer(
        model=tuner.model,
        args=given,
        train_dataset=[{"input_ids": row, "labels": row} for row in rows],
        optimizers=(tuner.optimizer(given), None),
        callbacks=[*tuner.callbacks(), *more],
    )
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    return trainer


def reloaded(folder: Path, family: str) -> Any:
    """What was saved, as anyone would load it."""
    if any((folder / name).is_file() for name in OPENERS):
        return with_adapters(tiny(family), [folder], family)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
