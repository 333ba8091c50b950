"""What a run ran on: versions, code, machine, and the process that it was."""

from __future__ import annotations

import ctypes
import gc
import hashlib
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from chunfen import __version__
from chunfen.runs.files import sha256

PACKAGES = ("torch", "transformers", "peft", "trl", "accelerate", "safetensors", "numpy", "scipy", "pydantic")
PACKAGE_FOLDER = Path(__file__).parents[1]


def versions() -> dict[str, str]:
    """Versions of everything that results can depend on; a package that is not installed is left out."""
    found = {"chunfen": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def code_hash() -> str:
    """One hash over every source and data file of this package."""
    kept = (p for p in PACKAGE_FOLDER.rglob("*") if p.is_file() and p.suffix not in (".pyc", ".pyo"))
    lines = "".join(f"{p.relative_to(PACKAGE_FOLDER).as_posix()} {sha256(p)}\n" for p in sorted(kept))
    return hashlib.sha256(lines.encode()).hexdigest()


def git_commit(folder: Path = PACKAGE_FOLDER) -> dict[str, Any] | None:
    """The commit that the code is at and whether it was changed since; None outside a repository."""
    if shutil.which("git") is None:
        return None

    def git(*words: str) -> str | None:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None or git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None  # no repository, or a repository of something else around an installed package
    return {"commit": commit, "changed": bool(git("status", "--porcelain", "--", "."))}


def machine() -> dict[str, Any]:
    """Processor, cores, memory in GiB, operating system."""
    return {
        "os": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "python": sys.implementation.name,
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _memory_gib() -> float | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)


def release_memory() -> None:
    """Give what is no longer used back to the system, so that the peak of a run is that of its largest stage.

    Models hold reference cycles, and glibc keeps freed memory in pieces that the next model does not fit into.
    """
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim:
            trim(0)


def peak_memory() -> int:
    """Most bytes of memory that this process has held so far."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def this_process() -> dict[str, Any]:
    """Enough to tell later whether this very process still lives: a number alone is given out again."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "started": _start_mark(pid)}


def is_alive(process: Mapping[str, Any]) -> bool:
    """Whether the process that `this_process` described is running; on another host nobody can know: True."""
    if process.get("host") != socket.gethostname():
        return True
    pid = int(process["pid"])
    if process.get("started") is not None:
        return _start_mark(pid) == str(process["started"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _start_mark(pid: int) -> str | None:
    """Boot and tick at which a process started; None where the system does not tell, or a dead process."""
    boot, stat = Path("/proc/sys/kernel/random/boot_id"), Path(f"/proc/{pid}/stat")
    try:
        after_name = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        boot_id = boot.read_text(encoding="ascii").strip()
    except OSError:
        return None
    state, ticks = after_name[0], after_name[19]
    return None if state in "ZX" else f"{boot_id}:{ticks}"
