"""Whole files or none."""

import json
from pathlib import Path

import pytest

from chunfen.runs.files import sha256, write_json
from chunfen.runs.machine import PACKAGE_FOLDER, git_commit


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no")


def test_a_document_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="no"):
        write_json(path, {"a": Unprintable()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_fails_leaves_the_old_one_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_the_hash_of_a_folder_sees_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_text("2")
    first = sha256(tmp_path)
    assert first == sha256(tmp_path)
    (tmp_path / "b" / "c").write_text("3")
    second = sha256(tmp_path)
    (tmp_path / "b" / "c").rename(tmp_path / "b" / "d")
    assert len({first, second, sha256(tmp_path)}) == 3
    assert sha256(tmp_path / "a") == "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    with pytest.raises(FileNotFoundError):
        sha256(tmp_path / "nowhere")


def test_no_commit_is_claimed_outside_a_repository(tmp_path: Path) -> None:
    assert git_commit(tmp_path) is None
    here = git_commit(PACKAGE_FOLDER)
    assert here is None or len(here["commit"]) == 40
