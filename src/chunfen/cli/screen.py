"""What the user sees while something runs: lines on stderr, and progress with the time left on a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chunfen.runs import Run


class Listener(logging.Handler):
    """What the packages below have to tell (a download that begins, a file fetched again), as lines."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def listen() -> None:
    """Show what chunfen's own packages log; once, however often it is called."""
    logger = logging.getLogger("chunfen")
    if not logger.handlers:
        logger.addHandler(Listener())
        logger.setLevel(logging.INFO)
        logger.propagate = False


def say(text: str) -> None:
    """One line for the user, apart from the results on stdout."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def screen(run: Run) -> Iterator[None]:
    """Show what a run says, and on a terminal how far it is."""
    run.on_say = say
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    # A result that goes into a file or pipe must not be drawn into the bars; one for the same terminal must.
    look: dict[str, Any] = {"transient": True, "redirect_stdout": sys.stdout.isatty(), "console": console}
    bars = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), **look)
    tasks: dict[str, TaskID] = {}

    def progress(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done, total=total)
        if done >= total:
            bars.remove_task(tasks.pop(what))

    run.progress = progress
    run.on_say = lambda text: console.print(text, markup=False, highlight=False)
    with bars:
        yield
