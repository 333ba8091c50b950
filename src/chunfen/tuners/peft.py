"""What all methods share that PEFT computes: a small part beside frozen layers, which can be switched off."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar

from peft import PeftModel, get_peft_model

from chunfen.errors import SettingError, did_you_mean
from chunfen.tuners.base import Tuner, refuse_adapter, to_float32
from chunfen.tuners.layers import is_classifier, linear_names, residual_writers

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import nn

PLACED = frozenset({"target_modules", "modules_to_save"})
"""Settings of methods that sit on linear layers."""


class PeftTuner(Tuner):
    """Base of the methods of PEFT. A subclass says of which peft_type it is, and makes the config."""

    whole = False
    peft_type: ClassVar[str]

    def config(self, model: nn.Module) -> PeftConfig:
        """PEFT's config of a fresh adapter for this model."""
        raise NotImplementedError

    def attach(self, model: Any) -> Any:
        """A fresh adapter, or the one that is around the model already, trainable again."""
        self.continued = isinstance(model, PeftModel)
        tuned = self._go_on(model) if self.continued else self._begin(model)
        to_float32(tuned)
        return tuned

    def reference(self) -> AbstractContextManager[Any] | None:
        """The adapter off. None for one that goes on learning: before training it was on."""
        return None if self.continued else self.model.disable_adapter()

    def _begin(self, model: Any) -> Any:
        refuse_adapter(model, self.settings.tuner_type)
        try:
            return get_peft_model(model, self.config(model))
        except (ValueError, TypeError, RuntimeError, NotImplementedError) as error:
            own = sorted(name for name in self.options - PLACED if self.settings.tuner_type in name)
            given = ", ".join(f"{name} {getattr(self.settings, name)}" for name in own)
            what = f"tuner_type {self.settings.tuner_type}" + (f" with {given}" if given else "")
            raise SettingError(
                f"{what} cannot be put on {type(model).__name__}: {str(error).splitlines()[0]}"
            ) from error

    def _go_on(self, model: PeftModel) -> PeftModel:
        """An adapter keeps its own rank and places, whatever the settings say."""
        config = model.active_peft_config
        if config.peft_type != self.peft_type:
            raise SettingError(
                f"adapters: a {config.peft_type} adapter cannot go on learning with tuner_type "
                f"{self.settings.tuner_type}; give --tuner_type {config.peft_type.lower()}, or merge it first."
            )
        config.inference_mode = False
        model.set_requires_grad(model.active_adapter)
        return model

    def shared(self, model: nn.Module) -> dict[str, Any]:
        """What the configs of all methods have in common."""
        return {
            "target_modules": self.targets(model),
            "modules_to_save": list(self.settings.modules_to_save) or None,
            "task_type": "SEQ_CLS" if is_classifier(model) else "CAUSAL_LM",
        }

    def targets(self, model: nn.Module) -> Any:
        """What PEFT is told; a family whose layers have other names gets an adapter in all of them."""
        names = self.settings.target_modules
        if names == ("residual",):
            return residual_writers(model) or "all-linear"
        if names == ("all-linear",):
            return "all-linear"
        known = linear_names(model)
        for name in names:
            if not any(there == name or there.endswith(f".{name}") for there, _ in model.named_modules()):
                hint = did_you_mean(name, known)
                raise SettingError(
                    f"target_modules {name!r}: {type(model).__name__} has no such layer.{hint} Its linear layers: "
                    f"{', '.join(known)}; or all-linear or residual alone."
                )
        return list(names)


def transposed(model: nn.Module) -> dict[str, Any]:
    """Whether the linear layers are GPT-2's, which keep their weights the other way round."""
    return {"fan_in_fan_out": any(type(module).__name__ == "Conv1D" for module in model.modules())}
