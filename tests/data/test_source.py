"""What a user may write for a data set, and which rows it gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chunfen.data import catalog
from chunfen.data.catalog import DatasetSpec, register
from chunfen.data.layout import choose, configs
from chunfen.data.reference import parse_dataset
from chunfen.data.row import Row
from chunfen.data.source import load_datasets, open_source
from chunfen.errors import DataError, SettingError
from chunfen.settings.data import DataSettings


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(catalog, "_REGISTERED", {})


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.jsonl"
    path.write_text("".join(json.dumps({"query": "?", "response": str(n)}) + "\n" for n in range(100)))
    return path


def answers(rows: list[Row]) -> list[str]:
    return [row.messages[-1].content for row in rows]


def load(*datasets: object, **settings: object):
    return load_datasets([str(name) for name in datasets], DataSettings(**settings))


@pytest.mark.parametrize(
    ("text", "name", "subsets", "rows", "hub"),
    [
        ("alpaca-en", "alpaca-en", (), None, ""),
        (" alpaca-en#20 ", "alpaca-en", (), 20, ""),
        ("org/name:sub", "org/name", ("sub",), None, ""),
        ("MS::org/name:a/b#3", "org/name", ("a", "b"), 3, "modelscope"),
        ("hf::alpaca-en", "alpaca-en", (), None, "huggingface"),
        ("wikipedia:20231101.en", "wikipedia", ("20231101.en",), None, ""),
        ("./rows.jsonl#5", "./rows.jsonl", (), 5, ""),
        ("a#b.jsonl", "a#b.jsonl", (), None, ""),
        ("C:\\rows.csv", "C:\\rows.csv", (), None, ""),
        ("/data/c4/en.json.gz#7", "/data/c4/en.json.gz", (), 7, ""),
        ("./folder:zh", "./folder", ("zh",), None, ""),
    ],
)
def test_what_is_written_is_taken_apart(text, name, subsets, rows, hub):
    ref = parse_dataset(text)
    assert (ref.text, ref.name, ref.subsets, ref.rows, ref.hub) == (text, name, subsets, rows, hub)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("HG::org/name", "Write HF:: or MS::"),
        ("org/name#", "how many rows"),
        ("org/name#0", "how many rows"),
        ("org/name#-3", "how many rows"),
        ("org/name#\u0663", "how many rows"),
        ("org/name:", "behind : stands a subset"),
        ("org/name:a//b", "behind : stands a subset"),
        ("", "the name is missing"),
        ("#5", "the name is missing"),
    ],
)
def test_what_cannot_be_taken_apart(text, says):
    with pytest.raises(SettingError, match=says):
        parse_dataset(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("alpaca-ne", "is not known. Did you mean 'alpaca-en'"),
        ("MS::c4", "modelscope does not have c4; it is on: huggingface"),
        ("HF::identity", "it is on: shipped"),
        ("identity:en", "a file has no subsets"),
        ("a/b/c", "is not known"),
    ],
)
def test_what_is_not_known(text, says):
    with pytest.raises(SettingError, match=says):
        open_source(text)


def test_a_file_that_is_not_there_is_no_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in ("data/rows.jsonl", "./rows", "~/no-such-folder"):
        with pytest.raises(DataError, match="no such file or folder"):
            open_source(text)


def test_an_id_behind_a_prefix_is_the_one_that_is_fetched(monkeypatch):
    asked = []
    monkeypatch.setattr("chunfen.data.source._on_hub", lambda ref, spec: asked.append(dict(spec.ids)) or [])
    assert open_source("HF::AI-ModelScope/pile").spec.name == "the-pile"
    open_source("MS::the-pile")
    open_source("the-pile")
    pile = {"huggingface": "monology/pile-uncopyrighted", "modelscope": "AI-ModelScope/pile"}
    assert asked == [{"huggingface": "AI-ModelScope/pile"}, {"modelscope": "AI-ModelScope/pile"}, pile]


def test_the_rows_of_files_folders_and_shipped_sets(numbers):
    assert answers(load(numbers).rows) == answers(load(numbers.parent).rows) == [str(n) for n in range(100)]
    assert len(load("instructions-en").rows) == 240
    both = load("instructions-en#10", numbers)
    assert answers(both.rows)[10:] == [str(n) for n in range(100)]


def test_a_number_of_rows_is_drawn_by_the_seed_and_repeats_where_there_are_fewer(numbers):
    some = answers(load(f"{numbers}#10").rows)
    assert len(set(some)) == 10 and some == sorted(some, key=int) and some != [str(n) for n in range(10)]
    assert some == answers(load(f"{numbers}#10").rows)
    assert some != answers(load(f"{numbers}#10", data_seed=1).rows)
    many = answers(load(f"{numbers}#250").rows)
    assert len(many) == 250 and {many.count(str(n)) for n in range(100)} == {2, 3}


def test_the_seed_of_a_run_is_used_where_no_other_is_given(numbers):
    class Command(DataSettings):
        seed: int = 1

    of_run = load_datasets([f"{numbers}#10"], Command())
    assert of_run.rows == load(f"{numbers}#10", data_seed=1).rows != load(f"{numbers}#10").rows


def test_a_share_is_kept_for_evaluation_and_is_never_learned(numbers):
    found = load(f"{numbers}#300", split_dataset_ratio=0.2)
    assert len(found.validation) == 20 and len(found.rows) == 280
    assert not set(answers(found.validation)) & set(answers(found.rows))
    assert load(f"{numbers}#300", split_dataset_ratio=0.2) == found
    assert load(numbers, split_dataset_ratio=0.2, data_seed=7).validation != found.validation


def test_another_set_for_evaluation(numbers):
    found = load("instructions-en", val_dataset=(f"{numbers}#5",))
    assert (len(found.rows), len(found.validation)) == (240, 5)
    assert [source["name"] for source in found.sources] == ["instructions-en", f"{numbers}#5"]
    with pytest.raises(SettingError, match="give one of them"):
        load(numbers, val_dataset=(str(numbers),), split_dataset_ratio=0.1)


def test_interleaving(numbers):
    names = ("instructions-en#50", str(numbers))
    mixed = load(*names, interleave_prob=(0.8, 0.2))
    mine = [a for a in answers(mixed.rows) if a.isdigit()]
    assert mine == [str(n) for n in range(len(mine))], "each set keeps its order"
    assert 3 < len(mine) < 30 and len(mixed.rows) - len(mine) == 50, "it ends with the set that ends first"
    assert load(*names, interleave_prob=(0.8, 0.2)) == mixed
    every = load(*names, interleave_prob=(0.8, 0.2), stopping_strategy="all_exhausted")
    assert {str(n) for n in range(100)} <= set(answers(every.rows)) and len(every.rows) > 300
    for wrong in ((0.5,), (0.5, 0.6)):
        with pytest.raises(SettingError, match="interleave_prob"):
            load(*names, interleave_prob=wrong)


def test_bad_rows_are_listed_or_stop_it_all(numbers, tmp_path):
    import hashlib

    with numbers.open("a") as file:
        file.write('{broken\n{"query": "?", "response": ""}\n')
    found = load(f"{numbers}#10")
    assert [(row.file, row.line) for row in found.rejected] == [(str(numbers), 101), (str(numbers), 102)]
    digest = hashlib.sha256(numbers.read_bytes()).hexdigest()
    [source] = found.sources
    assert source == {"name": f"{numbers}#10", "hubs": [], "rows": 10, "rejected": 2, "files": {str(numbers): digest}}
    json.dumps(found.sources)
    with pytest.raises(DataError, match="line 101: not JSON"):
        load(numbers, strict=True)
    (tmp_path / "bad.jsonl").write_text("{broken\n")
    with pytest.raises(DataError, match=r"no row can be read. The first of 1 reasons: .*line 1: not JSON"):
        load(tmp_path / "bad.jsonl")


def test_none_given_says_what_to_write():
    with pytest.raises(SettingError, match="chunfen data list"):
        load()


def test_a_name_for_the_model_takes_the_place_of_the_placeholders():
    with pytest.raises(SettingError, match="needs --model_author"):
        load("identity", model_name="Equinox")
    text = " ".join(answers(load("identity", model_name="Equinox", model_author="the lab").rows))
    assert "Equinox" in text and "the lab" in text and "{{" not in text


def test_kto_sets_are_preferences_taken_apart():
    rows = load("kto-en").rows
    assert len(rows) == 240 and {row.kind for row in rows} == {"labelled"}
    assert [row.label for row in rows[:2]] == [True, False] and rows[0].prompt == rows[1].prompt
    assert rows[0].messages != rows[1].messages


@pytest.mark.parametrize("name", [n for n, spec in catalog.catalog().items() if spec.file])
def test_every_shipped_set_loads_whole(name):
    found = load(name, model_name="A", model_author="B", strict=True)
    assert len(found.rows) == catalog.catalog()[name].size


def test_a_set_that_a_function_gives_with_columns_of_its_own():
    rows = [{"ask": "1 + 1?", "result": "2", "by": "me"}, {"ask": None, "result": "3"}]
    register(DatasetSpec("mine", function=lambda: rows, columns={"ask": "query", "result": "response"}))
    found = load("mine")
    assert answers(found.rows) == ["2"] and found.rows[0].extra == {"by": "me"}
    assert [(row.file, row.line) for row in found.rejected] == [("mine", 2)]
    register(DatasetSpec("wrong", function=lambda: 5))
    with pytest.raises(DataError, match="gives int, not rows"):
        load("wrong")


def test_a_folder_with_a_readme_is_read_like_a_repository(tmp_path):
    for name, answer in (("en/a.jsonl", "en"), ("zh/a.jsonl", "zh"), ("test/a.jsonl", "test")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(json.dumps({"query": "?", "response": answer}))
    assert answers(load(tmp_path).rows) == ["en", "test", "zh"]
    assert answers(load(f"{tmp_path}:zh").rows) == ["zh"]
    (tmp_path / "README.md").write_text("---\nconfigs:\n- {config_name: default, data_files: '*/a.jsonl'}\n---\n")
    assert answers(load(tmp_path).rows) == ["en", "test", "zh"]
    (tmp_path / "README.md").write_text("---\nconfigs:\n- {config_name: x, data_dir: en}\n---\n")
    assert answers(load(tmp_path).rows) == answers(load(f"{tmp_path}:x").rows) == ["en"]
    with pytest.raises(SettingError, match="there is no subset 'zh'"):
        load(f"{tmp_path}:zh")


SHARDS = ["data/train_sft-00000-of-00002.parquet", "data/train_sft-00001-of-00002.parquet"]
CONFIGS = """---
configs:
- config_name: main
  default: true
  data_files:
  - {split: train, path: [a/*.json, b/x-*.json]}
  - {split: test, path: c/**}
- config_name: other
  data_dir: d
---"""


@pytest.mark.parametrize(
    ("names", "readme", "subsets", "splits", "chosen"),
    [
        ([*SHARDS, "data/test_sft-00000-of-00001.parquet"], "", (), ("train_sft",), SHARDS),
        (["part-00000-of-00002.parquet", "part-00001-of-00002.parquet"], "", (), ("train",), 2),
        (["train.csv", "dev.csv"], "", (), ("train", "validation"), ["train.csv", "dev.csv"]),
        (["train.csv", "dev.csv"], "", ("validation",), ("train",), ["dev.csv"]),
        (["a.jsonl", "b.jsonl", "info.json", "dataset_infos.json"], "", (), ("train",), ["a.jsonl", "b.jsonl"]),
        (["baike.jsonl", "law.jsonl"], "", ("law",), ("train",), ["law.jsonl"]),
        (["baike.jsonl", "law.jsonl"], "", ("all",), ("train",), ["baike.jsonl", "law.jsonl"]),
        (["en/train.jsonl", "en/test.jsonl", "zh/train.jsonl"], "", ("en",), ("train",), ["en/train.jsonl"]),
        (["a/1.json", "b/x-1.json", "b/y.json", "c/d/2.json"], CONFIGS, (), ("train",), ["a/1.json", "b/x-1.json"]),
        (["a/1.json", "c/d/2.json"], CONFIGS, ("test",), ("train",), ["c/d/2.json"]),
        (["a/1.json", "d/train.json", "d/test.json"], CONFIGS, ("other",), ("train",), ["d/train.json"]),
        (["a.json"], "---\nconfigs: [broken\n---", (), ("train",), ["a.json"]),
        (["a.json"], "---\nconfigs: [5]\n---", (), ("train",), ["a.json"]),
    ],
)
def test_which_files_of_a_repository_are_meant(names, readme, subsets, splits, chosen):
    assert choose(names, configs(readme), subsets, splits) == (names if chosen == 2 else chosen)


@pytest.mark.parametrize(
    ("names", "readme", "subsets", "says"),
    [
        (["README.md", "rows.py"], "", (), "no files of rows"),
        (["test.csv"], "", (), "no split 'train'; there are: test"),
        (["a.csv"], "", ("b",), "no subset 'b'"),
        (["a/1.json", "d/1.json"], CONFIGS, ("mian",), "Did you mean 'main'"),
        (["a/1.json", "d/1.json"], CONFIGS.replace("  default: true\n", ""), (), "several subsets.*main, other"),
    ],
)
def test_what_is_not_in_a_repository(names, readme, subsets, says):
    with pytest.raises(SettingError, match=says):
        choose(names, configs(readme), subsets)
