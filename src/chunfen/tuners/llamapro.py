"""LLaMA-Pro (Wu et al. 2024): copies of some layers, which begin by passing everything on, are all that is trained."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn

from chunfen.errors import SettingError
from chunfen.tuners.base import Tuner, refuse_adapter, to_float32
from chunfen.tuners.layers import RESIDUAL, head_weights, is_classifier, layer_stack


class Method(Tuner):
    """A deeper model of the same architecture: it is saved as one, and any program loads it."""

    options = frozenset({"llamapro_num_new_blocks"})

    def attach(self, model: Any) -> Any:
        refuse_adapter(model, self.settings.tuner_type)
        before = _sample(model)
        holder, name = layer_stack(model)
        old: nn.ModuleList = getattr(holder, name)
        origin, new = expansion(len(old), self.settings.llamapro_num_new_blocks)
        self.new = _expand(holder, name, origin, new)
        _tell_config(model.config.get_text_config(), origin)
        if not torch.equal(_sample(model), before):
            raise SettingError(
                f"tuner_type llamapro does not know how to make new layers of {type(model).__name__} pass on what they "
                "get. Use lora."
            )
        model.requires_grad_(False)
        for block in self.new:
            block.requires_grad_(True)
        for weight in head_weights(model) if is_classifier(model) else ():
            weight.requires_grad_(True)
        to_float32(model)
        return model

    def reference(self) -> AbstractContextManager[None] | None:
        """The new layers off. None for a classifier, whose head is trained too."""
        return None if is_classifier(self.model) else _passing(self.new)


def expansion(layers: int, blocks: int) -> tuple[list[int], list[int]]:
    """Where the layers of the deeper model come from, and which of them are new: one at the end of each group of old.

    >>> expansion(4, 2)
    ([0, 1, 1, 2, 3, 3], [2, 5])
    """
    if blocks > layers:
        raise SettingError(f"llamapro_num_new_blocks {blocks}: the model has {layers} layers to copy.")
    ends = {(group + 1) * layers // blocks - 1 for group in range(blocks)}
    origin, new = [], []
    for layer in range(layers):
        origin.append(layer)
        if layer in ends:
            new.append(len(origin))
            origin.append(layer)
    return origin, new


def _expand(holder: nn.Module, name: str, origin: Sequence[int], new: Sequence[int]) -> list[nn.Module]:
    """Put the deeper stack in the place of the old one. Returns the new layers."""
    old: nn.ModuleList = getattr(holder, name)
    stack = [_silent(old[source]) if place in new else old[source] for place, source in enumerate(origin)]
    for place, layer in enumerate(stack):
        for module in layer.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = place  # type: ignore[assignment]  # its place in the cache
    setattr(holder, name, nn.ModuleList(stack))
    return [stack[place] for place in new]


def _silent(layer: nn.Module) -> nn.Module:
    """A copy of a layer that adds nothing to the residual stream."""
    block = copy.deepcopy(layer)
    for name, parameter in block.named_parameters():
        if set(name.split(".")[-2:]) & set(RESIDUAL):  # o_proj.weight; experts.down_proj, where experts share a tensor
            nn.init.zeros_(parameter)
    return block


def _sample(model: Any) -> torch.Tensor:
    """What a model says of a few tokens."""
    training = model.training
    with torch.no_grad():
        logits: torch.Tensor = model.eval()(input_ids=torch.arange(4, device=model.device)[None]).logits
    model.train(training)
    return logits


def _tell_config(config: Any, origin: Sequence[int]) -> None:
    """The config of the deeper model: its depth, and what the config lists layer by layer."""
    depth = config.num_hidden_layers
    for key, value in config.to_dict().items():
        if "layer" in key and isinstance(value, list) and len(value) == depth:
            setattr(config, key, [value[source] for source in origin])
    config.num_hidden_layers = len(origin)


@contextmanager
def _passing(blocks: Sequence[nn.Module]) -> Iterator[None]:
    """Within this, blocks hand on what they get."""

    def unchanged(block: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> Any:
        hidden: torch.Tensor = arguments[0] if arguments else keywords["hidden_states"]
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    hooks = [block.register_forward_hook(unchanged, with_kwargs=True) for block in blocks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
