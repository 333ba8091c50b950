"""Full tuning: every weight of the model."""

from __future__ import annotations

from typing import Any

from chunfen.tuners.base import Tuner, refuse_adapter, to_float32


class Method(Tuner):
    """Every weight is trained, in float32."""

    def attach(self, model: Any) -> Any:
        refuse_adapter(model, self.settings.tuner_type)
        model.requires_grad_(True)
        to_float32(model)
        return model
