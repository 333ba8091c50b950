"""What a user may write for a model, and what the catalog says."""

from __future__ import annotations

import pytest

from chunfen.errors import SettingError
from chunfen.models import catalog, resolve
from chunfen.models.templates import template_names


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("smollm2-135m-instruct", "smollm2-135m-instruct"),
        ("SmolLM2", "smollm2-135m-instruct"),
        ("qwen-7b-chat", "qwen-7b-chat"),
        ("Qwen/Qwen2.5-0.5B-Instruct", "qwen2.5-0.5b-instruct"),
        ("LLM-Research/Llama-3.2-1B-Instruct", "llama-3.2-1b-instruct"),
        ("some-org/some-model", "some-org/some-model"),
    ],
)
def test_names_aliases_and_hub_ids(written, name):
    assert resolve(written).name == name


def test_a_prefix_picks_the_hub():
    assert dict(resolve("HF::a/b").ids) == {"huggingface": "a/b"}
    assert dict(resolve("MS::a/b").ids) == {"modelscope": "a/b"}
    assert list(resolve("a/b").ids) == ["huggingface", "modelscope"]


def test_a_folder_is_its_own_name(tiny_model_dir, monkeypatch):
    monkeypatch.chdir(tiny_model_dir.parent)
    assert resolve("./model") == resolve(str(tiny_model_dir)) == resolve("model")
    assert not resolve("model").ids


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("qwen2.5-0.5b-instrct", "Did you mean 'qwen2.5-0.5b-instruct'"),
        ("nothing-like-it-at-all", "chunfen models list"),
        ("./no-such-folder", "there is no such folder"),
        ("a/b/c", "is not known"),
        ("", "is not known"),
    ],
)
def test_what_is_not_known_says_what_to_write(written, says):
    with pytest.raises(SettingError, match=says):
        resolve(written)


def test_every_entry_is_complete():
    for spec in catalog().values():
        assert spec.ids and spec.architecture and spec.licence and spec.languages, spec
        assert spec.parameters > 0, spec
        assert set(spec.ids) <= {"pypi", "huggingface", "modelscope"}, spec
        assert spec.name == spec.name.lower()
    assert len(catalog()) >= 20


def test_templates_that_entries_name_ship_here():
    named = {spec.template for spec in catalog().values()} - {None}
    assert named <= set(template_names())
    assert set(template_names()) - named == {"alpaca"}  # which is for base models, when it is asked for
    assert not any(spec.base for spec in catalog().values() if spec.template)
