"""Streams: never a whole set in memory, every row in an order that can be repeated and taken up anywhere."""

from __future__ import annotations

import json
import pickle
from itertools import islice
from pathlib import Path

import pytest

from chunfen.data import files, parts
from chunfen.data.load import Rejected
from chunfen.data.source import load_datasets
from chunfen.data.stream import RejectedFile, stream_datasets
from chunfen.errors import DataError, SettingError
from chunfen.settings.data import DataSettings


@pytest.fixture
def numbers(tmp_path: Path) -> str:
    lines = [json.dumps({"text": str(n)}) for n in range(300)]
    lines[10], lines[200] = "{broken", '{"text": ""}'
    (tmp_path / "numbers.jsonl").write_text("\n".join(lines))
    return str(tmp_path / "numbers.jsonl")


def stream(*names: str, reject=None, **settings: object):
    return stream_datasets(names, DataSettings(**settings), reject or (lambda row: None))


def texts(rows) -> list[str]:
    return [row.text for row in rows]


def test_unshuffled_it_is_what_loading_gives(numbers):
    loaded = load_datasets([numbers], DataSettings())
    assert list(stream(numbers, shuffle_buffer_size=1)) == loaded.rows
    assert sorted(texts(stream(numbers))) == sorted(texts(loaded.rows))


def test_epochs_differ_and_each_can_be_repeated(numbers):
    rows = stream(numbers, shuffle_buffer_size=50)
    first, second = texts(rows), texts(rows.at(epoch=1))
    assert first == texts(rows) == texts(rows.at(0)) and first != second and sorted(first) == sorted(second)
    assert first != texts(stream(numbers, shuffle_buffer_size=50, data_seed=5))


@pytest.mark.parametrize("settings", [{}, {"interleave_prob": (0.7, 0.3), "stopping_strategy": "all_exhausted"}])
@pytest.mark.parametrize("start", [0, 1, 49, 50, 180, 10_000])
def test_it_can_be_taken_up_at_any_row(numbers, settings, start):
    rows = stream(numbers, "corpus", shuffle_buffer_size=50, **settings)
    whole = list(rows.at(epoch=2))
    assert list(rows.at(epoch=2, start=start)) == whole[start:]
    again = pickle.loads(pickle.dumps(stream_datasets((numbers,), DataSettings()).at(0, 5)))
    assert next(iter(again)) == next(iter(stream(numbers).at(0, 5)))


def test_interleaving_two_sets(numbers):
    mixed = texts(stream(numbers, "corpus", shuffle_buffer_size=1, interleave_prob=(0.5, 0.5)))
    mine = [text for text in mixed if text.isdigit()]
    assert len(mixed) - len(mine) == 60 and mine == sorted(mine, key=int)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.txt", "rows.parquet"])
def test_files_are_read_as_far_as_rows_are_asked_for(tmp_path, name):
    """What is behind a million rows is never touched: the file is cut there or is not what its name says."""
    path = tmp_path / name
    if name.endswith("parquet"):
        from pyarrow import Table
        from pyarrow.parquet import write_table

        write_table(Table.from_pydict({"text": [str(n) for n in range(50_000)]}), path, row_group_size=5000)
        end = path.stat().st_size // 2
        with path.open("r+b") as file:
            file.seek(end)
            file.write(b"\0" * 1000)
    else:
        row = '{"text": "a"}' if name.endswith("jsonl") else "a"
        path.write_text("text\n" * name.endswith("csv") + f"{row}\n" * 1_000_000)
    import tracemalloc

    tracemalloc.start()
    rows = list(islice(stream(str(path), shuffle_buffer_size=100), 2000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(rows) == 2000 and peak < 5e6, f"{peak / 1e6:.1f} MB"


def test_of_several_files_the_next_is_opened_when_its_turn_comes(tmp_path, monkeypatch):
    opened = []
    read_file = files.read_file
    monkeypatch.setattr(parts, "read_file", lambda path: opened.append(path.name) or read_file(path))
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text("x\ny\n")
    rows = iter(stream(str(tmp_path), shuffle_buffer_size=1))
    assert next(rows) and next(rows) and opened == ["a.txt"]
    assert next(rows) and opened == ["a.txt", "b.txt"]


def test_a_number_of_rows_is_the_first_ones_and_repeats_where_there_are_fewer(numbers):
    assert texts(stream(f"{numbers}#3", shuffle_buffer_size=1)) == ["0", "1", "2"]
    assert texts(stream("corpus#130", shuffle_buffer_size=1))[60:120] == texts(stream("corpus", shuffle_buffer_size=1))
    assert len(texts(stream("corpus#130"))) == 130


def test_bad_rows_are_told_and_listed_once(numbers, tmp_path, caplog):
    listed = RejectedFile(tmp_path / "rejected_rows.jsonl")
    rows = stream(numbers, reject=listed)
    assert len(list(rows)) == len(list(rows.at(1))) == 298
    assert listed.count == 2
    assert [json.loads(line)["line"] for line in listed.path.read_text().splitlines()] == [11, 201]
    again = RejectedFile(listed.path)
    again(Rejected(numbers, 11, "not JSON"))
    again(Rejected(numbers, 12, "other"))
    assert len(listed.path.read_text().splitlines()) == 3, "what is listed from before the interruption stays once"
    list(stream_datasets((numbers,), DataSettings()))
    assert "line 11: not JSON" in caplog.text and "line 201: the text is empty" in caplog.text
    with pytest.raises(DataError, match="line 11: not JSON"):
        list(stream(numbers, strict=True))


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"split_dataset_ratio": 0.1}, "a stream cannot be split"), ({"interleave_prob": (0.5, 0.5)}, "each of the 1")],
)
def test_what_a_stream_cannot_do(numbers, settings, says):
    with pytest.raises(SettingError, match=says):
        stream(numbers, **settings)


def test_a_set_without_a_row_is_an_error(tmp_path):
    (tmp_path / "none.jsonl").write_text("{broken\n")
    with pytest.raises(DataError, match="no row can be read"):
        list(stream(str(tmp_path / "none.jsonl")))
    with pytest.raises(SettingError, match="none is given"):
        stream()
