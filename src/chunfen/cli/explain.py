"""Errors of the system and of libraries, in one line."""

from __future__ import annotations

import errno


def explain(error: BaseException) -> str:
    """One line that says what went wrong, and for a full disk what to do.

    >>> explain(FileNotFoundError(2, "No such file or directory", "a.json"))
    'No such file or directory: a.json'
    >>> explain(RuntimeError("bad")), explain(OSError(28, "No space left on device", "runs/x"))[:28]
    ('RuntimeError: bad', 'The disk is full (runs/x). F')
    """
    if is_disk_full(error):
        where = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        return f"The disk is full{where}. Free some space, or choose another --output_dir or CHUNFEN_CACHE."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}"


def is_disk_full(error: BaseException | None) -> bool:
    """Whether a full disk is behind an error; libraries wrap the system's error, some as text only."""
    while error is not None:
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
