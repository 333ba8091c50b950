"""Flags as people write them → flags as the command names them."""

from __future__ import annotations

from collections.abc import Sequence

from chunfen.errors import SettingError
from chunfen.settings.aliases import current_name
from chunfen.settings.base import Settings
from chunfen.settings.describe import Option, options
from chunfen.settings.resolve import unknown

PASSED_ON = frozenset({"help", "version", "config"})
TRUTH = frozenset({"true", "false"})


def spell(tokens: Sequence[str], cls: type[Settings]) -> tuple[list[str], dict[str, str]]:
    """Tokens with every flag under its present name, and how it was written: (tokens, {present: written}).

    Hyphens and underscores are the same, names of older generations become today's, and a flag that is on or
    off may be followed by its value. Raises SettingError for a flag that the command does not have, or that
    is given twice under two names.

    >>> from chunfen.settings.commands import AuditCommand
    >>> spell(["--model-type", "qwen", "--resume", "false"], AuditCommand)
    (['--model_type', 'qwen', '--resume=false'], {'model_type': 'model-type', 'resume': 'resume'})
    """
    known = {option.name: option for option in options(cls)}
    spelled: list[str] = []
    written: dict[str, str] = {}
    waiting = list(tokens)
    while waiting:
        token = waiting.pop(0)
        if token == "--":
            return [*spelled, token, *waiting], written
        name, equals, value = token.removeprefix("--").partition("=")
        if not token.startswith("--") or name in PASSED_ON:
            spelled.append(token)
            continue
        today, off = _today(name, known)
        if written.setdefault(today, name) != name:
            raise SettingError(f"--{written[today]} and --{name} are the same option; leave one out.")
        if today in known and known[today].is_flag and not equals and waiting and waiting[0].lower() in TRUTH:
            equals, value = "=", waiting.pop(0).lower()
        spelled.append(f"--{'no-' if off else ''}{today}{equals}{value}")
    return spelled, written


def _today(name: str, known: dict[str, Option]) -> tuple[str, bool]:
    """(present name, whether it was written as --no-…)."""
    today = current_name(name, known)
    if today is not None:
        return today, False
    positive = name.replace("-", "_").removeprefix("no_")
    if positive in known and known[positive].is_flag:
        return positive, True
    raise unknown(name, known)
