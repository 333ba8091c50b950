"""The errors that a user can mend. The command line prints their message alone and exits with their code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], *, most: int = 3) -> str:
    """A hint such as ``" Did you mean 'dpo'?"``, or nothing where no known name is near.

    >>> did_you_mean("dop", ["dpo", "sft"])
    " Did you mean 'dpo'?"
    >>> did_you_mean("zzz", ["dpo", "sft"])
    ''
    """
    near = difflib.get_close_matches(name, list(known), n=most, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""


class ChunfenError(Exception):
    """Something the user can put right. The message names the setting or row, the value, and what to do."""

    exit_code = 1


class SettingError(ChunfenError):
    """A flag, key or value that cannot be used."""

    exit_code = 2


class DataError(ChunfenError):
    """A file of rows, items or templates that cannot be read; names the file and the line."""


class HubError(ChunfenError):
    """A model or data set that could not be fetched; names what can be done offline."""


class RunError(ChunfenError):
    """A run folder that cannot be used as asked."""
