"""Partial tuning: the weights far from the embeddings, or those that are named."""

from __future__ import annotations

from typing import Any

from chunfen.errors import SettingError, did_you_mean
from chunfen.tuners.base import Tuner, refuse_adapter, to_float32


class Method(Tuner):
    """The first weights stay as they are, up to a share of all; the others, and those that are named, are trained."""

    options = frozenset({"freeze_parameters_ratio", "trainable_parameters"})

    def attach(self, model: Any) -> Any:
        refuse_adapter(model, self.settings.tuner_type)
        model.requires_grad_(False)
        ratio, begun = self.settings.freeze_parameters_ratio, 0
        frozen = ratio * sum(p.numel() for p in model.parameters())
        for parameter in model.parameters():
            begun += parameter.numel()
            if begun > frozen:
                parameter.requires_grad_(True)
        for prefix in self.settings.trainable_parameters:
            _free(model, prefix)
        if not any(p.requires_grad for p in model.parameters()):
            raise SettingError(
                f"freeze_parameters_ratio {ratio} leaves nothing to train: lower it, or name some trainable_parameters."
            )
        to_float32(model)
        return model


def _free(model: Any, prefix: str) -> None:
    """Train the weights whose names begin like this."""
    weights = dict(model.named_parameters(remove_duplicate=False))
    chosen = [weight for name, weight in weights.items() if name == prefix or name.startswith(prefix)]
    if not chosen:
        hint = did_you_mean(prefix, weights)
        raise SettingError(f"trainable_parameters {prefix!r}: no weight has a name that begins like this.{hint}")
    for weight in chosen:
        weight.requires_grad_(True)
