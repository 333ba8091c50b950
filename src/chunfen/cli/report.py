"""chunfen report"""

from __future__ import annotations

from typing import Any

from chunfen.cli.verb import EXIT_OK, verb
from chunfen.settings.commands import ReportCommand


@verb(ReportCommand, argument="run")
def report(settings: ReportCommand) -> int:
    """Write the report of a run again: one HTML file, the same as JSON, a model card section, and JUnit."""
    from chunfen.cli import logs
    from chunfen.errors import RunError
    from chunfen.report import write_report
    from chunfen.runs import find_run
    from chunfen.settings.language import language

    run = find_run(settings.output_dir, settings.run)
    before = logs.audit_log(run, logs.BEFORE)
    if before is None:
        raise RunError(f"{run.folder} ({run.verb}, {run.status}) holds no measurement to report.")
    after, verdict = logs.audit_log(run, logs.AFTER), logs.verdict(run)
    documents: dict[str, Any] = {"before": before, "after": after, "verdict": verdict}
    lang = language(settings.lang)
    print(write_report(run.folder, **documents, manifest=run.manifest, lang=lang))
    return EXIT_OK
