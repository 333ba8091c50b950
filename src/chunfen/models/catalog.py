"""Which models are known by name, and what a user may write for ``--model``."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from chunfen import hub as hubs
from chunfen.errors import SettingError, did_you_mean

_HUB_ID = re.compile(r"(?:(HF|MS)::)?([\w.-]+/[\w.-]+)", re.ASCII)
_PREFIX = {"HF": ("huggingface",), "MS": ("modelscope",), None: ("huggingface", "modelscope")}


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What is known about a model before it is loaded.

    name: its short name here, its id on a hub, or its folder. ids: its id on each hub, in the order to try;
    empty: a folder. kind: what it works on. parameters: in millions; 0: not known. languages: ISO 639-1
    codes of those that it speaks. base: not trained to chat. template: a chat template that ships here, for a
    tokenizer that brings none.
    """

    name: str
    ids: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    kind: str = "text"
    architecture: str = ""
    parameters: int = 0
    licence: str = ""
    languages: tuple[str, ...] = ()
    base: bool = False
    template: str | None = None
    about: str = ""


@functools.cache
def catalog() -> dict[str, ModelSpec]:
    """All catalogued models by name, in the catalog's order."""
    text = resources.files("chunfen.models").joinpath("catalog.yaml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return {name: _spec(name, entry) for name, entry in yaml.load(text, loader).items()}


def resolve(model: str | ModelSpec) -> ModelSpec:
    """The spec of what a user wrote: a catalogued name or alias (in any case), ``org/name`` or a folder.

    ``HF::org/name`` and ``MS::org/name`` pick the hub. What starts with ``.``, ``/`` or ``~``, or is an
    existing folder with a config.json, is a folder.

    >>> resolve("SmolLM2").name
    'smollm2-135m-instruct'
    >>> dict(resolve("MS::some-org/some-model").ids)
    {'modelscope': 'some-org/some-model'}
    >>> resolve("smollm2-135m-instrct")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    chunfen.errors.SettingError: model 'smollm2-135m-instrct' is not known. Did you mean 'smollm2...
    """
    if isinstance(model, ModelSpec):
        return model
    known = _names()
    if model.lower() in known:
        return known[model.lower()]
    if model.startswith((".", "/", "~")) or (Path(model) / "config.json").is_file():
        if not Path(model).expanduser().is_dir():
            raise SettingError(f"model {model!r}: there is no such folder.")
        return ModelSpec(name=str(Path(model).expanduser().absolute()))
    written = _HUB_ID.fullmatch(model)
    if written:
        return ModelSpec(name=written[2], ids=dict.fromkeys(_PREFIX[written[1]], written[2]))
    raise SettingError(
        f"model {model!r} is not known.{did_you_mean(model.lower(), known)} Give a name that "
        "`chunfen models list` shows, a hub id such as org/name, or a folder."
    )


def fetch(
    model: str | ModelSpec,
    *,
    hub: str = "auto",
    revision: str | None = None,
    refresh: bool = False,
    verify: bool = False,
) -> Path:
    """The folder of a model, fetched into the cache if it is not there; see `chunfen.hub.fetch`."""
    return hubs.fetch(resolve(model), hub=hub, revision=revision, refresh=refresh, verify=verify)


@functools.cache
def _names() -> dict[str, ModelSpec]:
    """Names, aliases and hub ids, in lower case. A name that two models claim is a mistake in the catalog."""
    found: dict[str, ModelSpec] = {}
    for spec in catalog().values():
        hub_ids = {id for source, id in spec.ids.items() if source != "pypi"}
        for name in {n.lower() for n in (spec.name, *spec.aliases)}:
            if found.setdefault(name, spec) is not spec:
                raise ValueError(f"catalog: {name!r} names both {found[name].name!r} and {spec.name!r}")
        for id in hub_ids:
            found.setdefault(id.lower(), spec)
    return found


def _spec(name: str, entry: dict[str, Any]) -> ModelSpec:
    lists = {key: tuple(entry[key]) for key in ("aliases", "languages") if key in entry}
    fields: Any = entry | lists
    return ModelSpec(name=name, **fields)
