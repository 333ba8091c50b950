"""The cache: nothing half-written, one builder at a time, damage seen, a full disk said."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chunfen.errors import HubError, SettingError
from chunfen.hub import SOURCES, cache, fetch, manifest
from chunfen.models import ModelSpec


def hashed(folder: Path) -> manifest.Manifest:
    names = [path.name for path in folder.iterdir()]
    return manifest.describe(folder, names, source="pypi", reference="x", revision="1", versions={})


def test_a_build_that_fails_leaves_the_old_folder_and_nothing_else(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(ZeroDivisionError), cache.building(folder) as temporary:
        (temporary / "new").touch()
        _ = 1 / 0
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (folder / "old").exists()


def test_a_build_that_ends_replaces_the_folder_and_sweeps_up_after_a_killed_one(tmp_path):
    (tmp_path / ".model.abc.building").mkdir()
    with cache.building(tmp_path / "model") as temporary:
        (temporary / "new").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model/new").exists()


def _hold(folder: Path, held: multiprocessing.synchronize.Event) -> None:
    with cache.locked(folder):
        held.set()
        time.sleep(0.3)
        (folder.parent / "written").touch()


def test_two_processes_do_not_build_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "model", held))
    other.start()
    assert held.wait(30)
    with cache.locked(tmp_path / "model"):
        assert (tmp_path / "written").exists(), "the lock was given while the other still held it"
    other.join()


def test_damage_is_seen(tmp_path):
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("two")
    record = hashed(tmp_path)
    assert record.damaged() == []
    os.utime(tmp_path / "a")  # a copy has a new time and the same content
    assert record.damaged() == []
    (tmp_path / "a").write_text("1ne")
    (tmp_path / "b").unlink()
    assert record.damaged() == ["a", "b"]


def test_damage_that_keeps_size_and_time_is_seen_by_a_full_check(tmp_path):
    (tmp_path / "a").write_text("one")
    record = hashed(tmp_path)
    before = (tmp_path / "a").stat()
    (tmp_path / "a").write_text("0ne")
    os.utime(tmp_path / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert record.damaged() == []
    assert record.damaged(full=True) == ["a"]


def test_a_manifest_survives_writing_and_moving(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here/a").write_text("one")
    record = hashed(tmp_path / "here")
    manifest.write(record, tmp_path / "here" / manifest.NAME)
    assert manifest.read(tmp_path / "here" / manifest.NAME) == record
    (tmp_path / "here").rename(tmp_path / "there")
    moved = manifest.read(tmp_path / "there" / manifest.NAME)
    assert moved is not None and moved.folder == tmp_path / "there" and moved.damaged() == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": 3}', '{"files": {"a": {"size": 1}}}'])
def test_a_manifest_that_cannot_be_read_is_none(tmp_path, text):
    (tmp_path / "m.json").write_text(text)
    assert manifest.read(tmp_path / "m.json") is None


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "disk is full"), (errno.EACCES, "not writable"), (errno.EROFS, "not writable")],
)
def test_a_disk_that_takes_nothing_is_one_clear_message(tmp_path, number, words):
    with pytest.raises(HubError, match=words) as caught, cache.building(tmp_path / "model") as temporary:
        (temporary / "half").touch()
        raise OSError(number, os.strerror(number))
    assert "CHUNFEN_CACHE" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_really_full_disk(tmp_path):
    """The default model needs about 750 MB while it is built; this disk has 150."""
    disk = tmp_path / "small"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=150m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can only be made where this user may mount one")
    try:
        code = "from chunfen.models import fetch; fetch('smollm2-135m-instruct')"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"CHUNFEN_CACHE": str(disk / "cache")},
            capture_output=True,
            text=True,
        )
        left = [str(path.relative_to(disk)) for path in disk.rglob("*") if path.is_file()]
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert "HubError: The disk is full while writing to the cache" in done.stderr
    assert all(name.endswith(".lock") for name in left), left


def test_a_folder_is_taken_as_it_is(tiny_model_dir, tmp_path):
    assert fetch(ModelSpec(name=str(tiny_model_dir))) == tiny_model_dir
    with pytest.raises(SettingError, match=r"no config\.json"):
        fetch(ModelSpec(name=str(tmp_path)))


def test_a_hub_that_does_not_have_the_model_is_refused():
    with pytest.raises(SettingError, match="it is on: huggingface"):
        fetch(ModelSpec(name="m", ids={"huggingface": "a/m"}), hub="pypi")


def test_every_source_can_be_loaded():
    assert set(SOURCES) >= {"pypi", "huggingface", "modelscope"}
    assert all(callable(SOURCES[name]) for name in SOURCES)
