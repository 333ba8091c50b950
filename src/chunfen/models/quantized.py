"""Loading a model with its layers' weights in a few bits."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from chunfen.errors import SettingError

if TYPE_CHECKING:
    import torch


def quantization(method: str, bits: int | None, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """What transformers is told to quantize while it loads; nothing without bits.

    4 bits: NF4 with quantized scales, as QLoRA has it (Dettmers et al. 2023). 8 bits: LLM.int8 (Dettmers et al. 2022).
    Products of matrices are computed in dtype. Raises SettingError for what cannot be had.
    """
    if bits is None:
        return {}
    if method != "bnb" or bits not in (4, 8):
        raise SettingError(f"quant_method {method!r} and quant_bits {bits}: give bnb, and 4 or 8.")
    if find_spec("bitsandbytes") is None:
        raise SettingError(f"quant_bits {bits} takes the package bitsandbytes: pip install bitsandbytes.")
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=bits == 4,
        load_in_8bit=bits == 8,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": config, "device_map": {"": device}}


def keep_layout(model: Any) -> None:
    """Keep bitsandbytes from repacking 4-bit weights for a CPU with AVX512-BF16.

    It would do so at the first pass without gradients, for good: scales are rounded to bfloat16, layers of some widths
    fail, and no gradient passes through such a layer any more, which nobody is told.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
