"""The catalog of data sets: every entry well formed, every name one set."""

from __future__ import annotations

import re
from importlib import resources

import pytest
import yaml

from chunfen.data import catalog as module
from chunfen.data.catalog import TASKS, DatasetSpec, catalog, find, known, register
from chunfen.errors import SettingError
from chunfen.settings.data import DataSettings

FILES = sorted(resources.files("chunfen.data").joinpath("sets").iterdir(), key=lambda file: file.name)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(module, "_REGISTERED", {})


def test_more_than_150_public_sets_and_those_that_users_know():
    assert sum(bool(spec.ids) for spec in catalog().values()) >= 150
    for name in ("alpaca-en", "alpaca-zh", "dpo-zh", "the-pile", "coco-vqa"):
        assert find(name) is catalog()[name]


@pytest.mark.parametrize("spec", catalog().values(), ids=list(catalog()))
def test_every_entry_is_well_formed(spec):
    for name in (spec.name, *spec.aliases):
        assert re.fullmatch(r"[a-z0-9]+([.-][a-z0-9]+)*", name), name
        assert find(name) is spec, f"{name} is the name of another set too"
    assert spec.task in TASKS
    assert bool(spec.ids) != bool(spec.file)
    for hub, id in spec.ids.items():
        assert hub in ("huggingface", "modelscope")
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", id, re.ASCII), id
    assert all(re.fullmatch("[a-z]{2}", language) for language in spec.languages)
    assert isinstance(spec.size, int) and spec.size >= 0
    assert spec.split and all(isinstance(word, str) for word in (*spec.split, *spec.subsets, *spec.columns.values()))
    assert set(spec.fill.values()) <= set(DataSettings.model_fields)
    assert not set(spec.fields) & set(spec.columns.values()), "a field is either renamed or written"
    if spec.file:
        assert spec.path.is_file()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_file_names_a_set_twice(file):
    """YAML takes the last of two equal keys without a word."""
    keys = [key.value for key, _ in yaml.compose(file.read_text(encoding="utf-8")).value]
    assert len(keys) == len(set(keys))


def test_names_aliases_and_hub_ids_in_any_case():
    for name in ("Alpaca_EN", "alpaca-gpt4-en", "vicgalle/alpaca-gpt4", "AI-ModelScope/Alpaca-GPT4-data-en"):
        assert find(name) is catalog()["alpaca-en"]
    assert find("llamafactory/DPO-En-Zh-20k") is None, "it holds two catalogued sets"
    assert find("alpaca") is catalog()["alpaca"] and find("no-such-set") is None


def test_registered_sets_are_known_and_may_be_registered_again():
    register(DatasetSpec("mine", function=list))
    register(DatasetSpec("mine", function=dict, task="dpo"))
    assert find("mine").task == "dpo" and next(known()).name == "mine"
    assert find("mine").hubs == ("registered",)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (DatasetSpec("alpaca-en", function=list), "the catalog has a set of this name"),
        (DatasetSpec("alpaca_gpt4", function=list), "the catalog has a set of this name"),
        (DatasetSpec("my:set", function=list), "no spaces, commas"),
        (DatasetSpec("", function=list), "no spaces, commas"),
        (DatasetSpec("mine", function=list, task="stf"), "Did you mean 'sft'"),
    ],
)
def test_what_cannot_be_registered(spec, says):
    with pytest.raises(SettingError, match=says):
        register(spec)
