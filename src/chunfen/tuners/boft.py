"""BOFT (Liu et al. 2023): linear layers rotated by products of sparse orthogonal matrices, as in a butterfly."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from peft import BOFTConfig

from chunfen.errors import SettingError
from chunfen.tuners.peft import PLACED, PeftTuner

if TYPE_CHECKING:
    from torch import nn


class Method(PeftTuner):
    """BOFT by PEFT."""

    peft_type = "BOFT"
    options = frozenset({"boft_block_size", "boft_n_butterfly_factor", "boft_dropout"} | PLACED)

    def config(self, model: nn.Module) -> BOFTConfig:
        return BOFTConfig(
            boft_block_size=self.settings.boft_block_size,
            boft_n_butterfly_factor=self.settings.boft_n_butterfly_factor,
            boft_dropout=self.settings.boft_dropout,
            **self.shared(model),
        )

    def _begin(self, model: Any) -> Any:
        factor = self.settings.boft_n_butterfly_factor
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="(Failed to load the CUDA|Setting boft_n_butterfly)")
            tuned = super()._begin(model)
        if factor > 1 and any(getattr(module, "fbd_cuda_available", True) is False for module in tuned.modules()):
            raise SettingError(
                f"boft_n_butterfly_factor {factor} takes a CUDA extension that PEFT could not build here "
                "(it needs CUDA and ninja). Give 1."
            )
        return tuned
