"""The menu in a real pseudo-terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chunfen.cli.main import VERBS
from chunfen.cli.menu import ASK, MENU, Item, filled
from chunfen.cli.messages import both

DOWN, ENTER, CTRL_C = b"\x1b[B", b"\r", b"\x03"
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")


class Terminal:
    """A person at a terminal who reads what appears and presses keys."""

    def __init__(self, folder: Path) -> None:
        self.end, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40", "LC_ALL": "C.UTF-8"}
        words = [sys.executable, "-m", "chunfen", "menu"]
        pipes = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        self.process = subprocess.Popen(words, **pipes, cwd=folder, env=environment, start_new_session=True)
        os.close(theirs)
        self.seen = ""

    def read_until(self, text: str, seconds: float = 60) -> str:
        """What appeared, up to a text."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            ready, _, _ = select.select([self.end], [], [], max(0, end - time.monotonic()))
            assert ready, f"{text!r} did not appear in: {self.seen}"
            self.seen += CODES.sub("", os.read(self.end, 65536).decode(errors="replace"))
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def press(self, *keys: bytes) -> None:
        for key in keys:
            os.write(self.end, key)
            time.sleep(0.05)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(tmp_path)
    yield opened
    if opened.process.poll() is None:
        os.kill(opened.process.pid, signal.SIGKILL)
    opened.process.wait()
    os.close(opened.end)


def test_inference_evaluate_takes_a_model_name_and_shows_the_command(terminal: Terminal) -> None:
    first = terminal.read_until("退出")
    assert "模型下载" in first and "Download a model" in first and "偏差检测与修复" in first
    terminal.press(DOWN, ENTER)
    terminal.read_until("返回")
    terminal.press(DOWN, ENTER)
    terminal.read_until("hub id or folder)")
    terminal.press(b"\x01", b"\x0b", b"qwen-7b-chat", ENTER)  # to the start of the line, clear it, type
    terminal.read_until("等价命令")
    terminal.read_until("chunfen audit --model qwen-7b-chat\n")
    terminal.read_until("Run it now?")
    terminal.press(b"n")
    terminal.read_until("返回")
    terminal.press(CTRL_C)
    terminal.read_until("退出")
    terminal.press(CTRL_C)
    assert terminal.process.wait(30) == 0


def test_a_command_is_run_and_the_menu_comes_back(terminal: Terminal) -> None:
    terminal.read_until("退出")
    terminal.press(DOWN, DOWN, DOWN, DOWN, ENTER)
    terminal.read_until("返回")
    terminal.press(DOWN, ENTER)
    terminal.read_until("chunfen runs list\n")
    terminal.read_until("Run it now?")
    terminal.press(b"y")
    terminal.read_until("There are no runs in runs yet.")
    terminal.read_until("返回")


def leaves(item: Item) -> Iterator[Item]:
    if item.items:
        for inner in item.items:
            yield from leaves(inner)
    else:
        yield item


@pytest.mark.parametrize("item", list(leaves(MENU)), ids=lambda item: item.key)
def test_every_item_leads_to_a_command_that_exists(item: Item) -> None:
    from chunfen.cli.main import build

    assert both(f"menu.{item.key}")
    assert set(item.questions) <= set(ASK)
    words = filled(item.command, dict.fromkeys(item.questions, "x"))
    assert words[0] in VERBS
    build().parse_args(words, exit_on_error=False, print_error=False)
