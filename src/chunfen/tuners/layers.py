"""Where things are in a decoder, whatever its family calls them."""

from __future__ import annotations

from typing import Any

from torch import nn

from chunfen.errors import SettingError

RESIDUAL = ("o_proj", "out_proj", "down_proj", "c_proj", "dense", "dense_4h_to_h", "fc2", "fc_out", "wo", "w2")
"""What families of decoders call the layers that write into the residual stream."""


def layer_stack(model: nn.Module) -> tuple[nn.Module, str]:
    """The module that holds the decoder's layers, and the attribute where they are: a ModuleList.

    Raises SettingError for a model that has no such stack.
    """
    count = _text_config(model).num_hidden_layers
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.ModuleList) and len(child) == count:
                return module, name
    raise SettingError(f"tuner_type: {type(model).__name__} has no stack of {count} layers. Choose lora, or full.")


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The decoder's layers, the one next to the embeddings first."""
    holder, name = layer_stack(model)
    layers: nn.ModuleList = getattr(holder, name)
    return layers


def residual_writers(module: nn.Module) -> list[str]:
    """Last parts of the names of those layers in a module that write into the residual stream."""
    there = {name.rpartition(".")[2] for name, _ in module.named_modules()}
    return [name for name in RESIDUAL if name in there]


def linear_names(model: nn.Module) -> list[str]:
    """Last parts of the names of all linear layers, each once."""
    return sorted({name.rpartition(".")[2] for name, module in model.named_modules() if is_linear(module)})


def is_linear(module: nn.Module) -> bool:
    """Whether a module multiplies by a matrix: nn.Linear and what is made from it, or GPT-2's Conv1D."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, nn.Linear | Conv1D)


def is_classifier(model: nn.Module) -> bool:
    """Whether a model ends in a head of classes or of one score, which begins at random and has to be trained."""
    return type(model).__name__.endswith("ForSequenceClassification")


def head_weights(model: Any) -> list[nn.Parameter]:
    """The weights outside the body of a model."""
    body = {id(weight) for weight in model.base_model.parameters()}
    return [weight for weight in model.parameters() if id(weight) not in body]


def _text_config(model: Any) -> Any:
    return model.config.get_text_config()
