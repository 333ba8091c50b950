"""LISA (Pan et al. 2024): full tuning of a few layers at a time, drawn anew every now and then."""

from __future__ import annotations

import random
from typing import Any

from torch import nn
from torch.optim import Optimizer
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from chunfen.errors import SettingError
from chunfen.settings.tuner import TunerSettings
from chunfen.tuners.base import Tuner, refuse_adapter, to_float32
from chunfen.tuners.layers import decoder_layers


class Method(Tuner):
    """Embeddings, last norm and head are always trained, and some of the layers.

    All weights are float32 and belong to the optimizer from the start, for each may have its turn; those that have not
    cost neither gradients nor optimizer state.
    """

    options = frozenset({"lisa_activated_layers", "lisa_step_interval"})

    def attach(self, model: Any) -> Any:
        refuse_adapter(model, self.settings.tuner_type)
        active, layers = self.settings.lisa_activated_layers, len(decoder_layers(model))
        if active > layers:
            raise SettingError(f"lisa_activated_layers {active}: the model has {layers} layers.")
        model.requires_grad_(True)
        to_float32(model)
        return model

    def callbacks(self) -> list[TrainerCallback]:
        return [Turns(decoder_layers(self.model), self.settings)]


def drawn(layers: int, active: int, seed: int, turn: int) -> set[int]:
    """The layers whose turn it is: a pure function, so that an interrupted training goes on with the same ones.

    >>> drawn(30, 2, seed=42, turn=0) == drawn(30, 2, seed=42, turn=0)
    True
    >>> len({tuple(sorted(drawn(30, 2, seed=42, turn=t))) for t in range(5)})
    5
    """
    return set(random.Random(f"{seed} {turn}").sample(range(layers), active))


class Turns(TrainerCallback):
    """Freezes all layers but the drawn ones before a step."""

    def __init__(self, layers: nn.ModuleList, settings: TunerSettings) -> None:
        self.layers, self.settings = layers, settings

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        turn = state.global_step // self.settings.lisa_step_interval
        active = drawn(len(self.layers), self.settings.lisa_activated_layers, args.seed, turn)
        for number, layer in enumerate(self.layers):
            layer.requires_grad_(number in active)
            if number not in active:
                _forget(layer, more["optimizer"])


def _forget(layer: nn.Module, optimizer: Optimizer) -> None:
    """Drop what the optimizer remembers of a frozen layer: most of the memory that LISA saves."""
    for parameter in layer.parameters():
        parameter.grad = None
        optimizer.state.pop(parameter, None)
