"""The shape that every tuner has: a model with a trainable part. Its life:

    tuner = TUNERS[settings.tuner_type](model, settings)
    Trainer(model=tuner.model, optimizers=(tuner.optimizer(arguments), None), callbacks=tuner.callbacks(), …).train()
    tuner.save(folder)

A method is a subclass in a file of its own, and says only what it does otherwise.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from chunfen.errors import SettingError
from chunfen.models.adapters import merged
from chunfen.settings.tuner import TunerSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, TrainerCallback, TrainingArguments

COMMON = frozenset({"tuner_type", "neftune_noise_alpha"})
"""Settings that are there for every method."""
QUANTIZED = frozenset({"quant_method", "quant_bits"})
"""Settings of methods whose frozen weights may be quantized."""


class Tuner:
    """A model with a trainable part, which is float32; everything else in it is frozen.

    model: what is trained. settings: those that it was made with. Random beginnings come from torch's generator: seed
    that first. Raises SettingError for settings that have no meaning together.
    """

    options: ClassVar[frozenset[str]] = frozenset()
    """The settings that the method heeds, besides `COMMON`. Any other that is not at its default is refused."""
    whole: ClassVar[bool] = True
    """Whether the model's own weights are trained and saved, and not an adapter beside them."""

    def __init__(self, model: Any, settings: TunerSettings) -> None:
        self._refuse_idle(settings)
        self.settings = settings
        self.model: Any = self.attach(model)

    def attach(self, model: Any) -> Any:
        """The model made trainable: changed in place, or with an adapter around it."""
        raise NotImplementedError

    def reference(self) -> AbstractContextManager[Any] | None:
        """Within this the model is what it was before training, bit for bit. None: that takes a copy of it."""
        return None

    def save(self, folder: Path) -> None:
        """Write what was trained: an adapter, or the whole model where its own weights were trained."""
        self.model.save_pretrained(folder)

    def merge(self) -> PreTrainedModel:
        """A plain transformers model with the same logits; the tuner is used up. MergeError where there is none."""
        plain: PreTrainedModel = merged(self.model)
        return plain

    def optimizer(self, arguments: TrainingArguments) -> torch.optim.Optimizer | None:
        """The optimizer that the method needs. None: the Trainer's own."""
        return None

    def callbacks(self) -> list[TrainerCallback]:
        """What has to happen at certain steps. Put those first that mark a checkpoint as finished last."""
        return []

    def penalty(self) -> torch.Tensor | None:
        """What the method adds to the loss of a step, where the model is called without labels. None: nothing."""
        return None

    def _refuse_idle(self, settings: TunerSettings) -> None:
        """A setting that would do nothing is a mistake."""
        for name in TunerSettings.model_fields:
            value = getattr(settings, name)
            idle = name not in self.options | COMMON and value != type(settings).model_fields[name].default
            if idle:
                raise SettingError(f"{name} {value} does nothing with tuner_type {settings.tuner_type}.{_owners(name)}")


def refuse_adapter(model: Any, tuner_type: str) -> None:
    """A model that has an adapter around it already is no ground for another kind of tuning."""
    if hasattr(model, "disable_adapter"):
        raise SettingError(
            f"adapters: tuner_type {tuner_type} cannot go on from them. Merge them into the model first, or give the "
            "tuner_type that they were trained with."
        )


def to_float32(model: torch.nn.Module) -> None:
    """What is trained is float32, whatever the frozen part is."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)


def _owners(option: str) -> str:
    """Which built-in methods heed a setting."""
    from chunfen.settings.tuner import TUNER_TYPES
    from chunfen.tuners import TUNERS

    owners = [name for name in TUNER_TYPES if option in TUNERS[name].options]
    return f" It belongs to tuner_type {', '.join(owners)}." if owners else ""
