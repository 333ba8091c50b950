"""chunfen balance"""

from __future__ import annotations

from chunfen.cli.verb import EXIT_GATE, EXIT_OK, verb
from chunfen.runs import Run
from chunfen.settings.commands import BalanceCommand


@verb(BalanceCommand)
def balance(settings: BalanceCommand, run: Run) -> int:
    """Audit, repair, audit again on held-out items, check that nothing else got worse, and report.

    Exits with 3 if the repair misses its targets or a guard.
    """
    from chunfen.cli.show import verdict_text
    from chunfen.loop import balance as perform

    verdict = perform(settings, run)
    print(verdict_text(verdict, settings.lang))
    print(run.folder)
    return EXIT_OK if verdict.passed else EXIT_GATE
