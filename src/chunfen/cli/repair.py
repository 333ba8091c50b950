"""chunfen repair"""

from __future__ import annotations

from chunfen.cli.verb import EXIT_OK, verb
from chunfen.runs import Run
from chunfen.settings.commands import RepairCommand


@verb(RepairCommand)
def repair(settings: RepairCommand, run: Run) -> int:
    """Train an adapter against what an audit of the training items finds. Measures nothing afterwards."""
    from chunfen.loop import repair as perform

    print(perform(settings, run))
    return EXIT_OK
