"""Adapters that are to become part of a model: what a folder holds, and whether it belongs to the model."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunfen.errors import ChunfenError, SettingError
from chunfen.models.adapters import OPENERS, adapter_folder, with_adapters
from chunfen.models.catalog import ModelSpec, resolve
from chunfen.models.fingerprint import fingerprint

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel

log = logging.getLogger(__name__)

PEFT = "adapter_config.json"
CANNOT = (ValueError, TypeError, KeyError, RuntimeError, AttributeError, NotImplementedError)
"""How PEFT says that something does not fit or cannot be done."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter in a folder. kind: its method, as PEFT calls it: LORA, IA3 …; or as its own file does. base: the model
    that it says it was trained on; "" where it does not. config: PEFT's; None for an adapter of another make."""

    folder: Path
    kind: str
    base: str
    config: PeftConfig | None

    def __str__(self) -> str:
        return f"adapter {str(self.folder)!r} ({self.kind})"


def read_adapter(given: str) -> Adapter:
    """The adapter in a folder, of any kind that `OPENERS` knows.

    Raises SettingError where there is none, or one that changes no weights or is for another task.
    """
    folder = adapter_folder(given)
    file = next(name for name in OPENERS if (folder / name).is_file())
    if file != PEFT:
        config = json.loads((folder / file).read_text(encoding="utf-8"))
        kind = file.removesuffix("_config.json").upper()
        return Adapter(folder, kind, config.get("base_model_name_or_path") or "", None)
    from peft import PeftConfig

    with explained(f"adapters {given!r}: {PEFT} cannot be read"):
        config = PeftConfig.from_pretrained(str(folder))
        adapter = Adapter(folder, str(config.peft_type.value), config.base_model_name_or_path or "", config)
    if config.is_prompt_learning:
        raise SettingError(
            f"{adapter} cannot be merged: it puts trained vectors before the text and changes no weight of the model. "
            "Use it as an adapter."
        )
    if config.task_type not in (None, "CAUSAL_LM"):
        raise SettingError(f"{adapter} is for {config.task_type}; only adapters of language models can be merged.")
    return adapter


ONLY = "An adapter only fits the model that it was trained on."


def put_on(model: Any, adapter: Adapter, name: str) -> Any:
    """The model with the adapter around it. name: what the user calls the model.

    Raises SettingError where the adapter does not fit the model, in shape or in number of layers.
    """
    wrapped = with_adapters(model, [adapter.folder], name)
    if adapter.config is not None:
        _check_complete(wrapped, adapter, "default")
    return wrapped.eval()


def put_beside(model: Any, adapter: Adapter, slot: str) -> PeftModel:
    """The model with the adapter of PEFT on it, beside those that it has already; slot: what PEFT is to call it.

    Errors as `put_on`.
    """
    from peft import PeftModel

    folder = str(adapter.folder)
    with explained(f"{adapter} does not fit this model", ONLY):
        if isinstance(model, PeftModel):
            wrapped = model
            wrapped.load_adapter(folder, adapter_name=slot, use_safetensors=True)
        else:
            wrapped = PeftModel.from_pretrained(model, folder, adapter_name=slot, use_safetensors=True)
    _check_complete(wrapped, adapter, slot)
    return wrapped.eval()


def _check_complete(wrapped: PeftModel, adapter: Adapter, slot: str) -> None:
    """Refuse weights of an adapter without a place in the model, which PEFT passes over, and places without weights."""
    from peft import get_peft_model_state_dict, load_peft_weights

    written = set(load_peft_weights(str(adapter.folder), device="cpu", use_safetensors=True))
    placed = set(get_peft_model_state_dict(wrapped, adapter_name=slot))
    if odd := sorted(written ^ placed):
        raise SettingError(
            f"{adapter} does not fit this model: {len(odd)} weights have no counterpart, among them {odd[0]}. {ONLY}"
        )


def check_base(adapter: Adapter, spec: ModelSpec, path: Path) -> None:
    """Raise SettingError if the adapter says that it was trained on another model than this one.

    It names its base by a hub id or a folder. A folder that is gone proves nothing; then the shapes decide.
    """
    base = adapter.base
    if not base or base in {spec.name, str(path)}:
        return
    if (Path(base) / "config.json").is_file():
        same = fingerprint([Path(base)], {}) == fingerprint([path], {})
    else:
        names, ours = _names(base), {name for id in (spec.name, *spec.ids.values()) for name in _names(id)}
        if not names or not spec.ids:
            log.info("%s was trained on %s; whether that is %s cannot be told.", adapter, base, spec.name)
            return
        same = bool(names & ours)
    if not same:
        raise SettingError(
            f"{adapter} was trained on {base!r}, not on {spec.name!r}. Merge it into that model. If the two are the "
            "same, change base_model_name_or_path in the adapter's config."
        )


def _names(model: str) -> set[str]:
    """The names of a model without their owners, in lower case; mirrors keep them. Empty for a folder.

    >>> sorted(_names("some-org/Some-Model")), _names("/a/folder/that/is/gone")
    (['some-model'], set())
    """
    try:
        spec = resolve(model)
    except SettingError:
        return set()
    return {id.rpartition("/")[2].lower() for id in spec.ids.values()}


@contextmanager
def explained(what: str, advice: str = "") -> Iterator[None]:
    """Turn what PEFT raises into one line that says what was wanted."""
    try:
        yield
    except ChunfenError:
        raise
    except CANNOT as error:
        raise SettingError(f"{what}: {first_line(error)} {advice}".rstrip()) from error


def first_line(error: Exception) -> str:
    """The first line that says something, or the kind of error."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)
