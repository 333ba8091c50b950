"""DatasetHub: the lines that people know, run as they are."""

from __future__ import annotations

import base64
import json

import pytest
from datasets import Dataset, DatasetDict, IterableDataset, load_dataset

from chunfen.data import catalog
from chunfen.data.dataset_hub import DatasetHub, feature
from chunfen.data.source import load_datasets
from chunfen.errors import SettingError
from chunfen.settings.data import DataSettings

ROWS = [{"instruction": "Add.", "input": "1 and 2", "output": "3"}, {"instruction": "Say hi.", "output": "Hi."}]


@pytest.fixture(autouse=True)
def registered(monkeypatch, tmp_path):
    monkeypatch.setattr(catalog, "_REGISTERED", {})
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")


def test_a_registered_json_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/sft.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    DatasetHub.register(
        name="my_sft_data", dataset_fn=lambda: load_dataset("json", data_files="data/sft.jsonl"), task_type="sft"
    )
    hub = DatasetHub("my_sft_data")
    train = hub["my_sft_data"]
    assert isinstance(train, Dataset) and train.num_rows == 2
    assert train[0] | {"messages": None} == {
        "instruction": "Add.\n1 and 2",
        "input": "",
        "output": "3",
        "messages": None,
    }
    assert train[1]["messages"] == [{"role": "user", "content": "Say hi."}, {"role": "assistant", "content": "Hi."}]
    assert len(load_datasets(["my_sft_data#5"], DataSettings()).rows) == 5, "--dataset knows it too"


GIVEN = {
    "rows": lambda: ROWS,
    "Dataset": lambda: Dataset.from_list(ROWS),
    "DatasetDict": lambda: DatasetDict({"train": Dataset.from_list(ROWS), "test": Dataset.from_list(ROWS[:1])}),
    "one split": lambda: DatasetDict({"everything": Dataset.from_list(ROWS)}),
    "IterableDataset": lambda: IterableDataset.from_generator(lambda: iter(ROWS)),
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("streaming", [False, True])
def test_whatever_a_function_gives(given, streaming):
    DatasetHub.register("given", given)
    rows = DatasetHub("given", streaming=streaming)["given"]
    assert isinstance(rows, IterableDataset if streaming else Dataset)
    assert [row["output"] for row in rows] == [row["output"] for row in rows] == ["3", "Hi."]


def test_a_split_that_is_not_there():
    both = DatasetDict({"a": Dataset.from_list(ROWS), "b": Dataset.from_list(ROWS[:1])})
    DatasetHub.register("given", lambda: both)
    with pytest.raises(SettingError, match="there is no split 'train'; there are: a, b"):
        _ = DatasetHub("given")["given"]
    assert DatasetHub("given:b")["given:b"].num_rows == 1
    DatasetHub.register("given", lambda: both, split=("a", "b"))
    assert DatasetHub("given")["given"].num_rows == 3


def test_pictures_become_addresses(tmp_path):
    from datasets import Features, Image, List, Value

    image, path = b"\x89PNG\r\n\x1a\n and so on", str(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(image)
    images = [[{"bytes": None, "path": path}, {"bytes": image, "path": None}]]
    rows = Dataset.from_dict({"query": ["What is it?"], "response": ["Black."], "images": images})
    features = Features({"query": Value("string"), "response": Value("string"), "images": List(Image())})
    DatasetHub.register("seen", lambda: rows.cast(features))
    [seen] = load_datasets(["seen"], DataSettings()).rows
    assert seen.images == (path, "data:image/png;base64," + base64.b64encode(image).decode())
    assert seen.messages[0].content == "<image><image>What is it?"


def test_rows_of_every_task_have_their_own_fields():
    hub = DatasetHub("corpus", "preferences-en", "kto-en", "classes", "sums", "anti-bias")
    assert set(hub["corpus"].column_names) == {"text", "language"}
    assert {"messages", "rejected_messages", "flaw"} <= set(hub["preferences-en"].column_names)
    assert set(hub["kto-en"]["label"][:]) == {True, False}
    assert set(hub["sums"]["output"][:]) == {""} and all(text.isdigit() for text in hub["sums"]["solution"][:])
    assert set(hub["classes"]["label"][:]) == {"food", "weather", "work", "travel"}
    assert len(hub) == len(list(hub)) == 6


def test_calls_of_tools_and_mixed_columns_keep_what_they_are():
    call = {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": {"x": 1}}]}
    rows = [
        {"messages": [{"role": "user", "content": "a"}, call], "n": 1},
        {"messages": [{"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}], "n": "two"},
    ]
    DatasetHub.register("mixed", lambda: rows)
    found = DatasetHub("mixed")["mixed"]
    assert found[0]["messages"][1]["tool_calls"] == call["tool_calls"] and "tool_calls" not in found[1]["messages"][1]
    assert found["n"][:] == [1, "two"]


def test_unknown_names_are_found_at_once():
    with pytest.raises(SettingError, match="Did you mean 'corpus'"):
        DatasetHub("corpsu")
    with pytest.raises(SettingError, match=r"is not in this hub\. Did you mean 'corpus'"):
        _ = DatasetHub("corpus")["copus"]
    assert "alpaca-en" in list(DatasetHub())
    with pytest.raises(SettingError, match="Did you mean 'sft'"):
        DatasetHub.register("mine", lambda: ROWS, task_type="sftt")


def test_columns_of_one_type_and_others():
    assert str(feature([2**70])) == "Json(decode=True)"
    assert str(feature([None])) == "Json(decode=True)"
    assert str(feature([True, None])) == "Value('bool')"
