"""Finding runs again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from chunfen.errors import RunError, did_you_mean
from chunfen.runs.run import MANIFEST, Run
from chunfen.settings.base import Settings

IRRELEVANT = frozenset({"resume", "name", "output_dir", "lang", "dry_run", "fail_over"})
"""Settings that change nothing about what is computed."""


def list_runs(output_dir: Path, contains: str = "") -> list[Run]:
    """The runs in a folder, oldest first; `contains` is looked for in names, verbs, models and statuses."""
    folders = (m.parent for m in output_dir.glob(f"*/{MANIFEST}") if not m.parent.name.startswith("."))
    runs = [Run.open(folder) for folder in folders]
    wanted = [r for r in runs if contains.lower() in _described(r)]
    return sorted(wanted, key=lambda r: (r.manifest["started"], r.name))


def _described(run: Run) -> str:
    return " ".join(map(str, (run.name, run.verb, run.settings.get("model", ""), run.status))).lower()


def find_run(output_dir: Path, which: str = "latest") -> Run:
    """The run with this folder, name or part of a name; "latest": the newest.

    Raises RunError where none or more than one fits.
    """
    if (Path(which) / MANIFEST).exists():
        return Run.open(Path(which))
    runs = list_runs(output_dir)
    if not runs:
        raise RunError(f"There are no runs in {output_dir}; --output_dir says where to look.")
    if which == "latest":
        return runs[-1]
    names = [r.name for r in runs]
    fitting = [r for r in runs if r.name == which] or [r for r in runs if which in r.name]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise RunError(f"No run in {output_dir} is named {which!r}.{did_you_mean(which, names)}")
    shown = ", ".join(r.name for r in fitting[-5:])
    raise RunError(f"{which!r} fits {len(fitting)} runs; say more of its name. The newest: {shown}.")


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings in which two runs differ: name → (one, other); None where a run does not have it.

    >>> differences({"seed": 1, "model": "a"}, {"seed": 2, "model": "a"})
    {'seed': (1, 2)}
    """
    names = dict.fromkeys([*one, *other])
    return {n: (one.get(n), other.get(n)) for n in names if one.get(n) != other.get(n)}


def newest_unfinished(verb: str, settings: Settings) -> Run | None:
    """The newest run of the verb that is not done and was asked for the same; see `IRRELEVANT`."""
    wanted = settings.model_dump(mode="json")
    name, output_dir = wanted.get("name"), Path(wanted["output_dir"])
    for run in _newest_first(output_dir, verb):
        same = not set(differences(run.settings, wanted)) - IRRELEVANT
        if run.status != "done" and same and name in (None, run.name):
            return run
    return None


def _newest_first(output_dir: Path, verb: str) -> Iterator[Run]:
    return (run for run in reversed(list_runs(output_dir)) if run.verb == verb)
