"""The two hub clients against a local server that speaks their protocols and fails as hubs fail."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from hub.servers import COMMIT, Repository, serving, sha256

pytestmark = pytest.mark.slow

HUBS = ("huggingface", "modelscope")


@pytest.fixture
def repository(tiny_model_dir: Path) -> Repository:
    served = Repository.of("some-org/tiny", tiny_model_dir)
    served.files |= {"pytorch_model.bin": b"pickled", "README.md": b"# tiny"}
    return served


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("hub", HUBS)
def test_fetches_what_is_needed_checks_it_and_then_asks_no_hub(fetch, repository, hub):
    with serving(repository) as address:
        got = fetch("some-org/tiny", hub, address)
    assert got.code == 0, got.said
    assert weights(got.path) == repository.files["model.safetensors"]
    assert not (got.path / "pytorch_model.bin").exists(), "pickled weights are never fetched"
    again = fetch("some-org/tiny", hub)  # nobody answers at this address
    assert (again.code, again.path) == (0, got.path), again.said


def test_the_manifest_names_source_commit_and_hashes(fetch, repository, tmp_path):
    with serving(repository) as address:
        got = fetch("some-org/tiny", "huggingface", address)
    manifest = json.loads((tmp_path / "cache/models/huggingface/some-org--tiny/chunfen.json").read_text())
    assert manifest["folder"] == str(got.path)
    assert (manifest["source"], manifest["revision"]) == ("huggingface", COMMIT)
    assert manifest["files"]["model.safetensors"]["sha256"] == sha256(repository.files["model.safetensors"])


@pytest.mark.parametrize("hub", HUBS)
def test_a_broken_download_is_resumed(fetch, repository, hub):
    # larger than the 10 MB pieces in which the clients write
    repository.files["model-2.safetensors"] = random.Random(0).randbytes(22 << 20)
    repository.cut["model-2.safetensors"] = 12 << 20
    with serving(repository) as address:
        got = fetch("some-org/tiny", hub, address)
    assert got.code == 0, got.said
    assert (got.path / "model-2.safetensors").read_bytes() == repository.files["model-2.safetensors"]
    assert any(asked for _, _, asked in repository.log), "the rest was asked for, not the whole"


@pytest.mark.parametrize("hub", HUBS)
def test_a_file_that_arrives_damaged_once_is_fetched_again(fetch, repository, hub):
    repository.garbled["model.safetensors"] = 1
    with serving(repository) as address:
        got = fetch("some-org/tiny", hub, address)
    assert got.code == 0, got.said
    assert weights(got.path) == repository.files["model.safetensors"]


@pytest.mark.parametrize("hub", HUBS)
def test_a_file_that_never_matches_its_hash_is_refused(fetch, repository, hub, tmp_path):
    repository.garbled["model.safetensors"] = 1000
    with serving(repository) as address:
        got = fetch("some-org/tiny", hub, address)
    assert got.code == 1
    assert "HubError" in got.said and "model.safetensors" in got.said and "Traceback" not in got.said
    assert not list((tmp_path / "cache").rglob("chunfen.json")), "nothing may look complete"


@pytest.mark.parametrize("hub", HUBS)
def test_a_model_that_is_not_there(fetch, repository, hub):
    with serving(repository) as address:
        got = fetch("some-org/other", hub, address)
    assert got.code == 1
    assert "there is no model 'some-org/other'" in got.said and "Traceback" not in got.said


@pytest.mark.parametrize("hub", HUBS)
def test_a_revision_that_is_not_there(fetch, repository, hub):
    with serving(repository) as address:
        got = fetch("some-org/tiny", hub, address, revision="v9")
    assert got.code == 1 and "v9" in got.said and "Traceback" not in got.said


def test_a_gated_model_says_how_to_get_it(fetch, repository):
    repository.gated = True
    with serving(repository) as address:
        got = fetch("some-org/tiny", "huggingface", address)
    assert got.code == 1 and "gated" in got.said and f"{address}/some-org/tiny" in got.said


@pytest.mark.parametrize("hub", HUBS)
def test_a_model_with_pickled_weights_only_is_refused(fetch, repository, hub):
    del repository.files["model.safetensors"]
    with serving(repository) as address:
        got = fetch("some-org/tiny", hub, address)
    assert got.code == 1 and "no safetensors weights" in got.said


@pytest.mark.parametrize("hub", [*HUBS, "auto"])
def test_no_hub_answers_says_what_works_offline(fetch, hub):
    got = fetch("some-org/tiny", hub)
    assert got.code == 1
    assert "cannot be reached" in got.said and "--model /path/to/it" in got.said and "Traceback" not in got.said


@pytest.mark.parametrize("hub", HUBS)
def test_what_another_program_fetched_is_used_when_offline(fetch, repository, hub, tmp_path):
    with serving(repository) as address:
        assert fetch("some-org/tiny", hub, address).code == 0
    (tmp_path / f"cache/models/{hub}/some-org--tiny/chunfen.json").unlink()
    got = fetch("some-org/tiny", hub)
    assert got.code == 0, got.said
    assert weights(got.path) == repository.files["model.safetensors"]


@pytest.mark.parametrize("hub", HUBS)
def test_a_cached_file_that_went_bad_is_fetched_again_or_refused_offline(fetch, repository, hub):
    with serving(repository) as address:
        got = fetch("some-org/tiny", hub, address)
        damaged = (got.path / "model.safetensors").resolve()
        damaged.chmod(0o644)
        damaged.write_bytes(b"garbage")
        offline = fetch("some-org/tiny", hub)
        assert offline.code == 1 and "damaged" in offline.said, offline.said
        again = fetch("some-org/tiny", hub, address)
    assert again.code == 0, again.said
    assert weights(again.path) == repository.files["model.safetensors"]


@pytest.mark.parametrize("hub", HUBS)
def test_damage_that_keeps_size_and_time_is_mended_by_a_full_check(fetch, repository, hub):
    with serving(repository) as address:
        file = (fetch("some-org/tiny", hub, address).path / "model.safetensors").resolve()
        before, data = file.stat(), file.read_bytes()
        file.chmod(0o644)
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        again = fetch("some-org/tiny", hub, address, verify="yes")
    assert again.code == 0 and again.said.count("is damaged (model.safetensors)") == 1, again.said
    assert weights(again.path) == repository.files["model.safetensors"]
