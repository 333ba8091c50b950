"""From what was given to settings: command line > YAML file > saved settings > defaults.

Every value remembers where it came from, so that `--dry_run` can say and an error can point at it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml
from pydantic import ValidationError

from chunfen.errors import SettingError, did_you_mean
from chunfen.settings.aliases import BESIDE, KIND, SAMPLE, current_name, current_value, sampled, successor
from chunfen.settings.base import Settings
from chunfen.settings.describe import Option, as_text, options

S = TypeVar("S", bound=Settings)
COMMAND_LINE = "command line"
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Given:
    """A value, the name under which it was given, and where."""

    value: Any
    name: str
    origin: str

    def __str__(self) -> str:
        return f"--{self.name}" if self.origin == COMMAND_LINE else f"{self.name} ({self.origin})"


@dataclass(frozen=True)
class Resolved(Generic[S]):
    """Settings, the origin of every one of them, and what the user should know about older names."""

    settings: S
    origin: dict[str, str]
    warnings: tuple[str, ...] = ()


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Given]:
    """The options of a flat YAML file, each with its line: {name: Given(value, name, "file.yaml:3")}.

    Raises SettingError for a file that cannot be read, is no mapping, or names an option twice.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path}: cannot be read as a settings file ({error}).") from error
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f":{where.line + 1}" if where else ""
        raise SettingError(f"{path}{line}: not YAML: {getattr(error, 'problem', error)}.") from error
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise SettingError(f"{path}: holds no settings; write one 'name: value' per line.")
    given: dict[str, Given] = {}
    for key, _ in root.value:
        origin = f"{path.name}:{key.start_mark.line + 1}"
        if key.value in given:
            raise SettingError(f"{origin}: {key.value} is given twice; leave one out.")
        given[key.value] = Given(values.get(key.value), key.value, origin)
    return given


def resolve(
    cls: type[S],
    yaml_path: str | os.PathLike[str] | None = None,
    cli_values: Mapping[str, Any] | None = None,
    saved: Mapping[str, Any] | None = None,
) -> Resolved[S]:
    """The settings of a verb, with their origin.

    cli_values: option → text, list of texts or bool, as typed. saved: settings kept with a checkpoint; those
    of other verbs among them are passed over.
    Raises SettingError, in one message, for every unknown name and every value that is not accepted.
    """
    known = {option.name: option for option in options(cls)}
    layers = (
        {n: Given(v, n, "saved settings") for n, v in (saved or {}).items() if n in known},
        read_yaml(yaml_path) if yaml_path is not None else {},
        {n: Given(v, n, COMMAND_LINE) for n, v in (cli_values or {}).items()},
    )
    given: dict[str, Given] = {}
    for layer in layers:
        given |= _named_today(layer, known)
    beside = {name: given.pop(name) for name in BESIDE if name in given}
    values = {name: _value(known[name], entry) for name, entry in given.items()}
    if SAMPLE in beside:
        values["dataset"] = sampled(values.get("dataset", ()), beside[SAMPLE].value)
    try:
        settings = cls.model_validate(values)
    except ValidationError as error:
        raise SettingError("\n".join(_mistakes(error, given, known))) from error
    origin = {name: given[name].origin if name in given else DEFAULT for name in known}
    return Resolved(settings, origin, _renamed(given, beside, known))


def unknown(name: str, known: Mapping[str, Option], *, origin: str = COMMAND_LINE) -> SettingError:
    """The error for a name that a verb does not have."""
    today = successor(name)
    entry = Given(None, name, origin)
    if today is not None:
        return SettingError(f"{entry} is an older name of --{today}, which this command does not have.")
    return SettingError(f"Unknown option {entry}.{did_you_mean(name.replace('-', '_'), known)}")


def _named_today(layer: Mapping[str, Given], known: Mapping[str, Option]) -> dict[str, Given]:
    """One layer under today's names. A model_type alone is the model; beside one it only says of which kind it is."""
    found: dict[str, Given] = {}
    for name, entry in layer.items():
        today = current_name(name, known)
        if today is None:
            raise unknown(name, known, origin=entry.origin)
        if today in found:
            raise SettingError(f"{found[today]} and {entry} are the same option; leave one out.")
        found[today] = entry
    if KIND in found and BESIDE[KIND] not in found:
        found[BESIDE[KIND]] = found.pop(KIND)
    return found


def _renamed(given: Mapping[str, Given], beside: Mapping[str, Given], known: Mapping[str, Option]) -> tuple[str, ...]:
    """One warning that names every older name and value in use, or none."""
    old = [said for today, entry in given.items() if (said := _now(known[today], entry))]
    if SAMPLE in beside:
        old.append(f"{beside[SAMPLE].name} {beside[SAMPLE].value} is now dataset NAME#{beside[SAMPLE].value}")
    if KIND in beside:
        old.append(f"{beside[KIND].name} is not needed, as model says which one")
    return (f"Older names were accepted: {'; '.join(old)}.",) if old else ()


def _now(today: Option, entry: Given) -> str:
    """What an older name or value has become, in words; nothing for one of today."""
    older = [word for word in _words(today, entry.value) if current_value(today.name, word) != word]
    if older:
        was, now = " ".join(map(as_text, older)), " ".join(as_text(current_value(today.name, word)) for word in older)
        return f"{entry.name} {was} is now {today.name} {now}"
    return f"{entry.name} is now {today.name}" if entry.name.replace("-", "_") != today.name else ""


def _words(option: Option, value: Any) -> list[Any]:
    """A value, or each of a list; text is split at commas."""
    if not option.is_list:
        return [value]
    parts = value if isinstance(value, list | tuple) else [] if value is None else [value]
    words = [p.strip() for part in parts for p in (part.split(",") if isinstance(part, str) else [part])]
    return [word for word in words if word not in ("", "none")]


def _value(option: Option, entry: Given) -> Any:
    """What pydantic gets to see: lists split at commas, older words replaced, "none" as None."""
    if option.is_list:
        return tuple(current_value(option.name, word) for word in _words(option, entry.value))
    value = current_value(option.name, entry.value)
    if option.may_be_none and isinstance(value, str) and value.lower() in ("none", "null"):
        return None
    return value


def _mistakes(error: ValidationError, given: Mapping[str, Given], known: Mapping[str, Option]) -> list[str]:
    """One line per option that pydantic refused: what was given, and what is accepted."""
    names = dict.fromkeys(str(e["loc"][0]) for e in error.errors() if e["loc"])
    lines = []
    for name in names:
        entry = given.get(name) or Given(None, name, DEFAULT)
        lines.append(f"{entry}: {_shown(entry.value)} is not accepted; it takes {known[name].accepts}.")
    return lines or [str(error)]


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else repr(value)
