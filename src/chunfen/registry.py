"""One small registry for everything that can be plugged in: probes, engines, tuners, stages, sources.

A name maps to a lazy ``"module:attribute"``, so registering costs no import. Built-ins register through the
same door as a stranger's plug-in: an entry point in the group ``chunfen.<kind>``, or a call to `register`.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from chunfen.errors import SettingError
from chunfen.errors import did_you_mean as did_you_mean

T = TypeVar("T")


class UnknownNameError(SettingError, LookupError):
    """A name that nobody registered; the message holds the nearest known names."""


class Registry(Generic[T]):
    """Names of one kind of thing, each resolved on first use.

    >>> shapes = Registry[type]("shape", {"fraction": "fractions:Fraction"})
    >>> shapes["fraction"].__name__
    'Fraction'
    >>> shapes["fracton"]
    Traceback (most recent call last):
    ...
    chunfen.registry.UnknownNameError: unknown shape 'fracton'. Did you mean 'fraction'? Known: fraction.
    """

    def __init__(self, kind: str, builtin: dict[str, str]) -> None:
        self.kind = kind
        self._where: dict[str, str | T] = dict(builtin)
        self._plugins_read = False

    def register(self, name: str, target: str | T) -> None:
        """Add a thing, or the ``"module:attribute"`` where it lives. A taken name is an error."""
        if name in self._where:
            raise ValueError(f"{self.kind} {name!r} is registered already: {self._where[name]!r}")
        self._where[name] = target

    def _read_plugins(self) -> None:
        if not self._plugins_read:
            self._plugins_read = True
            for point in entry_points(group=f"chunfen.{self.kind}"):
                self.register(point.name, point.value)

    def __iter__(self) -> Iterator[str]:
        self._read_plugins()
        return iter(sorted(self._where))

    def __contains__(self, name: object) -> bool:
        self._read_plugins()
        return name in self._where

    def __getitem__(self, name: str) -> T:
        self._read_plugins()
        if name not in self._where:
            hint = did_you_mean(name, self._where)
            raise UnknownNameError(f"unknown {self.kind} {name!r}.{hint} Known: {', '.join(self)}.")
        found = self._where[name]
        if isinstance(found, str):
            module, _, attribute = found.partition(":")
            found = getattr(import_module(module), attribute)
            self._where[name] = found
        return found
