"""Files of every kind, whole and damaged: each row ends up read, or rejected with its line and a reason."""

from __future__ import annotations

import json

import pytest

from chunfen.data.load import load_rows, write_rejected
from chunfen.data.row import Message
from chunfen.errors import DataError

GOOD = {"query": "Hi", "response": "Hello"}
ROW = json.dumps(GOOD).encode()
MESSAGES = (Message("user", "Hi"), Message("assistant", "Hello"))


def put(folder, name: str, content: bytes):
    path = folder / name
    path.write_bytes(content)
    return path


WHOLE = {
    "lines.jsonl": ROW + b"\n" + ROW,
    "crlf.jsonl": ROW + b"\r\n\r\n" + ROW + b"\r\n",
    "bom.jsonl": b"\xef\xbb\xbf" + ROW + b"\n" + ROW + b"\n",
    "list.json": b"[" + ROW + b"," + ROW + b"]",
    "bom.json": b"\xef\xbb\xbf[" + ROW + b",\n" + ROW + b"]\n",
    "data.json": b'{"data": [' + ROW + b"," + ROW + b"]}",
    "lines.json": ROW + b"\n" + ROW + b"\n",
    "table.csv": b"query,response\r\nHi,Hello\r\nHi,Hello\r\n",
    "bom.csv": b'\xef\xbb\xbfquery,response\nHi,Hello\n"Hi","Hello"\n',
    "table.tsv": b"query\tresponse\nHi\tHello\nHi\tHello\n",
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_files(tmp_path, name):
    rows, rejected = load_rows(put(tmp_path, name, WHOLE[name]))
    assert [row.messages for row in rows] == [MESSAGES, MESSAGES]
    assert rejected == []


def test_a_cell_may_hold_line_breaks_and_json(tmp_path):
    turns = json.dumps([{"role": "user", "content": "a\nb"}, {"role": "assistant", "content": "c"}])
    cell = turns.replace('"', '""')
    rows, _ = load_rows(put(tmp_path, "t.csv", f'messages,note\n"{cell}","two\nlines"\n'.encode()))
    assert rows[0].messages[0].content == "a\nb"
    assert rows[0].extra == {"note": "two\nlines"}


def test_texts_and_folders(tmp_path):
    put(tmp_path, "b.txt", "春分\n\n  \nEquinox\n".encode())
    put(tmp_path, "a.jsonl", ROW)
    put(tmp_path, "notes.md", b"not rows")
    rows, rejected = load_rows(tmp_path)
    assert [row.text for row in rows] == ["", "春分", "Equinox"]
    assert rejected == []


def test_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    from pyarrow import Table

    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    parquet.write_table(Table.from_pylist([{"messages": turns, "label": None}] * 2), tmp_path / "t.parquet")
    rows, _ = load_rows(tmp_path / "t.parquet")
    assert [row.messages for row in rows] == [MESSAGES, MESSAGES]
    put(tmp_path, "broken.parquet", b"PAR1 no")
    with pytest.raises(DataError, match="not a Parquet file"):
        load_rows(tmp_path / "broken.parquet")


DAMAGED = {
    "a broken line": (b"lines.jsonl", ROW + b'\n{"query": "Hi", "respo\n' + ROW, 2, "not JSON"),
    "a line that is no row": (b"lines.jsonl", ROW + b"\n[1, 2]\n", 2, "an object with named fields"),
    "mixed with what is no format": (b"lines.jsonl", ROW + b'\n{"a": 1}\n', 2, "no known format"),
    "a NUL byte": (b"lines.jsonl", ROW + b'\n{"query": "a\0b", "response": "c"}\n', 2, "not JSON"),
    "an escaped NUL": (b"lines.jsonl", ROW + b'\n{"query": "a\\u0000b", "response": "c"}\n', 2, "NUL"),
    "Latin-1": (b"lines.jsonl", ROW + '\n{"query": "é"}\n'.encode("latin-1"), 2, "not UTF-8: byte 0xe9 at place 12"),
    "deep nesting": (b"lines.jsonl", ROW + b"\n" + b"[" * 100_000 + b"\n", 2, "nested too deeply|not JSON"),
    "a short line of a table": (b"t.csv", b"query,response\nHi,Hello\nHi\n", 3, "1 cells for 2 columns"),
    "an open quote": (b"t.csv", b'query,response\nHi,Hello\n"Hi,Hello\n', 3, "not CSV"),
    "an empty cell": (b"t.csv", b"query,response\nHi,Hello\n,Hello\n", 3, "the answer|no known format|says nothing"),
    "a broken row of a list": (b"l.json", b"[" + ROW + b", 5]", 2, "not a number"),
}


@pytest.mark.parametrize(("name", "content", "line", "reason"), DAMAGED.values(), ids=DAMAGED)
def test_what_is_damaged_is_listed_and_the_rest_is_read(tmp_path, name, content, line, reason):
    path = put(tmp_path, name.decode(), content)
    rows, rejected = load_rows(path)
    assert [row.messages for row in rows] == [MESSAGES] * len(rows) and rows
    [found] = rejected
    assert (found.file, found.line) == (str(path), line)
    with pytest.raises(DataError, match=reason):
        load_rows(path, strict=True)
    write_rejected(tmp_path / "rejected_rows.jsonl", rejected)
    assert json.loads((tmp_path / "rejected_rows.jsonl").read_text()) == {
        "file": str(path),
        "line": line,
        "reason": found.reason,
    }


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.jsonl", b"", "no row can be read"),
        ("empty.json", b"", "not JSON"),
        ("cut.json", b'[{"query": "Hi"', "not JSON"),
        ("number.json", b"5", "a list of rows"),
        ("twice.csv", b"query,query\na,b\n", "comes twice"),
        ("binary.csv", b"\xff\xfe\x00", "not UTF-8"),
        ("model.bin", b"5", "cannot be read. Known are"),
    ],
)
def test_a_file_without_a_single_row_is_an_error(tmp_path, name, content, reason):
    with pytest.raises(DataError, match=reason):
        load_rows(put(tmp_path, name, content))


def test_what_is_not_there_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        load_rows(tmp_path / "nothing.jsonl")
    with pytest.raises(DataError, match="holds no file of rows"):
        load_rows(tmp_path)


def test_a_huge_row_is_read(tmp_path):
    rows, _ = load_rows(put(tmp_path, "huge.csv", b"query,response\nHi," + b"x" * 2_000_000 + b"\n"))
    assert len(rows[0].messages[1].content) == 2_000_000
