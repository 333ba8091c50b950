"""The keys and values that a reply is written with."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from transformers import DynamicLayer


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Those of one layer, with room for what is to come: `DynamicLayer` copies all of them at every token.

    keys, values [rows, heads, length, size]: of the prompts. room: how many tokens may follow.
    """

    keys: Tensor
    values: Tensor

    def __init__(self, keys: Tensor, values: Tensor, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self._store = [F.pad(side, (0, 0, 0, room)) for side in (keys, values)]
        self._show(keys.shape[-2])

    def _show(self, length: int) -> None:
        self.keys, self.values = (side[:, :, :length] for side in self._store)

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        length, new = self.get_seq_length(), key_states.shape[-2]
        for side, states in zip(self._store, (key_states, value_states), strict=True):
            side[:, :, length : length + new] = states
        self._show(length + new)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        length = self.get_seq_length()
        self._store = [side[indices] for side in self._store]
        self._show(length)
