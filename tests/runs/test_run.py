"""A run folder says what happened, and never says more."""

import errno
import json
import os
import re
from pathlib import Path

import pytest

from chunfen.errors import RunError
from chunfen.runs import Run, find_run, list_runs
from chunfen.settings.commands import AuditCommand, RepairCommand


@pytest.fixture
def settings(tmp_path: Path) -> AuditCommand:
    return AuditCommand(output_dir=tmp_path / "runs", model="some-org/Some Model")


def test_the_folder_is_named_and_the_manifest_is_complete(settings: AuditCommand) -> None:
    run = Run.create("audit", settings)
    assert re.fullmatch(r"\d{8}-\d{6}-audit-Some-Model", run.name)
    manifest = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    assert manifest["settings"] == settings.model_dump(mode="json")
    assert manifest["command"][:4] == ["chunfen", "audit", "--model", "some-org/Some Model"]
    assert manifest["seed"] == 42
    assert manifest["process"]["pid"] == os.getpid()
    assert {"chunfen", "python", "torch", "transformers", "peft"} <= set(manifest["versions"])
    assert {"os", "cpu", "cores", "memory_gib"} <= set(manifest["machine"])
    assert re.fullmatch(r"[0-9a-f]{64}", manifest["code"])
    assert run.status == "running"
    assert [p.name for p in settings.output_dir.iterdir()] == [run.name]


def test_two_runs_in_the_same_second_have_two_folders(settings: AuditCommand) -> None:
    names = {Run.create("audit", settings).name for _ in range(3)}
    assert len(names) == 3


def test_a_taken_or_impossible_name_is_an_error(settings: AuditCommand) -> None:
    named = settings.model_copy(update={"name": "mine"})
    Run.create("audit", named)
    with pytest.raises(RunError, match="mine exists"):
        Run.create("audit", named)
    with pytest.raises(RunError, match="without separators"):
        Run.create("audit", settings.model_copy(update={"name": "../mine"}))
    assert [p.name for p in settings.output_dir.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("error", "status"), [(None, "done"), (ValueError("bad"), "failed"), (KeyboardInterrupt(), "stopped")]
)
def test_how_a_run_ends_is_kept(settings: AuditCommand, error: BaseException | None, status: str) -> None:
    run = Run.create("audit", settings)
    if error is None:
        with run:
            pass
    else:
        with pytest.raises(type(error)), run:
            raise error
    again = Run.open(run.folder)
    assert again.status == status
    assert again.manifest["ended"] is not None
    assert (again.manifest["error"] is None) == (error is None)


def test_facts_metrics_and_log_lines_are_kept(settings: AuditCommand) -> None:
    run = Run.create("audit", settings)
    said: list[str] = []
    run.on_say = said.append
    run.record(model="abc")
    run.record(data="def")
    run.metric(step=1, loss=0.5)
    run.metric(step=2, loss=0.25)
    run.say("hello 你好")
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')  # a process killed in the middle of a line
    again = Run.open(run.folder)
    assert again.manifest["facts"] == {"model": "abc", "data": "def"}
    assert [(m["step"], m["loss"]) for m in again.metrics()] == [(1, 0.5), (2, 0.25)]
    assert said == ["hello 你好"]
    assert "hello 你好" in (run.folder / "log.txt").read_text(encoding="utf-8")


def test_a_stage_is_done_only_with_its_very_output(settings: AuditCommand) -> None:
    run = Run.create("audit", settings)
    stage = run.stage("before", "before.json")
    stage.output.write_text("half")  # an output without its marker
    assert not stage.done
    stage.make(lambda path: path.write_text("whole"))
    assert stage.done and run.done("before")
    assert stage.seconds is not None
    stage.output.write_text("changed")
    assert not stage.done and not run.done("before")
    stage.output.unlink()
    assert not stage.done
    assert not run.done("never")


def test_a_stage_that_fails_leaves_no_marker_and_is_made_again(settings: AuditCommand) -> None:
    run = Run.create("audit", settings)
    stage = run.stage("train", "adapter")

    def fail(path: Path) -> None:
        path.mkdir()
        (path / "half").write_text("x")
        raise ValueError("out of luck")

    with pytest.raises(ValueError, match="out of luck"):
        stage.make(fail)
    assert not stage.done
    made = []
    stage.make(lambda path: made.append((path / "whole").write_text("y")))
    stage.make(lambda path: made.append(0))
    assert len(made) == 1
    (stage.output / "half").unlink()
    assert not stage.done


def test_a_full_disk_is_the_error_that_is_seen(settings: AuditCommand) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    run = Run.create("audit", settings)
    (run.folder / "log.txt").unlink()
    (run.folder / "log.txt").symlink_to("/dev/full")
    with pytest.raises(OSError) as error, run:
        run.log("one line more")
    assert error.value.errno == errno.ENOSPC
    assert Run.open(run.folder).status == "running"  # nothing more could be written; it is not called done


def test_runs_are_found_by_what_one_remembers(settings: AuditCommand) -> None:
    first, second = (
        Run.create("audit", settings),
        Run.create("repair", RepairCommand(output_dir=settings.output_dir)),
    )
    folder = settings.output_dir
    assert [r.name for r in list_runs(folder)] == [first.name, second.name]
    assert [r.name for r in list_runs(folder, "SMOLLM")] == [second.name]
    assert find_run(folder).name == second.name
    assert find_run(folder, "Some").name == first.name
    assert find_run(folder, str(first.folder)).name == first.name
    with pytest.raises(RunError, match="fits 2 runs"):
        find_run(folder, "-")
    with pytest.raises(RunError, match="Did you mean"):
        find_run(folder, first.name[:-1] + "x")
    with pytest.raises(RunError, match="no runs"):
        find_run(folder / "nowhere")


def test_a_damaged_manifest_is_named(settings: AuditCommand) -> None:
    run = Run.create("audit", settings)
    (run.folder / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        Run.open(run.folder)
