"""Progress is for terminals; what is said is for everyone."""

import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from chunfen.runs import list_runs

WORK = """
import sys, time
from pathlib import Path
from chunfen.cli.verb import Verb
from chunfen.settings.commands import AuditCommand

def audit(settings, run):
    for done in range(4):
        run.progress("asking", done, 3)
        time.sleep(0.2)
    run.say("asked everything")
    print("result")
    return 0

sys.exit(Verb(audit, AuditCommand, None).perform(AuditCommand(output_dir=Path(sys.argv[1]))))
"""


def test_without_a_terminal_only_what_is_said_is_shown(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WORK, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("result\n", "asked everything\n")
    (run,) = list_runs(tmp_path)
    assert "asked everything" in (run.folder / "log.txt").read_text()


def test_a_terminal_sees_how_far_it_is_and_the_result_stays_apart(tmp_path: Path) -> None:
    if not hasattr(pty, "openpty"):
        pytest.skip("this system has no pseudo-terminals")
    ours, theirs = pty.openpty()
    words = [sys.executable, "-c", WORK, str(tmp_path)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    pipes = {"stdout": subprocess.PIPE, "stderr": theirs}
    done = subprocess.run(words, **pipes, text=True, check=True, env=environment)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # how Linux says that nobody writes to a terminal any more
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert done.stdout == "result\n"
    assert re.search(r"asking .* [123]/3", seen)
    assert "asked everything" in seen
