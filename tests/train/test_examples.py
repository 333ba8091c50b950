"""Rows become tokens once: in one process or several, and never again for the same rows."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from chunfen.data.formats import to_row
from chunfen.models.loading import load_tokenizer
from chunfen.train import examples as module
from chunfen.train.encode import Encoder
from chunfen.train.examples import encoded, write_examples
from chunfen.train.stages.language import Finetuning
from chunfen.train.stages.preference import Dpo

WORDS = ["nurse", "man", "woman", "hello"]
ROWS = [
    to_row({"query": f"who is a {WORDS[n % 4]} ?" + " hello" * (n % 7), "response": WORDS[n // 7 % 4]})
    for n in range(600)
]


@pytest.fixture
def encoder(tiny_model_dir: Path, own_cache: Path) -> Encoder:
    return Encoder(load_tokenizer(str(tiny_model_dir)), max_length=16)


def test_several_processes_write_what_one_writes(encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FEW", 0)
    stage, seen = Finetuning(SimpleNamespace()), []
    one = write_examples(tmp_path / "one.arrow", ROWS, stage, encoder)
    two = write_examples(
        tmp_path / "two.arrow",
        ROWS,
        stage,
        encoder,
        processes=2,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert (tmp_path / "one.arrow").read_bytes() == (tmp_path / "two.arrow").read_bytes()
    assert seen == [(256, 600), (512, 600), (600, 600)]
    assert len(one) + len(two.refused) == 600
    assert len(two.refused) > 50
    assert set(two.refused.values()) <= {f"{n} tokens are more than max_length 16" for n in range(17, 19)}


def test_an_example_read_from_the_file_is_the_one_that_was_encoded(encoder, tmp_path):
    stage = Finetuning(SimpleNamespace())
    found = write_examples(tmp_path / "rows.arrow", ROWS[:3], stage, encoder)
    for number, row in enumerate(ROWS[:3]):
        [example] = stage.encode(row, encoder)
        assert found[number].number == number
        assert [(t.ids, tuple(t.reads)) for t in found[number].texts] == [(t.ids, t.reads) for t in example.texts]
    assert list(found.sizes) == [len(example.texts[0].ids) for example in found]


def test_the_cache_is_used_for_the_same_rows_alone(encoder, own_cache, monkeypatch):
    calls = []
    whole = module.write_examples

    def counted(*arguments, **more):
        calls.append(1)
        return whole(*arguments, **more)

    monkeypatch.setattr(module, "write_examples", counted)
    stage = Finetuning(SimpleNamespace())
    for _ in range(2):
        encoded(ROWS[:5], stage, encoder, processes=1)
    assert len(calls) == 1
    encoded(ROWS[:6], stage, encoder, processes=1)
    encoded(ROWS[:5], stage, Encoder(encoder.tokenizer, max_length=15), processes=1)
    encoded(ROWS[:5], stage, Encoder(encoder.tokenizer, max_length=16, system="hello"), processes=1)
    assert len(calls) == 4
    assert len(list((own_cache / "tokens").iterdir())) == 4


@pytest.mark.parametrize(
    ("truncation", "kept"), [("left", "man a woman ."), ("right", "a woman ."), ("split", None), ("delete", None)]
)
def test_rows_that_are_too_long_are_cut_as_asked(tiny_model_dir, truncation, kept):
    tokenizer = load_tokenizer(str(tiny_model_dir))
    row = to_row({"text": "who is a nurse ? hello hello man a woman ."})
    whole = Encoder(tokenizer).texts(row)[0].ids
    encoder = Encoder(tokenizer, max_length=5, truncation=truncation)
    if truncation == "delete":
        with pytest.raises(ValueError, match=f"{len(whole)} tokens are more than max_length 5"):
            encoder.texts(row)
        return
    texts = encoder.texts(row)
    expected = {"left": [whole[-5:]], "right": [whole[:5]], "split": [whole[:5], whole[5:10], whole[10:]]}[truncation]
    assert [text.ids for text in texts] == [part for part in expected if len(part) > 1]
    assert all(min(text.reads) >= 1 for text in texts)


def test_a_pair_that_is_cut_keeps_one_prompt(tiny_model_dir):
    tokenizer = load_tokenizer(str(tiny_model_dir))
    row = to_row({"query": "hello " * 20 + "who ?", "response": "a man .", "rejected_response": "a woman . hello"})
    chosen, rejected = Encoder(tokenizer, max_length=14, truncation="left").pair(row)
    first = chosen.reads[0]
    assert chosen.ids[:first] == rejected.ids[: rejected.reads[0]]
    assert len(rejected.ids) == 14
    assert tokenizer.decode(chosen.ids[first:]).split()[:3] == ["a", "man", "."]
    with pytest.raises(ValueError, match="the answers alone"):
        Encoder(tokenizer, max_length=4, truncation="left").pair(row)


def test_labels_that_a_loss_cannot_heed_are_refused(tiny_model_dir):
    encoder = Encoder(load_tokenizer(str(tiny_model_dir)))
    row = to_row({"query": "who ?", "response": "man", "rejected_response": "woman", "label": 0.8})
    settings = {"loss_weights": (), "rpo_alpha": None, "reference_free": False, "beta": 0.1}
    [example] = Dpo(SimpleNamespace(loss_type=("sigmoid",), **settings)).encode(row, encoder)
    assert example.label == 0.8
    with pytest.raises(ValueError, match="hinge takes the chosen answer as the better one"):
        Dpo(SimpleNamespace(loss_type=("hinge",), **settings)).encode(row, encoder)


def test_rows_with_pictures_are_refused(tiny_model_dir):
    encoder = Encoder(load_tokenizer(str(tiny_model_dir)))
    with pytest.raises(ValueError, match="it has images"):
        encoder.texts(to_row(json.loads('{"query": "who ?", "response": "man", "images": ["a.png"]}')))
