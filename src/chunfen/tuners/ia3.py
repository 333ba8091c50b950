"""IA³ (Liu et al. 2022): one trained scale for each channel of keys, values and inner MLP activations."""

from __future__ import annotations

from typing import Any

from peft import IA3Config
from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as FEEDFORWARD

from chunfen.tuners.base import QUANTIZED
from chunfen.tuners.peft import PLACED, PeftTuner, transposed


class Method(PeftTuner):
    """IA³ by PEFT. Unless target_modules gives names, it sits where the paper puts it."""

    peft_type = "IA3"
    options = PLACED | QUANTIZED

    def config(self, model: Any) -> IA3Config:
        shared = self.shared(model)
        if self.settings.target_modules in (("all-linear",), ("residual",)):
            shared["target_modules"] = None  # PEFT knows the places of each family
            return IA3Config(**shared, **transposed(model))
        scaled_inside = FEEDFORWARD.get(model.config.model_type, [])
        feedforward = [name for name in shared["target_modules"] if name in scaled_inside]
        return IA3Config(**shared, feedforward_modules=feedforward, **transposed(model))
