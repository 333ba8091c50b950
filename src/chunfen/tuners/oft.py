"""OFT (Qiu et al. 2023): linear layers rotated by orthogonal matrices of blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peft import OFTConfig

from chunfen.tuners.base import QUANTIZED
from chunfen.tuners.peft import PLACED, PeftTuner

if TYPE_CHECKING:
    from torch import nn


class Method(PeftTuner):
    """OFT by PEFT, with the exact Cayley transform."""

    peft_type = "OFT"
    options = frozenset({"oft_block_size"} | PLACED | QUANTIZED)

    def config(self, model: nn.Module) -> OFTConfig:
        return OFTConfig(oft_block_size=self.settings.oft_block_size, use_cayley_neumann=False, **self.shared(model))
