"""The command `chunfen`: finds the verb, and turns whatever goes wrong into one line and an exit code.

Exit codes: 0 done · 1 an error · 2 wrong usage · 3 a gate failed (`audit --fail_over`, a missed verdict) ·
130 interrupted (Ctrl-C) · 143 ended (SIGTERM).
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import NoReturn

from cyclopts import App, CycloptsError, Parameter

from chunfen import __version__
from chunfen.errors import ChunfenError

VERBS = {
    "balance": "Audit, repair, audit again, guard, report: the whole loop.",
    "audit": "Measure a model's bias on held-out items.",
    "repair": "Train an adapter against the bias that is found.",
    "report": "Write the report of a run: HTML, JSON, model card, JUnit.",
    "infer": "Talk to a model, or ask it one question.",
    "models": "List, show and download models.",
    "runs": "List, show, compare and repeat runs.",
    "settings": "Print the options of a verb as JSON Schema.",
    "menu": "Choose from a menu (中文 / English).",
}
ABOUT = """Find a language model's social bias, repair it, and prove the repair.

Every verb takes flags and a YAML file of options: `chunfen VERB [CONFIG.yaml] [--flag value …]`; flags win.
`--traceback` shows where an error came from."""
EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPT, EXIT_PIPE, EXIT_TERMINATED = 1, 2, 130, 141, 143


class Terminated(KeyboardInterrupt):
    """SIGTERM: the same clean stop as Ctrl-C."""


def build() -> App:
    """The application; verbs are imported when they are used."""
    plain = Parameter(name_transform=lambda name: name, negative_iterable=())
    app = App(
        name="chunfen", help=ABOUT, version=__version__, default_parameter=plain, help_format="plaintext"
    )
    for place, (name, about) in enumerate(VERBS.items()):
        attribute = "app" if name in ("models", "runs") else name
        app.command(f"chunfen.cli.{name}:{attribute}", name=name, help=about, sort_key=place)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (by default this process's) and return its exit code."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    if "--traceback" in tokens:
        tokens.remove("--traceback")
        return dispatch(tokens)
    sys.excepthook = _in_one_line
    try:
        return dispatch(tokens)
    except Terminated:
        return _fail("Stopped.", EXIT_TERMINATED)
    except KeyboardInterrupt:
        return _fail("Interrupted.", EXIT_INTERRUPT)
    except ChunfenError as error:
        return _fail(str(error), error.exit_code)
    except CycloptsError as error:
        return _fail(str(error), EXIT_USAGE)
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except OSError as error:
        return _fail(explain(error), EXIT_ERROR)


def dispatch(tokens: Sequence[str]) -> int:
    """Parse, run, and return the exit code; errors come through."""
    signal.signal(signal.SIGTERM, _terminate)
    app = build()
    words, apps, rest = app.parse_commands(tokens)
    for found in apps[1:]:  # the list of verbs shows the first line only
        if found.default_command is not None and found.default_command.__doc__:
            found.help = found.default_command.__doc__
    cls = next((c for c in (getattr(a.default_command, "settings", None) for a in apps) if c), None)
    written: dict[str, str] = {}
    if cls is not None:
        from chunfen.cli.spelling import spell

        rest, written = spell(rest, cls)
    command, bound, _ = app.parse_args([*words, *rest], exit_on_error=False, print_error=False)
    named = {written.get(name, name): value for name, value in bound.kwargs.items()}
    return int(command(*bound.args, **named) or 0)


def explain(error: BaseException) -> str:
    """One line for an error of the system or of a library."""
    if _is_disk_full(error):
        where = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        return f"The disk is full{where}. Free some space, or choose another --output_dir or CHUNFEN_CACHE."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}"


def _is_disk_full(error: BaseException | None) -> bool:
    """Libraries wrap the system's error in their own, some as text only."""
    while error is not None:
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _fail(text: str, code: int) -> int:
    print(f"chunfen: {text}", file=sys.stderr)
    return code


def _in_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """For what nobody foresaw: still one line, and the way to see more."""
    _fail(f"{explain(error)} (Unforeseen; add --traceback to see where it happened.)", EXIT_ERROR)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


if __name__ == "__main__":
    sys.exit(main())
