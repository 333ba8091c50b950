"""The model that adapters are merged into: in the number format that is to be written, without quantisation."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from chunfen.errors import SettingError
from chunfen.export.adapters import first_line
from chunfen.export.check import check_ids, greatest_difference, logits_of
from chunfen.models.catalog import ModelSpec, fetch, resolve
from chunfen.models.loading import LoadedModel, load_model
from chunfen.settings.merge import MergeSettings

log = logging.getLogger(__name__)

Dtype = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class Base:
    """What is known of a model besides the model itself, which is let go of as soon as it is written.

    computed, written: the number formats in memory and in the new folder. dequantized: the greatest change of a logit
    that came of turning quantised weights into plain ones; None: they were plain.
    """

    tokenizer: Any
    spec: ModelSpec
    path: Path
    computed: Dtype
    written: Dtype
    dequantized: float | None


def load_base(settings: MergeSettings) -> tuple[Any, Base]:
    """The plain model of the settings, without adapters. Its path is that of the files it was read from."""
    spec = resolve(settings.model)
    path = fetch(spec, hub=settings.hub, revision=settings.revision)
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    written = stored_dtype(config) if settings.torch_dtype == "auto" else settings.torch_dtype
    computed = written if settings.merge_dtype == "written" else "float32"
    loaded = load_model(
        spec,
        hub=settings.hub,
        revision=settings.revision,
        torch_dtype=computed,
        attn_impl=settings.attn_impl,
        device=settings.device,
        trust_remote_code=settings.trust_remote_code,
    )
    change = None
    if "quantization_config" in config:
        loaded, change = _dequantized(loaded)
    return loaded.model, Base(loaded.tokenizer, spec, path, computed, written, change)


def stored_dtype(config: dict[str, Any]) -> Dtype:
    """The number format that a config.json names; float32 where it names none, or one that is not written here.

    >>> stored_dtype({"dtype": "bfloat16"}), stored_dtype({"text_config": {"torch_dtype": "float16"}}), stored_dtype({})
    ('bfloat16', 'float16', 'float32')
    """
    for part in (config, config.get("text_config", {})):
        for key in ("dtype", "torch_dtype"):
            if part.get(key) in ("float32", "bfloat16", "float16"):
                return cast(Dtype, part[key])
    return "float32"


def _dequantized(loaded: LoadedModel) -> tuple[LoadedModel, float]:
    """The model with plain weights, and the greatest change of a logit that comes of it. The user is told."""
    ids = check_ids(loaded.tokenizer, loaded.model.config.get_text_config().vocab_size)
    before = logits_of(loaded.model, ids)
    try:
        plain = replace(loaded, model=loaded.model.dequantize())
    except (NotImplementedError, ValueError, RuntimeError, AttributeError) as error:
        raise SettingError(
            f"model {loaded.spec.name!r} is quantised and cannot be turned back ({first_line(error)}). Merge into the "
            "model that it was made from."
        ) from error
    change = greatest_difference(before, logits_of(plain.model, ids))
    log.warning(
        "%s is quantised. Merged weights are plain ones: its logits change by up to %.2g by that alone. If you have "
        "the model that it was made from, merge into that.",
        loaded.spec.name,
        change,
    )
    return plain, change
