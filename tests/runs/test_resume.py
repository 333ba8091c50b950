"""Killed runs: seen as what they are, and continued."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chunfen.errors import RunError
from chunfen.runs import Run, list_runs
from chunfen.settings.commands import AuditCommand

CHILD = """
import sys, time
from pathlib import Path
from chunfen.runs import Run
from chunfen.settings.commands import AuditCommand

with Run.create("audit", AuditCommand(output_dir=Path(sys.argv[1]), seed=int(sys.argv[2]))) as run:
    run.stage("before", "before.json").make(lambda path: path.write_text("measured"))
    with run.stage("after", "after.json") as stage:
        stage.output.write_text("half")
        print("here", flush=True)
        time.sleep(60)
"""


def start(folder: Path, seed: int = 42) -> subprocess.Popen[str]:
    """A process in the middle of its second stage."""
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(folder), str(seed)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_a_killed_run_is_interrupted_and_goes_on_where_it_was(tmp_path: Path) -> None:
    process = start(tmp_path)
    (run,) = list_runs(tmp_path)
    assert run.status == "running"
    with pytest.raises(RunError, match="still running"):
        Run.resume("audit", AuditCommand(output_dir=tmp_path))
    kill(process)
    (run,) = list_runs(tmp_path)
    assert run.status == "interrupted"
    resumed = Run.resume("audit", AuditCommand(output_dir=tmp_path, resume=True, lang="zh"))
    assert resumed is not None
    assert resumed.folder == run.folder
    assert resumed.status == "running"
    with resumed:
        resumed.stage("before", "before.json").make(lambda path: pytest.fail("this stage was done"))
        assert not resumed.done("after")
        resumed.stage("after", "after.json").make(lambda path: path.write_text("whole"))
    assert Run.open(run.folder).status == "done"
    assert len(resumed.manifest["resumed"]) == 1
    assert Run.resume("audit", AuditCommand(output_dir=tmp_path)) is None


def test_only_a_run_with_the_same_settings_goes_on(tmp_path: Path) -> None:
    kill(start(tmp_path, seed=1))
    assert Run.resume("audit", AuditCommand(output_dir=tmp_path, seed=2)) is None
    assert Run.resume("repair", AuditCommand(output_dir=tmp_path, seed=1)) is None
    assert Run.resume("audit", AuditCommand(output_dir=tmp_path, seed=1, name="other")) is None
    assert Run.resume("audit", AuditCommand(output_dir=tmp_path, seed=1)) is not None


def test_the_newest_of_several_goes_on(tmp_path: Path) -> None:
    for _ in range(2):
        kill(start(tmp_path))
    newest = list_runs(tmp_path)[-1]
    resumed = Run.resume("audit", AuditCommand(output_dir=tmp_path))
    assert resumed is not None
    assert resumed.folder == newest.folder


def test_a_number_given_to_another_process_is_not_taken_for_the_run(tmp_path: Path) -> None:
    run = Run.create("audit", AuditCommand(output_dir=tmp_path))
    if run.manifest["process"]["started"] is None:
        pytest.skip("this system does not tell when a process started")
    run.manifest["process"]["started"] = "another boot:1"
    assert run.status == "interrupted"
