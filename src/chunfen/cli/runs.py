"""chunfen runs: what was run, found, compared and repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from chunfen.cli.app import new_app
from chunfen.cli.messages import message
from chunfen.cli.table import table
from chunfen.errors import RunError
from chunfen.runs import Run, find_run, list_runs

COMMANDS = {
    "list": ("List the runs, oldest first.", "chunfen.cli.runs:list_all"),
    "show": ("Show a run: its status, settings, stages and results.", "chunfen.cli.runs:show"),
    "compare": ("Show where two runs differ: settings and results.", "chunfen.cli.runs:compare"),
    "repeat": ("Run the same command with the same settings again.", "chunfen.cli.runs:repeat"),
}
app = new_app("runs", "List, show, compare and repeat runs.", COMMANDS)

Which = Annotated[str, Parameter(help="A run: its folder, its name or part of it, or latest.")]
Folder = Annotated[Path, Parameter(help="Folder that holds the run folders.", metavar="PATH")]
Contains = Annotated[str, Parameter(help="Only runs with this in name, verb, model or status.", metavar="TEXT")]
RUNS = Path("runs")


def list_all(*, contains: Contains = "", output_dir: Folder = RUNS) -> int:
    """List the runs, oldest first.

    interrupted: its process died without a word. stopped: ended by the user. failed: ended by an error.
    """
    runs = list_runs(output_dir, contains)
    if not runs:
        print(message("runs.none", folder=output_dir))
        return 0
    header = ("run", "verb", "model", "status", "verdict")
    print(table(header, ((r.name, r.verb, r.settings.get("model", ""), r.status, _passed(r)) for r in runs)))
    return 0


def show(run: Which = "latest", *, output_dir: Folder = RUNS) -> int:
    """Show a run: its status, settings, stages and results."""
    from chunfen.cli import logs
    from chunfen.cli.show import audit_text, verdict_text
    from chunfen.settings.describe import as_text

    found = find_run(output_dir, run)
    manifest = found.manifest
    print(f"{found.folder}\n{found.verb}: {found.status}" + (f" ({manifest['error']})" if manifest["error"] else ""))
    print(f"{manifest['started']} – {manifest['ended'] or ''}\n")
    print(table(("setting", "value"), ((n, as_text(v)) for n, v in found.settings.items())))
    stages = [(s.name, "done" if s.done else "changed since", f"{s.seconds:.1f} s") for s in found.stages()]
    print("\n" + table(("stage", "", "time"), stages))
    for name in (logs.BEFORE, logs.AFTER):
        log = logs.audit_log(found, name)
        if log is not None:
            print(f"\n{name}: {audit_text(log)}")
    verdict = logs.verdict(found)
    if verdict is not None:
        print("\n" + verdict_text(verdict))
    return 0


def compare(one: Which, other: Which, *, output_dir: Folder = RUNS) -> int:
    """Show where two runs differ: settings, versions, and the primary scores of both."""
    from chunfen.cli.compare import compared
    from chunfen.runs.find import IRRELEVANT, differences
    from chunfen.settings.describe import as_text

    left, right = find_run(output_dir, one), find_run(output_dir, other)
    header = ("", left.name, right.name)
    asked = differences(left.settings, right.settings)
    changed = {
        **{name: values for name, values in asked.items() if name not in IRRELEVANT},
        **differences(left.manifest["versions"], right.manifest["versions"]),
        **differences({"code": left.manifest["code"][:12]}, {"code": right.manifest["code"][:12]}),
    }
    print(table(header, ((name, as_text(a), as_text(b)) for name, (a, b) in changed.items())))
    print("\n" + table(header, compared(left, right)))
    return 0


def repeat(run: Which, *, output_dir: Folder = RUNS) -> int:
    """Run the same command with the same settings again, in a new folder."""
    from chunfen.cli.main import verb_of

    found = find_run(output_dir, run)
    command = verb_of(found.verb)
    again = {**found.settings, "resume": False, "name": None, "output_dir": str(found.folder.parent)}
    try:
        settings = command.settings.model_validate(again)
    except ValueError as error:
        raise RunError(f"{found.folder} was made by a version with other settings: {error}") from error
    return int(command.perform(settings))


def _passed(run: Run) -> str:
    """The verdict in a word."""
    from chunfen.cli import logs

    verdict = logs.verdict(run)
    return "" if verdict is None else "pass" if verdict.passed else "miss"
