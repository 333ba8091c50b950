"""Adapters in folders: finding out of which kind one is, opening it on a model, merging it away."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chunfen.errors import SettingError
from chunfen.registry import Registry

OPENERS: Registry[Callable[[Any, Path], Any]] = Registry(
    "adapter",
    {
        "adapter_config.json": "chunfen.models.adapters:open_peft",
        "reft_config.json": "chunfen.tuners.reft:open_reft",
    },
)
"""The file by which a kind of adapter is known → open(model, folder), which puts it around the model.

What it returns passes on to the model what is asked of it, and has `disable_adapter` and `merge_and_unload`, as a
PeftModel has. It raises ValueError or RuntimeError for a folder that does not fit the model.
"""


class MergeError(SettingError):
    """An adapter that cannot become part of a model's weights."""


def adapter_folder(adapter: str | Path) -> Path:
    """The folder of an adapter, as given in settings. SettingError if there is none."""
    folder = Path(adapter).expanduser().absolute()
    if not any((folder / name).is_file() for name in OPENERS):
        raise SettingError(f"adapters {str(adapter)!r}: no adapter is there (it has no {' or '.join(OPENERS)}).")
    return folder


def with_adapters(model: Any, folders: Sequence[Path], name: str) -> Any:
    """The model with the last adapter around it and the ones before it merged into its weights.

    name: what the user calls the model. Raises SettingError for an adapter that does not fit it.
    """
    wrapped = model
    for number, folder in enumerate(folders):
        wrapped = _opened(merged(wrapped) if number else wrapped, folder, name)
    return wrapped


def _opened(model: Any, folder: Path, name: str) -> Any:
    kind = next(kind for kind in OPENERS if (folder / kind).is_file())
    try:
        return OPENERS[kind](model, folder)
    except (RuntimeError, ValueError, KeyError, UserWarning) as error:
        raise SettingError(
            f"adapters {str(folder)!r} does not fit the model {name!r}: {str(error).splitlines()[0]} "
            "An adapter only fits the model it was trained on."
        ) from error


def open_peft(model: Any, folder: Path) -> Any:
    """A PeftModel around the model. Its weights are read from safetensors, never from pickles."""
    from peft import PeftModel

    if not (folder / "adapter_model.safetensors").is_file():  # PEFT would then read a pickle, whatever it is told
        raise ValueError("it has no adapter_model.safetensors, and pickled weights are not read: they can run code.")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Found missing adapter keys")  # it would then do nothing
        return PeftModel.from_pretrained(model, folder)


def merged(model: Any) -> Any:
    """A plain transformers model that says what the model with its adapter says; one without adapter as it is.

    Works in place: the adapter is gone afterwards. Raises MergeError where the adapter cannot become weights.
    """
    if not hasattr(model, "merge_and_unload"):
        return model
    if getattr(model, "is_quantized", False):
        raise MergeError(
            "quant_bits: the weights of a quantized model would be rounded anew with the adapter in them. "
            "Load the model without quant_bits, and merge there."
        )
    _part_tied(model)
    plain = model.merge_and_unload()
    head = plain.get_output_embeddings()
    if head is not None and head.weight is not plain.get_input_embeddings().weight:
        plain.config.tie_word_embeddings = plain.config.get_text_config().tie_word_embeddings = False
    return plain


def _part_tied(model: Any) -> None:
    """Give the head weights of its own where an adapter sits on it, or on the embeddings that it shares.

    The adapter changes one of the two; in shared weights it would change both.
    """
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer

    ends: list[Any] = [model.get_input_embeddings(), model.get_output_embeddings()]
    inner: list[Any] = [end.get_base_layer() if isinstance(end, BaseTunerLayer) else end for end in ends]
    if ends == inner or ends[1] is None:
        return
    if inner[1].weight is inner[0].weight:
        inner[1].weight = torch.nn.Parameter(inner[1].weight.detach().clone(), requires_grad=False)
