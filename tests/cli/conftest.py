"""The command line as a user has it, in a folder of its own."""

import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class Done:
    """What a command left: exit code and output."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def chunfen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Run a command line in this process: chunfen("runs", "list") → Done."""
    from chunfen.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    hook, handler = sys.excepthook, signal.getsignal(signal.SIGTERM)

    def command(*words: object) -> Done:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Done(code, *capsys.readouterr())

    yield command
    sys.excepthook = hook
    signal.signal(signal.SIGTERM, handler)
