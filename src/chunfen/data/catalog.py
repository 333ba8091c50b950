"""Which data sets are known by name: those of the catalog, and those that a user registered."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from chunfen.errors import SettingError, did_you_mean

TASKS = ("pt", "sft", "dpo", "kto", "rm", "grpo", "seq-cls", "multimodal")
"""What rows can be for."""
DATA = resources.files("chunfen.data")


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """What is known about a data set before it is read.

    name: its short name here, its id on a hub, or its file. ids: its id on each hub, in the order to try. file: of a
    set that comes with chunfen. function: of a set that a user registered; it gives the rows. task: what the rows are
    for. subsets, split: names on the hub; of several subsets one is to be named. columns: what columns are called
    there → what formats call them. fields: further fields, as text with {columns} in it. unpaired: a preference becomes
    a wanted and an unwanted answer. fill: text in the rows → the setting that takes its place. size: rows; 0: not
    known. languages: ISO 639-1. licence: where it is known.
    """

    name: str
    ids: Mapping[str, str] = field(default_factory=dict)
    file: str = ""
    function: Callable[[], Any] | None = None
    aliases: tuple[str, ...] = ()
    task: str = "sft"
    subsets: tuple[str, ...] = ()
    split: tuple[str, ...] = ("train",)
    columns: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    unpaired: bool = False
    fill: Mapping[str, str] = field(default_factory=dict)
    size: int = 0
    languages: tuple[str, ...] = ()
    licence: str = ""
    about: str = ""

    @property
    def hubs(self) -> tuple[str, ...]:
        """Where it can be had."""
        return ("shipped",) if self.file else ("registered",) if self.function else tuple(self.ids)

    @property
    def path(self) -> Path:
        """The file of a set that comes with chunfen."""
        return Path(str(DATA / "shipped" / self.file))


_REGISTERED: dict[str, DatasetSpec] = {}


@functools.cache
def catalog() -> dict[str, DatasetSpec]:
    """All catalogued sets by name, file by file in the catalog's order."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[str, DatasetSpec] = {}
    for file in sorted((DATA / "sets").iterdir(), key=lambda file: file.name):
        for name, entry in yaml.load(file.read_text(encoding="utf-8"), loader).items():
            if name in found:
                raise ValueError(f"catalog: {name!r} is there twice")
            found[name] = _spec(name, entry)
    return found


def known() -> Iterator[DatasetSpec]:
    """The registered sets and then the catalogued ones."""
    yield from _REGISTERED.values()
    yield from catalog().values()


def register(spec: DatasetSpec) -> None:
    """Make a set known by its name in this process, instead of an earlier one that was registered under that name.

    Raises SettingError for a name that the catalog has, or that cannot be written on a command line.
    """
    if find(spec.name) is not None and spec.name not in _REGISTERED:
        raise SettingError(f"data set {spec.name!r}: the catalog has a set of this name; choose another one.")
    if not spec.name or set(spec.name) & set(":#/, \t\n"):
        raise SettingError(f"data set {spec.name!r}: a name has no spaces, commas, slashes, ':' or '#'.")
    if spec.task not in TASKS:
        raise SettingError(
            f"task {spec.task!r} is not known.{did_you_mean(spec.task, TASKS)} Known: {', '.join(TASKS)}."
        )
    _REGISTERED[spec.name] = spec


def find(name: str) -> DatasetSpec | None:
    """The set of this name, alias or hub id, if one is known. Case and underscores do not matter.

    >>> find("alpaca_en").name, find("tatsu-lab/no-such-set")
    ('alpaca-en', None)
    """
    return _REGISTERED.get(name) or _names().get(_plain(name))


def names() -> list[str]:
    """All names and aliases, for hints."""
    return [name for spec in known() for name in (spec.name, *spec.aliases)]


@functools.cache
def _names() -> dict[str, DatasetSpec]:
    """Names, aliases and hub ids. A name that two sets claim is a mistake in the catalog."""
    found: dict[str, DatasetSpec] = {}
    for spec in catalog().values():
        for name in {_plain(n) for n in (spec.name, *spec.aliases)}:
            if found.setdefault(name, spec) is not spec:
                raise ValueError(f"catalog: {name!r} names both {found[name].name!r} and {spec.name!r}")
    ids = [(id.lower(), spec) for spec in catalog().values() for id in set(spec.ids.values())]
    times = Counter(id for id, _ in ids)
    found |= {id: spec for id, spec in ids if times[id] == 1}  # one that holds several sets stands for none of them
    return found


def _plain(name: str) -> str:
    return name.lower() if "/" in name else name.lower().replace("_", "-")


def _spec(name: str, entry: Mapping[str, Any]) -> DatasetSpec:
    lists = {key: tuple(entry[key]) for key in ("aliases", "subsets", "split", "languages") if key in entry}
    fields: Any = {**entry, **lists}
    return DatasetSpec(name=name, **fields)
