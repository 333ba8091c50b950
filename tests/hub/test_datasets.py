"""Data sets from the two hubs, against a local server that speaks their protocols and fails as hubs fail."""

from __future__ import annotations

import io
import json

import pytest
from pyarrow import Table
from pyarrow.parquet import write_table

from hub.servers import Repository, serving, sha256

pytestmark = pytest.mark.slow

HUBS = {"HF": "huggingface", "MS": "modelscope"}
README = b"""---
configs:
- config_name: en
  data_files:
  - {split: train, path: "english/part-*.parquet"}
  - {split: test, path: english/test.jsonl}
- config_name: zh
  data_files: chinese/*.jsonl
---
# Rows
"""


def lines(*answers: str) -> bytes:
    return "".join(json.dumps({"query": "?", "response": answer}) + "\n" for answer in answers).encode()


def parquet(*answers: str) -> bytes:
    buffer = io.BytesIO()
    write_table(Table.from_pylist([{"query": "?", "response": answer} for answer in answers]), buffer)
    return buffer.getvalue()


@pytest.fixture
def repository() -> Repository:
    files = {
        "README.md": README,
        "english/part-0.parquet": parquet("a", "b"),
        "english/part-1.parquet": parquet("c"),
        "english/test.jsonl": lines("d"),
        "chinese/rows.jsonl": lines("e", "f"),
        "rows.py": b"raise SystemExit('code of a data set was run')",
    }
    return Repository("some-org/rows", files, kind="datasets")


def answers(loaded) -> str:
    assert loaded.code == 0, loaded.said
    return "".join(row["messages"][-1]["content"] for row in loaded.rows)


def fetched(repository: Repository) -> set[str]:
    return {name for name in repository.all for _, path, _ in repository.log if path.endswith(f"/{name}")}


@pytest.mark.parametrize("hub", HUBS)
def test_the_subset_of_the_readme_is_fetched_checked_and_then_no_hub_is_asked(load, repository, hub):
    with serving(repository) as address:
        got = load(f"{hub}::some-org/rows:en", address=address)
    assert answers(got) == "abc"
    [source] = got.sources
    assert source["hubs"] == [HUBS[hub]] and source["rows"] == 3
    parts = ("english/part-0.parquet", "english/part-1.parquet")
    assert source["files"] == {f"some-org/rows/{name}": sha256(repository.files[name]) for name in parts}
    if hub == "HF":  # the paths of ModelScope's requests do not name the file
        assert fetched(repository) == {"README.md", *parts}
    assert answers(load(f"{hub}::some-org/rows:en")) == "abc", "nobody answers at this address"


@pytest.mark.parametrize("hub", HUBS)
def test_subsets_splits_and_counts(load, repository, hub):
    with serving(repository) as address:
        assert answers(load(f"{hub}::some-org/rows:zh/en", address=address)) == "efabc"
        assert len(answers(load(f"{hub}::some-org/rows:all#7", address=address))) == 7, "five rows, two of them twice"
        several = load(f"{hub}::some-org/rows", address=address)
        assert several.code == 1 and "several subsets" in several.said and "en, zh" in several.said
        wrong = load(f"{hub}::some-org/rows:eng", address=address)
    assert wrong.code == 1 and "no subset 'eng'. Did you mean 'en'?" in wrong.said and "Traceback" not in wrong.said


@pytest.mark.parametrize("hub", HUBS)
def test_without_a_readme_the_names_of_files_say_it(load, repository, hub):
    del repository.files["README.md"]
    with serving(repository) as address:
        assert answers(load(f"{hub}::some-org/rows:chinese", address=address)) == "ef"
        assert answers(load(f"{hub}::some-org/rows:english", address=address)) == "abc"


@pytest.mark.parametrize("hub", HUBS)
def test_a_broken_download_is_resumed_and_a_garbled_one_repeated(load, repository, hub):
    big = "x" * (22 << 20)  # larger than the 10 MB pieces in which the clients write
    repository.files = {"big.jsonl": lines(big), "small.jsonl": lines("y")}
    repository.cut["big.jsonl"] = 12 << 20
    repository.garbled["small.jsonl"] = 1
    with serving(repository) as address:
        got = load(f"{hub}::some-org/rows", address=address)
    assert answers(got) == big + "y"
    assert any(asked for _, _, asked in repository.log), "the rest was asked for, not the whole"


@pytest.mark.parametrize("hub", HUBS)
def test_a_file_that_never_matches_its_hash_is_refused(load, repository, hub):
    repository.garbled["chinese/rows.jsonl"] = 1000
    with serving(repository) as address:
        got = load(f"{hub}::some-org/rows:zh", address=address)
    assert got.code == 1 and "HubError" in got.said and "chinese/rows.jsonl" in got.said and "Traceback" not in got.said


@pytest.mark.parametrize("hub", HUBS)
def test_a_set_that_is_not_there_and_a_hub_that_is_not_there(load, repository, hub):
    with serving(repository) as address:
        got = load(f"{hub}::some-org/other", address=address)
    assert got.code == 1 and "there is no data set 'some-org/other'" in got.said and "Traceback" not in got.said
    alone = load(f"{hub}::some-org/rows")
    assert alone.code == 1 and "cannot be reached" in alone.said and "chunfen data list --hub shipped" in alone.said


def test_a_gated_set_says_how_to_get_it(load, repository):
    repository.gated = True
    with serving(repository) as address:
        got = load("HF::some-org/rows", address=address)
    assert got.code == 1 and "gated" in got.said and f"{address}/datasets/some-org/rows" in got.said


def test_of_a_set_that_a_script_makes_the_hub_s_own_conversion_is_read(load, repository):
    repository.files = {"rows.py": repository.files["rows.py"], "README.md": b"# Rows"}
    with serving(repository) as address:
        got = load("HF::some-org/rows", address=address)
        assert got.code == 1 and "a script" in got.said and "Traceback" not in got.said
        repository.converted = {
            "default/train/0000.parquet": parquet("a", "b"),
            "default/test/0000.parquet": parquet("c"),
        }
        assert answers(load("HF::some-org/rows", address=address)) == "ab"


def test_of_a_conversion_with_several_subsets_one_is_named(load, repository):
    repository.files = {"rows.py": repository.files["rows.py"]}
    repository.converted = {f"{name}/partial-train/0000.parquet": parquet(name) for name in ("en", "zh")}
    with serving(repository) as address:
        got = load("HF::some-org/rows", address=address)
        assert got.code == 1 and "several subsets" in got.said and "en, zh" in got.said
        assert answers(load("HF::some-org/rows:zh", address=address)) == "zh"


STREAM = """
import itertools, sys
from chunfen.data.stream import stream_datasets
from chunfen.settings.data import DataSettings
stream = stream_datasets(sys.argv[1:], DataSettings(shuffle_buffer_size=1))
print("".join(row.messages[-1].content for row in itertools.islice(stream, 1)))
"""


@pytest.mark.parametrize("hub", HUBS)
def test_a_stream_fetches_a_file_when_its_turn_comes(python, repository, hub, tmp_path):
    with serving(repository) as address:
        done = python(STREAM, f"{hub}::some-org/rows:en", address=address)
    assert (done.returncode, done.stdout) == (0, "a\n"), done.stderr
    assert list((tmp_path / "cache").rglob("*part-0*")) and not list((tmp_path / "cache").rglob("*part-1*"))
