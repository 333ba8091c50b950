"""What each option is, in words: read off the settings for help, error messages and the option tables."""

from __future__ import annotations

import types
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from inspect import get_annotations
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from chunfen.settings.base import Settings

PLAIN: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
}
BOUNDS: dict[type, tuple[str, str]] = {Ge: ("≥", "ge"), Gt: (">", "gt"), Le: ("≤", "le"), Lt: ("<", "lt")}


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a verb. topic: the settings class that defines it. accepts: its values, in words."""

    name: str
    topic: type[Settings]
    accepts: str
    default: Any
    help: str
    is_list: bool
    is_flag: bool
    may_be_none: bool

    @property
    def metavar(self) -> str:
        """A word for the value: N, PATH, TEXT, or NAME for one of a few."""
        words = {"number": "N", "path": "PATH", "text": "TEXT"}
        return next((word for sign, word in words.items() if sign in self.accepts), "NAME")

    @property
    def default_text(self) -> str:
        """The default as one would type it."""
        return as_text(self.default)


def as_text(value: Any) -> str:
    """A value as one would type it after its flag.

    >>> as_text(("en", "zh")), as_text(None), as_text(True), as_text(()), as_text(0.5)
    ('en zh', 'none', 'true', 'none', '0.5')
    """
    if value is None or value == () or value == []:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return " ".join(as_text(v) for v in value)
    return str(value)


def accepts(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """The values of a type, in words.

    >>> accepts(int, [Ge(1)])
    'a whole number ≥ 1'
    >>> accepts(Annotated[int, Ge(1)] | None)
    'a whole number ≥ 1 or none'
    >>> accepts(Literal["en", "zh"] | None)
    'en, zh or none'
    >>> accepts(tuple[Literal["en", "zh"], ...])
    'a list of: en, zh'
    """
    if get_origin(annotation) is Annotated:
        annotation, *inside = get_args(annotation)
        fields = (m.metadata if isinstance(m, FieldInfo) else [m] for m in inside)
        metadata = [*metadata, *(m for found in fields for m in found)]
    bounds = " and".join(
        f" {sign} {getattr(m, attribute)}"
        for m in metadata
        for kind, (sign, attribute) in BOUNDS.items()
        if isinstance(m, kind)
    )
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        inner = ", ".join(accepts(a) for a in arguments if a is not type(None))
        return inner + bounds + (" or none" if type(None) in arguments else "")
    if origin is Literal:
        return ", ".join(map(str, arguments))
    if origin is tuple:
        inner = accepts(arguments[0])
        return f"a list of {inner.removeprefix('a ')}" if arguments[0] in PLAIN else f"a list of: {inner}"
    return PLAIN.get(annotation, getattr(annotation, "__name__", str(annotation))) + bounds


def _topic(cls: type[Settings], name: str) -> type[Settings]:
    """The most derived class that defines the field."""
    return next(c for c in cls.__mro__ if name in get_annotations(c))


def _option(cls: type[Settings], name: str, field: FieldInfo) -> Option:
    default = None if field.default is PydanticUndefined else field.default
    kinds = get_args(field.annotation) or (field.annotation,)
    return Option(
        name=name,
        topic=_topic(cls, name),
        accepts=accepts(field.annotation, field.metadata),
        default=default,
        help=field.description or "",
        is_list=get_origin(field.annotation) is tuple,
        is_flag=field.annotation is bool,
        may_be_none=type(None) in kinds,
    )


def command_line(verb: str, settings: Settings, leave_out: Container[str] = ()) -> list[str]:
    """The words that ask for these settings: every option that is not at its default.

    >>> from chunfen.settings.commands import AuditCommand
    >>> command_line("audit", AuditCommand(languages=("en",), quick=True))
    ['chunfen', 'audit', '--languages', 'en', '--quick', 'true']
    """
    words = ["chunfen", verb]
    for option in options(type(settings)):
        value = getattr(settings, option.name)
        if value != option.default and option.name not in leave_out:
            parts = value if isinstance(value, tuple) and value else (value,)
            words += [f"--{option.name}", *map(as_text, parts)]
    return words


def options(cls: type[Settings]) -> Iterator[Option]:
    """Every option of a verb, topic by topic in the order in which the verb inherits them."""
    order = {base: place for place, base in enumerate(cls.__mro__)}
    found = [_option(cls, name, field) for name, field in cls.model_fields.items()]
    yield from sorted(found, key=lambda option: order[option.topic])
