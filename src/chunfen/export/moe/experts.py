"""Upcycling (Komatsuzaki et al. 2022): every layer's MLP becomes as many experts as there are adapters.

An expert is the base MLP with one adapter merged into it. Everything else is shared: as it is in the base model, the
attention on request with the average of the adapters' changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from chunfen.errors import SettingError
from chunfen.export.adapters import Adapter, explained
from chunfen.export.combine import changes, names_of, tuner_layers, write

if TYPE_CHECKING:
    from peft import PeftModel

MLP = ("gate_proj", "up_proj", "down_proj")


def check_layers(wrapped: PeftModel, adapters: Sequence[Adapter]) -> None:
    """Raise SettingError if the adapters change more than MLP and attention, or no MLP at all."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    placed = [name for name, _ in tuner_layers(wrapped)]
    for name in placed:
        if ".mlp." not in name and ".self_attn." not in name:
            raise SettingError(
                f"to_moe: the adapters change {name}, which all experts share. Train adapters of the layers of MLP and "
                "attention only."
            )
    model: Any = wrapped.get_base_model()
    for name, adapter in zip(names_of(adapters), adapters, strict=True):
        inside = (getattr(layer.mlp, part) for layer in model.model.layers for part in MLP)
        if not any(isinstance(p, BaseTunerLayer) and name in _adapters_of(p) for p in inside):
            raise SettingError(f"to_moe: {adapter} changes no layer of an MLP, so it would be no expert of its own.")


def _adapters_of(layer: Any) -> set[str]:
    """The adapters that a layer has weights of."""
    return {name for part in layer.adapter_layer_names for name in getattr(layer, part, {})}


def share_attention(wrapped: PeftModel, adapters: int, attention: str) -> None:
    """Make the attention the one that all experts share, and switch its adapters off.

    attention: base, or average, which adds the mean of what the adapters change.
    """
    names = names_of(range(adapters))
    for name, layer in tuner_layers(wrapped):
        if ".self_attn." not in name:
            continue
        if attention == "average":
            with explained("to_moe: adapters in the attention cannot be averaged"):
                write(layer, {key: sum(parts[1:], parts[0]) / adapters for key, parts in changes(layer, names).items()})
        layer.enable_adapters(False)


def moe_weights(wrapped: PeftModel, config: Any, adapters: int) -> dict[str, Tensor]:
    """The state of the mixture: the dense model's, with experts in the place of MLPs and a router of zeros.

    What both share is the same tensor in both.
    """
    model: Any = wrapped.get_base_model()
    state = {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in model.state_dict().items()
        if ".mlp." not in name and not _is_adapter(name, wrapped)
    }
    for number, layer in enumerate(model.model.layers):
        gate, up, down = (torch.stack(list(_experts(getattr(layer.mlp, part), adapters))) for part in MLP)
        block = f"model.layers.{number}.mlp"
        state[f"{block}.experts.gate_up_proj"] = torch.cat([gate, up], dim=1)
        state[f"{block}.experts.down_proj"] = down
        state[f"{block}.gate.weight"] = torch.zeros(adapters, config.hidden_size, dtype=down.dtype)
        state |= _silent(block, config, down.dtype)
    return state


def _is_adapter(name: str, wrapped: PeftModel) -> bool:
    prefix: Any = wrapped.base_model.prefix
    return prefix in name


def _experts(layer: Any, adapters: int) -> Iterator[Tensor]:
    """The weight of a linear layer with each adapter merged into it, rounded once."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    if not isinstance(layer, BaseTunerLayer):
        yield from (layer.weight.data for _ in range(adapters))
        return
    base: Any = layer.get_base_layer()
    weight: Tensor = base.weight.data
    with explained("to_moe: the adapters cannot be merged"):
        found = changes(layer, names_of(range(adapters)))["weight"]
    yield from ((weight.float() + change).to(weight.dtype) for change in found)


def _silent(block: str, config: Any, dtype: torch.dtype) -> dict[str, Tensor]:
    """Zeros for the shared expert, where the architecture has one."""
    width = getattr(config, "shared_expert_intermediate_size", 0)
    if not width:
        return {}
    hidden = config.hidden_size
    shapes = {
        "shared_expert.gate_proj": (width, hidden),
        "shared_expert.up_proj": (width, hidden),
        "shared_expert.down_proj": (hidden, width),
        "shared_expert_gate": (1, hidden),
    }
    return {f"{block}.{name}.weight": torch.zeros(shape, dtype=dtype) for name, shape in shapes.items()}


def build_moe(config: Any, state: dict[str, Tensor]) -> Any:
    """The mixture in memory, in evaluation mode, of the class that its config belongs to."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    dtype = state["model.layers.0.mlp.experts.down_proj"].dtype
    cls: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    model, notes = cls.from_pretrained(None, config=config, state_dict=state, dtype=dtype, output_loading_info=True)
    if odd := sorted(set(notes["missing_keys"]) | set(notes["unexpected_keys"])):
        raise SettingError(f"to_moe: {len(odd)} weights do not fit a {type(model).__name__}, among them {odd[0]}.")
    return model.eval()
