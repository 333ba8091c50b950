"""What `--dry_run` prints: every option with its value and origin, and what would be done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from chunfen.plugins import run_plugins
from chunfen.runs import newest_unfinished
from chunfen.settings.base import Settings
from chunfen.settings.commands import StageCommand
from chunfen.settings.describe import options
from chunfen.settings.model import ModelSettings
from chunfen.settings.resolve import Resolved
from chunfen.settings.run import RunSettings


def print_plan(verb: str, resolved: Resolved[Any]) -> None:
    """Settings topic by topic, then the plan, on stdout: a YAML file that the verb takes again."""
    for line in (*_settings(resolved), "", *_plan(verb, resolved.settings)):
        print(line)


def _settings(resolved: Resolved[Any]) -> Iterator[str]:
    values = resolved.settings.model_dump(mode="json")
    topic = None
    for option in options(type(resolved.settings)):
        if option.topic is not topic:
            topic = option.topic
            yield f"# {topic.__name__.removesuffix('Settings')}"
        if option.name != "dry_run":
            line = f"{option.name}: {_yaml(values[option.name])}"
            yield f"{line:<48} # {resolved.origin[option.name]}"


def _yaml(value: Any) -> str:
    """A value on one line of YAML.

    >>> _yaml(["en", "zh"]), _yaml(None), _yaml("true")
    ('[en, zh]', 'null', "'true'")
    """
    return str(yaml.safe_dump(value, default_flow_style=True, width=10**6)).removesuffix("...\n").strip()


def _plan(verb: str, settings: Settings) -> Iterator[str]:
    if isinstance(settings, ModelSettings):
        from chunfen.models import resolve as find_model

        spec = find_model(settings.model)
        places = ", ".join(f"{hub}:{name}" for hub, name in spec.ids.items()) or "a folder"
        size = f", {spec.parameters} M parameters" if spec.parameters else ""
        yield f"# model: {spec.name} ({places}{size})"
    if isinstance(settings, RunSettings):
        unfinished = newest_unfinished(verb, settings) if settings.resume else None
        new = settings.output_dir / (settings.name or f"<time>-{verb}-<model>")
        folder, said = (unfinished.folder, "continued") if unfinished else (new, "new")
        yield f"# run folder: {folder} (would be {said})"
    if isinstance(settings, StageCommand):
        from chunfen.train.planning import training_plan

        run_plugins(settings.external_plugins)
        yield from (f"# {line}" for line in training_plan(settings.stage(verb), settings))
    yield "# dry run: nothing was done"
