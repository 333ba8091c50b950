"""The errors that a user can mend. The command line prints their message alone and exits with their code."""

from __future__ import annotations


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
