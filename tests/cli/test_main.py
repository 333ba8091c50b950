"""Help is light, mistakes are one line, and every end has its exit code."""

import json
import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml

from chunfen.cli.main import VERBS
from chunfen.errors import SettingError
from chunfen.runs import Run, list_runs
from chunfen.settings.commands import COMMANDS, AuditCommand

from .conftest import Command

HEAVY = {"torch", "transformers", "numpy", "scipy", "peft", "questionary"}


@pytest.mark.parametrize("words", [[], ["--help"], *[[verb, "--help"] for verb in VERBS]])
def test_help_is_printed_without_anything_heavy(words: list[str]) -> None:
    code = f"import sys\nfrom chunfen.cli.main import main\ncode = main({words!r})\n"
    code += "print(*sys.modules, file=sys.stderr)\nsys.exit(code)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Usage: chunfen" in done.stdout
    loaded = set(done.stderr.split())
    assert not HEAVY & loaded
    if words in ([], ["--help"]):
        assert "pydantic" not in loaded
        assert all(verb in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_help_of_a_verb_names_every_option(chunfen: Command, verb: str) -> None:
    shown = chunfen(verb, "--help").stdout
    for name in COMMANDS[verb].model_fields:
        assert re.search(rf"--{name}\b", shown), name


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["audt"], 2, 'Unknown command "audt". Did you mean "audit"?'),
        (["audit", "--lora_rank", "3"], 2, "Unknown option --lora_rank."),
        (["balance", "--lora-rnk", "3"], 2, "Unknown option --lora-rnk. Did you mean 'lora_rank'"),
        (
            ["balance", "--lora_rank", "x"],
            2,
            "--lora_rank: 'x' is not accepted; it takes a whole number ≥ 1.",
        ),
        (["balance", "--lora_rank"], 2, "--lora_rank requires an argument"),
        (["balance", "qwen"], 2, "write --model qwen"),
        (["balance", "none.yaml"], 2, "none.yaml: cannot be read"),
        (["audit", "--dry_run", "--model", "smolm2"], 2, "Did you mean 'smollm2'"),
        (["models", "show", "smolm2"], 2, "Did you mean 'smollm2'"),
        (["models", "list", "--contain", "x"], 2, "Did you mean --contains?"),
        (["settings", "audt"], 2, "Did you mean 'audit'"),
        (["runs", "show"], 1, "There are no runs in runs"),
        (["report", "nothing"], 1, "There are no runs in runs"),
        (["menu"], 2, "The menu needs a terminal"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(chunfen: Command, words: list[str], code: int, said: str) -> None:
    done = chunfen(*words)
    assert done.returncode == code
    assert done.stderr.startswith("chunfen: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_traceback_is_shown_when_asked_for(chunfen: Command) -> None:
    with pytest.raises(SettingError):
        chunfen("audit", "--seed", "x", "--traceback")


def test_a_dry_run_shows_origins_and_creates_nothing(chunfen: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("lora_rank: 4\nseed: 7\n")
    done = chunfen("balance", "mine.yaml", "--seed", 8, "--model-type", "smollm2", "--dry_run", "true")
    assert done.returncode == 0
    lines = dict(re.findall(r"^(\w+): (.+)$", done.stdout, re.MULTILINE))
    assert re.fullmatch(r"4 +# mine\.yaml:1", lines["lora_rank"])
    assert re.fullmatch(r"8 +# command line", lines["seed"])
    assert re.fullmatch(r"smollm2 +# command line", lines["model"])
    assert lines["lora_alpha"].endswith("# default")
    assert done.stderr.count("model-type is now model") == 1
    assert "nothing was done" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["mine.yaml"]
    (tmp_path / "again.yaml").write_text(done.stdout)
    again = chunfen("balance", "again.yaml", "--dry_run")
    assert yaml.safe_load(again.stdout) == yaml.safe_load(done.stdout)


def test_settings_are_json_schema(chunfen: Command) -> None:
    schema = json.loads(chunfen("settings", "balance").stdout)
    assert schema["properties"]["lora_rank"]["default"] == 16
    assert schema["properties"]["lora_rank"]["description"]
    assert set(json.loads(chunfen("settings").stdout)) == set(COMMANDS)


def test_a_full_disk_is_one_clear_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "chunfen", "models", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.decode().startswith("chunfen: The disk is full")
    assert b"Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m chunfen settings | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("{\n", "")


WAITING = """
import sys, time
from pathlib import Path
from chunfen.cli import main
from chunfen.cli.verb import verb
from chunfen.settings.commands import AuditCommand

@verb(AuditCommand)
def audit(settings, run):
    '''Wait.'''
    print("here", flush=True)
    if settings.seed == 1:
        raise RuntimeError("who would have thought")
    time.sleep(60)

main.VERBS["audit"] = ("Wait.", "__main__:audit")
sys.exit(main.main(["audit", "--output_dir", sys.argv[1], "--seed", sys.argv[2]]))
"""


@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGINT, 130, "Interrupted."), (signal.SIGTERM, 143, "Stopped.")]
)
def test_signals_stop_a_run_cleanly(tmp_path: Path, number: int, code: int, said: str) -> None:
    words = [sys.executable, "-c", WAITING, str(tmp_path), "0"]
    # A shell that starts the tests in the background has Ctrl-C ignored, and that is inherited.
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(words, **pipes, text=True, preexec_fn=listen)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    os.kill(process.pid, number)
    _, errors = process.communicate()
    assert process.returncode == code
    assert errors == f"chunfen: {said}\n"
    (run,) = list_runs(tmp_path)
    assert run.status == "stopped"


def test_what_nobody_foresaw_is_one_line_too(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WAITING, str(tmp_path), "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("chunfen: RuntimeError: who would have thought")
    assert "--traceback" in done.stderr
    assert "Traceback (most" not in done.stderr
    (run,) = list_runs(tmp_path)
    assert run.status == "failed"
    assert run.manifest["error"] == "RuntimeError: who would have thought"


def test_resume_says_what_it_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from chunfen.cli.verb import start

    settings = AuditCommand(output_dir=tmp_path, resume=True, lang="en")
    first = start("audit", settings)
    assert "starting a new one" in capsys.readouterr().err
    first.manifest["process"]["started"] = "another boot:1"
    first.record()
    assert start("audit", settings).folder == first.folder
    assert f"Continuing {first.folder}" in capsys.readouterr().err
    assert Run.open(first.folder).status == "running"
