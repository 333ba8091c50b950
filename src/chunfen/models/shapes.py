"""What a model looks like before it is here: enough to build it without its weights, and so to plan a training."""

from __future__ import annotations

import functools
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from chunfen.errors import SettingError
from chunfen.hub import manifest, sources
from chunfen.models.catalog import ModelSpec, resolve

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel


def config_of(model: str | ModelSpec, *, hub: str = "auto", revision: str | None = None) -> PreTrainedConfig:
    """The config of a model, without fetching anything: from its folder, from the cache, or from the catalog's shapes.

    Raises SettingError where none of them has it.
    """
    from transformers import AutoConfig

    spec = resolve(model)
    if (folder := already_here(spec, hub=hub, revision=revision)) and spec.name not in shapes():
        config: PreTrainedConfig = AutoConfig.from_pretrained(folder)
        return config
    if spec.name not in shapes():
        raise SettingError(
            f"model {spec.name!r}: what it looks like is not known before it is fetched: "
            f"chunfen models download {spec.name}"
        )
    shape = dict(shapes()[spec.name])
    return AutoConfig.for_model(shape.pop("model_type"), **shape)


def build(
    config: PreTrainedConfig, dtype: torch.dtype, *, attn_impl: str = "sdpa", outputs: int | None = None
) -> PreTrainedModel:
    """A model of this config with weights that mean nothing; ``with torch.device("meta"):`` they take no memory.

    outputs: numbers that it says of a whole text, instead of the next tokens.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    kind: Any = AutoModelForCausalLM
    if outputs is not None:
        kind, config.num_labels, config.pad_token_id = AutoModelForSequenceClassification, outputs, 0
    model: PreTrainedModel = kind.from_config(config, dtype=dtype, attn_implementation=attn_impl)
    return model


def already_here(model: str | ModelSpec, *, hub: str = "auto", revision: str | None = None) -> Path | None:
    """The folder of a model that need not be fetched any more; None for one that has to be."""
    spec = resolve(model)
    if not spec.ids:
        return sources.folder(spec.name)
    for name in sources.sources_of(spec, hub):
        found = manifest.read(sources._place(name, spec.ids[name], revision) / manifest.NAME)
        if found is not None and not found.damaged():
            return found.folder
    return None


@functools.cache
def shapes() -> dict[str, dict[str, Any]]:
    """Model → the fields of its config, for the models of the catalog."""
    text = resources.files("chunfen.models").joinpath("shapes.yaml").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return found
