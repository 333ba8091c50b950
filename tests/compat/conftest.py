"""The command `swift` in this process, in a folder of its own."""

import shlex
from collections.abc import Callable

import pytest

from cli.conftest import Command, Done, chunfen

__all__ = ["chunfen"]

Swift = Callable[..., Done]


@pytest.fixture
def swift(chunfen: Command, capsys: pytest.CaptureFixture[str]) -> Swift:
    """Run a line as it is printed: swift("swift sft --model_type qwen-7b", "--dry_run") → Done."""
    from swift.__main__ import main

    def command(line: str, *more: object) -> Done:
        name, *words = shlex.split(line.replace("\\\n", " "))
        assert name == "swift"
        capsys.readouterr()
        code = main([*words, *map(str, more)])
        return Done(code, *capsys.readouterr())

    return command
