"""Merging: a base model and adapters become one model that stands alone and is checked before it gets its name."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from chunfen.errors import SettingError
from chunfen.export.adapters import Adapter, check_base, explained, put_on, read_adapter
from chunfen.export.base import Base, load_base
from chunfen.export.check import check_ids, compare, greatest_difference, logits_of, tolerance
from chunfen.export.combine import DENSITY, PRUNED, combine, side_by_side, weights_of
from chunfen.export.folder import check_output, check_shard_size, new_folder, save_model, write_record
from chunfen.models.adapters import merged
from chunfen.models.fingerprint import fingerprint
from chunfen.models.loading import load_model
from chunfen.runs.machine import release_memory, versions
from chunfen.settings.merge import MergeCommand

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Merged:
    """folder: the new model. record: what its merge.json holds."""

    folder: Path
    record: dict[str, Any]


def merge(settings: MergeCommand) -> Merged:
    """Write the model that the settings describe, and its merge.json.

    Raises SettingError for what cannot be merged, ChunfenError where the written model's logits are not those of the
    base model with its adapters on.
    """
    folder, adapters = check_output(settings.output), read_adapters(settings)
    check_shard_size(settings.max_shard_size)
    weights, density = _strengths(settings, len(adapters))
    model, base = load_base(settings)
    for adapter in adapters:
        check_base(adapter, base.spec, base.path)
    ids = check_ids(base.tokenizer, model.config.get_text_config().vocab_size)
    plain = logits_of(model, ids)
    if settings.merge_method == "sequential":
        model, wanted = one_by_one(model, base, adapters, ids)
    else:
        model = combine(side_by_side(model, adapters), settings.merge_method, weights, density, settings.seed)
        wanted = logits_of(model, ids)
    record = {
        **described(settings, base, adapters),
        "method": settings.merge_method,
        "weights": list(weights) or None,
        "density": density,
        "seed": settings.seed if settings.merge_method.startswith("dare") else None,
    }
    with new_folder(folder) as part:
        save_model(model, base, part, settings)
        del model  # the written one takes its place in memory
        record["check"] = check_written(part, base, settings, ids, wanted)
        record["check"]["greatest_change"] = greatest_difference(plain, wanted)
        write_record(part, record)
    return Merged(folder, record)


def read_adapters(settings: MergeCommand) -> list[Adapter]:
    """The adapters that are named, each once."""
    if not settings.adapters:
        raise SettingError("adapters: name the folders of the adapters to merge, as --adapters FOLDER.")
    if settings.system is not None:
        raise SettingError("system: a system prompt has no part in a merge; leave it out.")
    adapters = [read_adapter(given) for given in settings.adapters]
    for number, adapter in enumerate(adapters):
        if adapter.folder in [other.folder for other in adapters[:number]]:
            raise SettingError(f"adapters: {str(adapter.folder)!r} is given twice; leave one out.")
    return adapters


def _strengths(settings: MergeCommand, adapters: int) -> tuple[tuple[float, ...], float | None]:
    """Weights and density of the method. SettingError for one that the method has no use for."""
    method = settings.merge_method
    if settings.router_data:
        raise SettingError("router_data: a dense model has no router; it is for --to_moe.")
    if settings.density is not None and method not in PRUNED:
        raise SettingError(f"density {settings.density}: {method} keeps every change; it is for {', '.join(PRUNED)}.")
    if method == "sequential":
        if settings.weights:
            raise SettingError("weights: sequential merges every adapter at its full strength; use linear.")
        return (), None
    return weights_of(method, settings.weights, adapters), (settings.density or DENSITY) if method in PRUNED else None


def one_by_one(model: Any, base: Base, adapters: Sequence[Adapter], ids: Sequence[Sequence[int]]) -> tuple[Any, Tensor]:
    """The plain model with each adapter merged in turn, and the logits that it had with the last one on.

    Each merge is checked before the next adapter is put on.
    """
    _refuse_overwriting(adapters)
    for adapter in adapters:
        wrapped = put_on(model, adapter, base.spec.name)
        if not hasattr(wrapped, "merge_and_unload"):
            raise SettingError(f"{adapter} cannot be merged: it works beside the layers and changes no weight.")
        wanted = logits_of(wrapped, ids)
        with explained(f"{adapter} cannot be merged"):
            model = merged(wrapped)
        compare(wanted, logits_of(model, ids), tolerance(base.computed, base.computed), f"{adapter}, merged")
    return model, wanted


def _refuse_overwriting(adapters: Sequence[Adapter]) -> None:
    """Adapters that bring whole modules put them in place of what is there; a second one would undo the first."""
    owners: dict[str, Adapter] = {}
    for adapter in adapters:
        for module in getattr(adapter.config, "modules_to_save", None) or ():
            if module in owners:
                raise SettingError(
                    f"{owners[module]} and {adapter} both bring a whole {module}; the second would replace the first. "
                    "Merge one of them."
                )
            owners[module] = adapter


def check_written(
    part: Path, base: Base, settings: MergeCommand, ids: Sequence[Sequence[int]], wanted: Tensor
) -> dict[str, Any]:
    """Read the model back as any other program would, and compare its logits with those that are wanted."""
    release_memory()
    log.info("The model is written; checking it …")
    again = load_model(
        str(part),
        torch_dtype=base.computed,
        attn_impl=settings.attn_impl,
        device=settings.device,
        trust_remote_code=settings.trust_remote_code,
    ).model
    difference = compare(wanted, logits_of(again, ids), tolerance(base.computed, base.written), "the written model")
    return {"texts": len(ids), "greatest_difference": difference, "greatest_logit": float(wanted.abs().max())}


def described(settings: MergeCommand, base: Base, adapters: Sequence[Adapter]) -> dict[str, Any]:
    """What went into a model: base, adapters, number format, versions."""
    return {
        "base": {"model": base.spec.name, "path": str(base.path), "fingerprint": fingerprint([base.path], {})},
        "dequantized": base.dequantized,
        "adapters": [
            {"path": str(a.folder), "kind": a.kind, "fingerprint": fingerprint([a.folder], {})} for a in adapters
        ],
        "dtype": base.written,
        "versions": versions(),
    }
