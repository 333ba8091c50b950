"""The cache folder: where it is, one builder at a time, and nothing half-written in it."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from chunfen.errors import HubError

log = logging.getLogger("chunfen.hub")


def cache_dir() -> Path:
    """The folder that keeps fetched models and data sets: ``$CHUNFEN_CACHE``, or ``~/.cache/chunfen``."""
    return Path(os.environ.get("CHUNFEN_CACHE") or "~/.cache/chunfen").expanduser().absolute()


def slug(text: str) -> str:
    """A reference as a folder name.

    >>> slug("Qwen/Qwen2.5-0.5B-Instruct@main")
    'Qwen--Qwen2.5-0.5B-Instruct@main'
    >>> slug("../../etc/passwd")
    '..--..--etc--passwd'
    """
    return "".join(c if c.isalnum() or c in "-_.@=+" else "--" for c in text) or "-"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of one cache folder, so that two processes never build it at once."""
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(folder.name + ".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("Another process is fetching %s. Waiting for it …", folder.name)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def building(folder: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of ``folder`` when the block ends well, and vanishes if not.

    Call it with the lock held. What a killed process left behind is removed first.
    """
    prefix = f".{folder.name}."
    for left in folder.parent.glob(prefix + "*.building"):
        shutil.rmtree(left, ignore_errors=True)
    with disk_errors(folder):
        temporary = Path(tempfile.mkdtemp(prefix=prefix, suffix=".building", dir=folder.parent))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())  # mkdtemp makes 0700; a shared cache needs what mkdir gives
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn "no space left" and "not writable" into one clear message."""
    try:
        yield
    except OSError as error:
        reason = _disk_reason(error)
        if reason is None:
            raise
        raise HubError(
            f"{reason} while writing to the cache at {folder.parent}. Nothing half-written was kept. "
            "Free some space or point CHUNFEN_CACHE to another folder, and run the same command again."
        ) from error


def _disk_reason(error: OSError) -> str | None:
    """What is wrong with the disk, or None if the error is about something else.

    >>> _disk_reason(OSError(errno.ENOSPC, "No space left on device"))
    'The disk is full'
    >>> _disk_reason(OSError(errno.ENOENT, "No such file")) is None
    True
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk is full"
    if error.errno in (errno.EACCES, errno.EROFS):
        return "The folder is not writable"
    return None


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
