"""Attention masks of packed rows, as the models of transformers take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def tree_mask(end: Tensor, positions: Tensor, dtype: torch.dtype, window: int | None = None) -> Tensor:
    """The additive mask [rows, 1, length, length] of packed rows: 0 where token i may see token j, else very
    negative.

    end, positions [rows, length]: of `chunfen.data.packing.PackedBatch`. window: of sliding-window attention,
    in tokens; it counts along each path, so by depth. Additive, because that is what eager and SDPA attention
    agree on: eager *adds* a boolean mask.

    >>> end, positions = torch.tensor([[4, 4, 3, 4]]), torch.tensor([[0, 1, 2, 2]])
    >>> (tree_mask(end, positions, torch.float32)[0, 0] == 0).int().tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1]]
    >>> (tree_mask(end, positions, torch.float32, window=2)[0, 0] == 0).int().tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 1, 0, 1]]
    """
    index = torch.arange(end.shape[1], device=end.device)
    visible = (index[None, None, :] <= index[None, :, None]) & (index[None, :, None] < end[:, None, :])
    if window is not None:
        visible &= positions[:, :, None] - positions[:, None, :] < window
    mask = torch.zeros(visible.shape, dtype=dtype, device=end.device)
    return mask.masked_fill_(~visible, torch.finfo(dtype).min)[:, None]


def masks_for(
    config: PreTrainedConfig, end: Tensor, positions: Tensor, dtype: torch.dtype
) -> Tensor | dict[str, Tensor]:
    """What the model's ``attention_mask`` must be: one mask, or one for each kind of its layers if these
    differ.

    config: of the text model. Whether the model really takes it so is for `selfcheck` to find out.
    """
    window = getattr(config, "sliding_window", None)
    kinds = layer_kinds(config)
    masks = {kind: tree_mask(end, positions, dtype, window if "sliding" in kind else None) for kind in sorted(kinds)}
    return masks if len(masks) > 1 else masks.popitem()[1]


def layer_kinds(config: Any) -> set[str]:
    """The kinds of attention layer that a model mixes, in the words of transformers."""
    listed = getattr(config, "layer_types", None)
    if listed:
        return set(listed)
    return {"sliding_attention" if getattr(config, "sliding_window", None) else "full_attention"}
