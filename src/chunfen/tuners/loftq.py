"""LoftQ (Li et al. 2023): a LoRA that begins with what quantization took from the weights.

PEFT can do this on a GPU only, and without regard to the scale of the LoRA. One iteration, as there: the quantized
weights stay as they are, so that they need not be saved.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.lora import LoraLayer
from peft.utils.integrations import dequantize_module_weight
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from chunfen.errors import SettingError

if TYPE_CHECKING:
    from peft import PeftModel


@torch.no_grad()
def take_up_loss(tuned: PeftModel) -> None:
    """Set A and B of each layer to the main part of W − Q. The weights W are read again from the model's folder."""
    base: Any = tuned.get_base_model()
    weights = Weights(Path(base.name_or_path))
    layers: dict[str, Any] = {name: module for name, module in base.named_modules() if isinstance(module, LoraLayer)}
    for name, module in layers.items():
        layer = module.get_base_layer()
        whole = weights[f"{name}.weight"].float()
        if getattr(layer, "source_cls", None) is Conv1D:  # GPT-2's, which was turned round to be quantized
            whole = whole.T
        lost = whole - dequantize_module_weight(layer).cpu().float()
        for adapter in module.lora_A:
            down, up = low_rank(lost, module.r[adapter])
            module.lora_A[adapter].weight.copy_(down)
            module.lora_B[adapter].weight.copy_(up / module.scaling[adapter])


def low_rank(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The factors A [rank, n] and B [m, rank] whose product BA is nearest to a matrix [m, n].

    >>> a, b = low_rank(torch.tensor([[3.0, 0.0], [0.0, 1.0]]), 1)
    >>> torch.allclose(b @ a, torch.tensor([[3.0, 0.0], [0.0, 0.0]]))
    True
    """
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    root = values[:rank].sqrt()
    return root[:, None] * right[:rank], left[:, :rank] * root


class Weights:
    """The tensors of a model's folder by name, each read when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = folder / "model.safetensors.index.json"
        self.files: dict[str, str] = json.loads(index.read_text())["weight_map"] if index.is_file() else {}

    def __getitem__(self, name: str) -> Tensor:
        try:
            with safe_open(self.folder / self.files.get(name, "model.safetensors"), framework="pt") as file:
                tensor: Tensor = file.get_tensor(name)
                return tensor
        except (OSError, SafetensorError) as error:
            raise SettingError(
                f"init_weights loftq: {name} cannot be read from {self.folder} ({error}). Use init_weights default."
            ) from error
