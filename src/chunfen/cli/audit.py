"""chunfen audit"""

from __future__ import annotations

from chunfen.cli.verb import EXIT_GATE, EXIT_OK, verb
from chunfen.runs import Run
from chunfen.settings.commands import AuditCommand


@verb(AuditCommand)
def audit(settings: AuditCommand, run: Run) -> int:
    """Measure a model's bias on held-out items: scores with intervals, and every reply behind them.

    Exits with 3 if --fail_over is given and a primary score lies beyond it.
    """
    from chunfen.cli.show import audit_text, beyond
    from chunfen.loop import audit as perform

    log = perform(settings, run)
    print(audit_text(log, settings.lang))
    print(run.folder)
    over = [] if settings.fail_over is None else list(beyond(log, settings.fail_over))
    for line in over:
        run.say(line)
    return EXIT_GATE if over else EXIT_OK
