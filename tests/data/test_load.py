"""Files of every kind, whole and damaged: each row ends up read, or rejected with its line and a reason."""

from __future__ import annotations

import base64
import json
import math
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from chunfen.data.formats import to_row
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


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".zst"])
@pytest.mark.parametrize("name", ["lines.jsonl", "lines.json", "list.json", "bom.csv", "table.tsv"])
def test_packed_files(tmp_path, name, ending):
    import pyarrow

    kind = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}[ending]
    path = tmp_path / (name + ending)
    with pyarrow.output_stream(str(path), compression=kind) as file:
        file.write(WHOLE[name])
    assert [row.messages for row in load_rows(path)[0]] == [MESSAGES, MESSAGES]
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match="cannot be read"):
        load_rows(path)


def test_parquet(tmp_path):
    from pyarrow import Table, parquet

    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    parquet.write_table(Table.from_pylist([{"messages": turns, "label": None}] * 2), tmp_path / "t.parquet")
    rows, _ = load_rows(tmp_path / "t.parquet")
    assert [row.messages for row in rows] == [MESSAGES, MESSAGES]
    put(tmp_path, "broken.parquet", b"PAR1 no")
    with pytest.raises(DataError, match="not a Parquet file"):
        load_rows(tmp_path / "broken.parquet")


def test_cells_that_json_cannot_hold(tmp_path):
    from pyarrow import Table, parquet

    image = b"\xff\xd8\xff and so on"
    good = {"query": "Hi", "response": b"Hello", "on": date(2024, 3, 20), "at": datetime(2024, 3, 20, 3, 6, 30)}
    good |= {"cost": Decimal("1.50"), "score": math.nan, "image": {"bytes": image, "path": "a.jpg"}, "raw": None}
    good |= {"took": timedelta(seconds=90), "most": math.inf}
    parquet.write_table(Table.from_pylist([good, good | {"raw": b"\xe9\x00"}]), tmp_path / "t.parquet")
    [row], [rejected] = load_rows(tmp_path / "t.parquet")
    assert row.messages == (Message("user", "<image>Hi"), Message("assistant", "Hello"))
    assert row.images == ("data:image/jpeg;base64," + base64.b64encode(image).decode(),)
    extra = {"on": "2024-03-20", "at": "2024-03-20T03:06:30", "cost": "1.50", "took": "0:01:30", "most": "inf"}
    assert row.extra == extra
    assert (rejected.line, rejected.reason[:32]) == (2, "column 'raw' holds 2 bytes that ")
    assert to_row(json.loads(json.dumps(row.as_dict(), allow_nan=False))) == row


def test_a_damaged_parquet_file_says_how_far_it_was_read(tmp_path):
    from pyarrow import Table, parquet

    path = tmp_path / "t.parquet"
    parquet.write_table(Table.from_pylist([GOOD | {"n": n} for n in range(5000)]), path, row_group_size=2500)
    content = bytearray(path.read_bytes())
    place = parquet.ParquetFile(path).metadata.row_group(1).column(2)
    start = place.dictionary_page_offset or place.data_page_offset
    content[start : start + place.total_compressed_size] = b"\xff" * place.total_compressed_size
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged behind row 2"):
        load_rows(path)


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
    "an error in the middle of a table": (b"t.csv", b'query,response\n"Hi"x,Hello\nHi,Hello\n', 2, "not CSV"),
    "a table with one byte of Latin-1": (b"t.csv", b"query,response\nHi,\xe9\nHi,Hello\n", 2, "not UTF-8: byte 0xe9"),
    "NaN": (b"lines.jsonl", ROW + b'\n{"query": "a", "response": "b", "label": NaN}\n', 2, "NaN is no number"),
    "half a character": (b"lines.jsonl", ROW + b'\n{"query": "\\ud83d", "response": "b"}\n', 2, "half a character"),
    "a null row": (b"lines.jsonl", ROW + b"\nnull\n", 2, "not null"),
    "a row of nulls": (b"lines.jsonl", ROW + b'\n{"query": null, "response": null}\n', 2, "no known format"),
    "an empty row": (b"lines.jsonl", ROW + b"\n{}\n", 2, "no known format"),
    "a null in a list": (b"l.json", b"[" + ROW + b", null]", 2, "not null"),
    "a huge row that is cut": (b"lines.jsonl", ROW + b'\n{"query": "' + b"x" * 5_000_000, 2, "not JSON"),
    "half of UTF-16": (b"lines.jsonl", ROW + b"\n" + '{"query": "a"}'.encode("utf-16-le") + b"\n", 2, "not JSON"),
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
        ("empty.csv", b"", "no row can be read"),
        ("header.csv", b"query,response\n", "no row can be read"),
        ("empty.parquet", b"", "not a Parquet file"),
        ("blank.txt", b"\n  \n", "no row can be read"),
        ("utf16.jsonl", '{"query": "a"}'.encode("utf-16"), "not UTF-8"),
        ("null.json", b"null", "a list of rows"),
        ("packed.jsonl.gz", b"not gzip", "cannot be read"),
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


def test_schemas_may_differ_from_row_to_row(tmp_path):
    lines = [
        {"text": "春分"},
        {"messages": [{"role": "user", "content": "Hi"}]},
        {"prompt": "a", "chosen": "b", "rejected": "c"},
    ]
    rows, rejected = load_rows(put(tmp_path, "mixed.jsonl", "\r\n".join(map(json.dumps, lines)).encode()))
    assert [row.kind for row in rows] == ["text", "prompt", "preference"] and not rejected


def test_a_huge_row_is_read(tmp_path):
    rows, _ = load_rows(put(tmp_path, "huge.csv", b"query,response\nHi," + b"x" * 2_000_000 + b"\n"))
    assert len(rows[0].messages[1].content) == 2_000_000
