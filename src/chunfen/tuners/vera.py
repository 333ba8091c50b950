"""VeRA (Kopiczko et al. 2023): random matrices that all layers share, and two trained vectors for each layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peft import VeraConfig

from chunfen.tuners.base import QUANTIZED
from chunfen.tuners.peft import PLACED, PeftTuner, transposed

if TYPE_CHECKING:
    from torch import nn


class Method(PeftTuner):
    """VeRA by PEFT. The random matrices are saved with the adapter, so that it does not depend on a generator."""

    peft_type = "VERA"
    options = frozenset({"vera_rank", "vera_dropout", "vera_d_initial"} | PLACED | QUANTIZED)

    def config(self, model: nn.Module) -> VeraConfig:
        return VeraConfig(
            r=self.settings.vera_rank,
            vera_dropout=self.settings.vera_dropout,
            d_initial=self.settings.vera_d_initial,
            **self.shared(model),
            **transposed(model),
        )
