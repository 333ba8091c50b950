"""ReFT (Wu et al. 2024): the weights stay, and the hidden states behind some layers are edited in a few dimensions.

LoReFT, equation 2: h + Rᵀ(W h + b − R h), where the rows of R [rank, width] are orthonormal. W begins as R and b as 0,
so that a fresh edit changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from chunfen.errors import SettingError
from chunfen.models.adapters import MergeError
from chunfen.tuners.base import Tuner, refuse_adapter
from chunfen.tuners.layers import decoder_layers, is_classifier

CONFIG, WEIGHTS = "reft_config.json", "reft_model.safetensors"


class Method(Tuner):
    """LoReFT behind the layers of reft_layers. Off, it is its own reference."""

    options = frozenset({"reft_rank", "reft_layers", "reft_positions"})
    whole = False

    def attach(self, model: Any) -> Any:
        self.continued = isinstance(model, ReftModel)
        if self.continued:
            model.edits.requires_grad_(True)
            return model
        refuse_adapter(model, self.settings.tuner_type)
        if is_classifier(model):
            raise SettingError(
                "tuner_type reft edits hidden states, and a new head of classes would stay untrained. Use lora."
            )
        settings, depth = self.settings, len(decoder_layers(model))
        layers = settings.reft_layers or tuple(range(depth))
        if not all(0 <= layer < depth for layer in layers):
            raise SettingError(f"reft_layers {' '.join(map(str, layers))}: the model has the layers 0 to {depth - 1}.")
        width = model.config.get_text_config().hidden_size
        if settings.reft_rank > width:
            raise SettingError(f"reft_rank {settings.reft_rank}: hidden states have {width} dimensions.")
        model.requires_grad_(False)
        return ReftModel(model, settings.reft_rank, layers, settings.reft_positions)

    def reference(self) -> AbstractContextManager[None] | None:
        """The edits off. None for edits that go on learning: before training they were on."""
        return None if self.continued else self.model.disable_adapter()


class LoReft(nn.Module):
    """One edit. rotation [width, rank]: its orthonormalised columns are the rows of R."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.rotation = nn.Parameter(nn.init.orthogonal_(torch.empty(width, rank)))
        self.weight = nn.Parameter(self.directions().detach().clone())
        self.bias = nn.Parameter(torch.zeros(rank))

    def directions(self) -> Tensor:
        """R [rank, width]."""
        columns: Tensor = torch.linalg.qr(self.rotation).Q
        return columns.T

    def forward(self, hidden: Tensor) -> Tensor:
        """The edited hidden states [..., width], computed in float32."""
        rows, states = self.directions(), hidden.to(self.weight.dtype)
        change = (states @ (self.weight - rows).T + self.bias) @ rows
        return hidden + change.to(hidden.dtype)


class ReftModel(nn.Module):
    """A model with edits of its hidden states. What is not its own it passes on to the model.

    positions: all, or f4: the first four of each text, wherever it lies in a row. Its state is that of the edits, so
    that checkpoints are small.
    """

    def __init__(self, model: Any, rank: int, layers: tuple[int, ...], positions: str) -> None:
        super().__init__()
        self.base_model = model
        self.config_of_edits = {"rank": rank, "layers": list(layers), "positions": positions}
        width = model.config.get_text_config().hidden_size
        self.edits = nn.ModuleDict({str(layer): LoReft(width, rank) for layer in layers}).to(model.device)
        self.edited: Tensor | None = None
        self.off = False
        stack = decoder_layers(model)
        for layer in layers:
            stack[layer].register_forward_hook(self._edit(self.edits[str(layer)]))
        if positions != "all":
            model.register_forward_pre_hook(partial(self._find_first, int(positions[1:])), with_kwargs=True)

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        return self.base_model(*arguments, **keywords)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base_model"), name)

    def state_dict(self, *arguments: Any, **keywords: Any) -> dict[str, Any]:  # type: ignore[override]
        return self.edits.state_dict(*arguments, **keywords)

    def load_state_dict(self, *arguments: Any, **keywords: Any) -> Any:
        return self.edits.load_state_dict(*arguments, **keywords)

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """Within this, the model alone."""
        self.off, before = True, self.off
        try:
            yield
        finally:
            self.off = before

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the edits and what they are."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        config = {"reft_type": "LOREFT", "base_model_name_or_path": self.base_model.name_or_path}
        (path / CONFIG).write_text(json.dumps(config | self.config_of_edits, indent=2) + "\n", encoding="utf-8")
        save_file(self.state_dict(), path / WEIGHTS)

    def merge_and_unload(self) -> NoReturn:
        """An edit comes after a whole layer, where there is no weight that could do the same."""
        raise MergeError(
            "adapters: a ReFT edits hidden states behind whole layers, and no weight of the model can do the same. "
            "Keep it as an adapter, or train with tuner_type lora."
        )

    def _edit(self, edit: nn.Module) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> Any:
            if self.off:
                return output
            hidden = output[0] if isinstance(output, tuple) else output
            new = edit(hidden)
            if self.edited is not None:
                new = torch.where(self.edited[..., None], new, hidden)
            return (new, *output[1:]) if isinstance(output, tuple) else new

        return hook

    def _find_first(self, count: int, _: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        """Note which tokens of this call are among the first of their text: [rows, length]."""
        positions = keywords.get("position_ids")
        if positions is None:
            tokens = keywords["input_ids"] if "input_ids" in keywords else arguments[0]
            cache, mask = keywords.get("past_key_values"), keywords.get("attention_mask")
            begun = cache.get_seq_length() if cache is not None else 0
            if mask is not None and mask.dim() == 2:  # padding on the left does not count
                positions = (mask.cumsum(-1) - 1)[:, begun : begun + tokens.shape[1]]
            else:
                positions = torch.arange(begun, begun + tokens.shape[1], device=tokens.device)[None]
        self.edited = (positions >= 0) & (positions < count)


def open_reft(model: Any, folder: Path) -> ReftModel:
    """The edits of a folder around a model. Raises ValueError or RuntimeError if they do not fit."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if config.get("reft_type") != "LOREFT":
        raise ValueError(f"{CONFIG} names the unknown reft_type {config.get('reft_type')!r}.")
    refuse_adapter(model, "reft")
    model.requires_grad_(False)
    tuned = ReftModel(model, config["rank"], tuple(config["layers"]), config["positions"])
    tuned.load_state_dict(load_file(folder / WEIGHTS))
    tuned.edits.requires_grad_(False).to(model.device)
    return tuned
