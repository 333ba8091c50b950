"""The command `chunfen`: finds the verb, and turns whatever goes wrong into one line and an exit code.

Exit codes: 0 done · 1 an error · 2 wrong usage · 3 a gate failed (`audit --fail_over`, a missed verdict) ·
130 interrupted (Ctrl-C) · 143 ended (SIGTERM).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

from cyclopts import App, CycloptsError

from chunfen import __version__
from chunfen.cli.app import new_app
from chunfen.cli.explain import explain
from chunfen.cli.rlhf import as_verb
from chunfen.errors import ChunfenError, RunError

ABOUT = """Find a language model's social bias, repair it, and prove the repair.

Every verb takes flags and a YAML file of options: `chunfen VERB [CONFIG.yaml] [--flag value …]`; flags win.
`--traceback` shows where an error came from."""
VERBS = {
    "balance": ("Audit, repair, audit again, guard, report: the whole loop.", "chunfen.cli.balance:balance"),
    "audit": ("Measure a model's bias on held-out items.", "chunfen.cli.audit:audit"),
    "repair": ("Train an adapter against the bias that is found.", "chunfen.cli.repair:repair"),
    "report": ("Write the report of a run.", "chunfen.cli.report:report"),
    "sft": ("Fine-tune on answers, or on classes.", "chunfen.cli.train:sft"),
    "pt": ("Continue pre-training on running text.", "chunfen.cli.train:pt"),
    "dpo": ("Align with pairs of answers: DPO and its family.", "chunfen.cli.train:dpo"),
    "simpo": ("Align with pairs of answers, per token, without a reference.", "chunfen.cli.train:simpo"),
    "cpo": ("Align with pairs of answers and their likelihood.", "chunfen.cli.train:cpo"),
    "orpo": ("Fine-tune and align at once, by odds ratios.", "chunfen.cli.train:orpo"),
    "kto": ("Align with single answers that are wanted or not.", "chunfen.cli.train:kto"),
    "rm": ("Train a model that scores answers.", "chunfen.cli.train:rm"),
    "grpo": ("Learn from rewards of own answers, by GRPO.", "chunfen.cli.online:grpo"),
    "rloo": ("Learn from rewards of own answers, by RLOO.", "chunfen.cli.online:rloo"),
    "rlhf": ("Another way to write these: rlhf --rlhf_type dpo.", "chunfen.cli.rlhf:rlhf"),
    "merge": (
        "Merge adapters into a model that stands alone, or into a mixture of experts.",
        "chunfen.cli.merge:merge",
    ),
    "infer": ("Talk to a model, ask it one question, or answer a data set.", "chunfen.cli.infer:infer"),
    "data": ("List, check, show and convert data sets.", "chunfen.cli.data:app"),
    "models": ("List, show and download models.", "chunfen.cli.models:app"),
    "runs": ("List, show, compare and repeat runs.", "chunfen.cli.runs:app"),
    "settings": ("Print the options of a verb as JSON Schema.", "chunfen.cli.settings:settings"),
    "menu": ("Choose from a menu (中文 / English).", "chunfen.cli.menu:menu"),
}
EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPT, EXIT_PIPE, EXIT_TERMINATED = 1, 2, 130, 141, 143


class Terminated(KeyboardInterrupt):
    """SIGTERM: the same clean stop as Ctrl-C."""


def build() -> App:
    """The application; verbs are imported when they are used."""
    return new_app("chunfen", ABOUT, VERBS, __version__)


def verb_of(name: str) -> Any:
    """The command object of a verb that takes settings. Raises RunError for a name that is none."""
    if name not in VERBS:
        raise RunError(f"this version of chunfen has no verb {name!r}; it has {', '.join(VERBS)}.")
    module, _, attribute = VERBS[name][1].partition(":")
    return getattr(import_module(module), attribute)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (by default this process's) and return its exit code."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    if "--traceback" in tokens:
        tokens.remove("--traceback")
        return dispatch(tokens)
    sys.excepthook = lambda kind, error, trace: print(_unforeseen(error), file=sys.stderr)
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
    words, apps, rest = app.parse_commands(as_verb(tokens))
    for found in apps[1:]:  # the list of verbs shows the first line only
        if found.default_command is not None and found.default_command.__doc__:
            found.help = found.default_command.__doc__
    cls = next((c for c in (getattr(a.default_command, "settings", None) for a in apps) if c), None)
    written: dict[str, str] = {}
    if cls is not None:
        from chunfen.cli.spelling import spell

        rest, written = spell(rest, cls)
    if words:
        from chunfen.cli.screen import listen

        listen()
    command, bound, _ = app.parse_args([*words, *rest], exit_on_error=False, print_error=False)
    named = {written.get(name, name): value for name, value in bound.kwargs.items()}
    code = int(command(*bound.args, **named) or 0)
    sys.stdout.flush()  # what cannot be written is an error now, not a remark at exit
    return code


def _fail(text: str, code: int) -> int:
    print(f"chunfen: {text}", file=sys.stderr)
    return code


def _unforeseen(error: BaseException) -> str:
    return f"chunfen: {explain(error)} (Unforeseen: add --traceback to see where it happened.)"


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


if __name__ == "__main__":
    sys.exit(main())
