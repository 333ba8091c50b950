"""Reading a set: what is wrong in a file is named with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chunfen.benchmarks.items import read_set
from chunfen.errors import DataError

HEADER = {
    "name": "small",
    "language": "en",
    "version": 1,
    "licence": "Apache-2.0",
    "kind": "choice",
    "about": "Three questions.",
    "formula": "probability",
}
SKY = {
    "id": "a",
    "split": "test",
    "question": "What color is the sky?",
    "right": "Blue",
    "wrong": ["Red", "Green", "Pink"],
}
SNOW = {
    "id": "b",
    "split": "dev",
    "question": "What color is snow?",
    "right": "White",
    "wrong": ["Red", "Green", "Pink"],
}


def write(folder: Path, *lines: dict[str, Any] | str) -> Path:
    path = folder / "small.en.jsonl"
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def test_splits_and_version(tmp_path: Path) -> None:
    first = read_set(write(tmp_path, HEADER, SKY, SNOW))
    assert [item.id for item in first.of("test")] == ["a"]
    assert [item.id for item in first.of("dev")] == ["b"]
    assert first.of("train") == ()
    assert read_set(write(tmp_path, HEADER, SKY, SNOW)).version == first.version
    assert read_set(write(tmp_path, HEADER, SKY, {**SNOW, "right": "white"})).version != first.version


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({**SNOW, "rigth": "White"}, "rigth: Extra inputs are not permitted"),
        ({k: v for k, v in SNOW.items() if k != "right"}, "right: Field required"),
        ({**SNOW, "split": "tset"}, "split: Input should be 'train', 'dev' or 'test'"),
        ({**SNOW, "wrong": ["Red", "Green"]}, "wrong: Tuple should have at least 3 items"),
        ({**SNOW, "wrong": ["Red", "red", "Pink"]}, "the four options must be different"),
        ({**SNOW, "wrong": ["Red", "white", "Pink"]}, "the four options must be different"),
        ({**SNOW, "right": " White"}, "right: String should match pattern"),
        ({**SNOW, "id": "a"}, "id 'a' stands in line 2 too"),
        ({**SNOW, "question": "what  color is the sky?"}, "this item stands in line 2 too"),
        ('{"id": "b", ', "Invalid JSON"),
        ("", "Invalid JSON"),
    ],
)
def test_a_wrong_item_is_named_with_its_line(tmp_path: Path, line: dict[str, Any] | str, says: str) -> None:
    path = write(tmp_path, HEADER, SKY, line, {**SNOW, "id": "c", "question": "What color is coal?"})
    with pytest.raises(DataError) as caught:
        read_set(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("The dogs bark.", "The dogs bark."), ("Dogs bark.", "Cats bark."), ("A dog barks.", "An dog barks.")],
)
def test_a_pair_shares_its_beginning_and_differs(tmp_path: Path, right: str, wrong: str) -> None:
    pair = {"id": "a", "split": "test", "right": right, "wrong": wrong}
    path = write(tmp_path, {**HEADER, "kind": "minimal_pair"}, pair)
    with pytest.raises(DataError, match=r"small\.en\.jsonl:2: .*share at least their first word"):
        read_set(path)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({**HEADER, "kind": "chocie"}, "kind: Input should be"),
        ({**HEADER, "version": 0}, "version: Input should be greater than or equal to 1"),
        ({**HEADER, "template": "Question: {query}"}, "template: String should match pattern"),
        (SKY, "Field required"),
    ],
)
def test_a_wrong_header_is_line_one(tmp_path: Path, header: dict[str, Any], says: str) -> None:
    path = write(tmp_path, header, SKY)
    with pytest.raises(DataError) as caught:
        read_set(path)
    assert str(caught.value).startswith(f"{path}:1: ")
    assert says in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_set(tmp_path / "absent.en.jsonl")
    with pytest.raises(DataError, match="no items"):
        read_set(write(tmp_path, HEADER))
    latin = tmp_path / "latin.en.jsonl"
    latin.write_bytes(b'{"name": "caf\xe9"}\n{}\n')
    with pytest.raises(DataError, match="not UTF-8"):
        read_set(latin)
