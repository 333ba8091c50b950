"""chunfen data, on files with good and bad rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chunfen.cli.main import main
from chunfen.data.load import load_rows

LINES = [
    {"instruction": "Add.", "input": "2 and 3", "output": "5", "source": "me"},
    {"query": "Hi", "response": "Hello"},
    {"prompt": "Hi", "chosen": "Hello", "rejected": "What?"},
    {"query": "Hi", "response": "Hello"},
    {"query": "Hi", "response": ""},
]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES) + "{broken\n", encoding="utf-8")
    return path


def test_check_says_what_is_there_and_lists_what_cannot_be_read(source, capsys):
    assert main(["data", "check", str(source)]) == 0
    said = capsys.readouterr().out
    assert "2 rows cannot be read; rejected_rows.jsonl lists them all" in said
    assert f"{source}, line 5: messages, message 2: the assistant says nothing" in said
    facts = dict(line.rsplit(maxsplit=1) for line in said.splitlines() if line[-1:].isdigit())
    assert (facts["rows"], facts["of these conversation"], facts["of these preference"]) == ("4", "3", "1")
    assert facts["with another column 'source'"] == "1"
    assert "several kinds" in said and "1 of 4 rows repeat an earlier one" in said
    listed = [json.loads(line) for line in Path("rejected_rows.jsonl").read_text().splitlines()]
    assert [(row["file"], row["line"]) for row in listed] == [(str(source), 5), (str(source), 6)]


def test_strict_stops_at_the_first_bad_row(source, capsys):
    assert main(["data", "check", str(source), "--strict"]) == 1
    assert "line 5: messages, message 2" in capsys.readouterr().err
    assert not Path("rejected_rows.jsonl").exists()


def test_show_prints_conversations(source, capsys):
    assert main(["data", "show", str(source), "--row", "3", "--count", "1"]) == 0
    assert capsys.readouterr().out == "row 3: preference\nuser> Hi\nassistant> Hello\nrejected> What?\n"
    assert main(["data", "show", str(source), "--count", "1"]) == 0
    assert 'source: "me"' in capsys.readouterr().out
    assert main(["data", "show", str(source), "--row", "9"]) == 1
    assert "the last one that can be read is row 4" in capsys.readouterr().err
    assert main(["data", "show", str(source), "--row", "0"]) == 2


def test_convert_writes_what_reads_back_and_overwrites_nothing(source, capsys):
    assert main(["data", "convert", str(source), "new.jsonl"]) == 0
    assert "new.jsonl: 4 rows" in capsys.readouterr().out
    again, rejected = load_rows(Path("new.jsonl"))
    assert again == load_rows(source)[0]
    assert rejected == []
    before = Path("new.jsonl").read_bytes()
    assert main(["data", "convert", str(source), "new.jsonl"]) == 1
    assert "is there already" in capsys.readouterr().err
    assert Path("new.jsonl").read_bytes() == before


def test_show_and_check_by_a_model(source, tiny_model_dir, capsys):
    words = [{"query": "who is a nurse", "response": "a man ."}, {"text": "hello nurse"}]
    Path("words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in words), encoding="utf-8")
    assert main(["data", "show", "words.jsonl", "--model", str(tiny_model_dir)]) == 0
    said = capsys.readouterr().out
    assert "<|im_start|> user who is a nurse <|im_end|> <|im_start|> assistant⟦a man . <|im_end|>⟧" in said
    assert "row 1: 13 tokens, 4 learned" in said
    assert "⟦hello nurse <|im_end|>⟧" in said
    assert main(["data", "check", "words.jsonl", "--model", str(tiny_model_dir)]) == 0
    lengths = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("tokens"))
    assert lengths.split() == ["tokens", "3", "3", "3", "13", "13", "13"]
    assert main(["data", "show", "words.jsonl", "--model", "no-such-model"]) != 0


def test_list_shows_what_is_known_and_can_be_filtered(capsys):
    assert main(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "task", "rows", "languages", "hubs", "licence"] and len(lines) > 200
    assert next(line for line in lines if line.startswith("alpaca-en ")).split()[1:3] == ["sft", "52,002"]
    assert main(["data", "list", "--task", "dpo", "--hub", "shipped"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert names == ["preferences-en", "preferences-zh", "anti-bias"]
    assert main(["data", "list", "zhihu", "dpo-zh"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["dpo-zh"]
    assert main(["data", "list", "--task", "stf"]) == 2
    assert "Did you mean 'sft'" in capsys.readouterr().err


def test_names_subsets_and_numbers_of_rows_work_for_every_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "check", "instructions-en#50"]) == 0
    assert "rows                       50" in capsys.readouterr().out
    assert main(["data", "show", "identity", "--count", "1"]) == 0
    assert "{{NAME}}" in capsys.readouterr().out
    assert main(["data", "convert", "kto-zh#7", "seven.jsonl"]) == 0
    assert len(load_rows(Path("seven.jsonl"))[0]) == 7
    assert main(["data", "check", "instruction-en"]) == 2
    assert "Did you mean 'instructions-en'" in capsys.readouterr().err


def test_what_json_cannot_hold_is_shown_and_converted(tmp_path, monkeypatch, capsys):
    from datetime import date

    from pyarrow import Table, parquet

    monkeypatch.chdir(tmp_path)
    row = {"query": "Hi", "response": "Hello", "on": date(2024, 3, 20), "score": float("nan"), "raw": b"\xe9\x00"}
    parquet.write_table(Table.from_pylist([row, row | {"raw": b"text"}]), "rows.parquet")
    assert main(["data", "show", "rows.parquet"]) == 0
    assert 'on: "2024-03-20"' in capsys.readouterr().out
    assert main(["data", "convert", "rows.parquet", "rows.jsonl"]) == 0
    assert "rows.parquet, line 1: column 'raw' holds 2 bytes" in capsys.readouterr().out
    [line] = Path("rows.jsonl").read_text().splitlines()
    assert json.loads(line)["on"] == "2024-03-20" and "NaN" not in line


def test_show_reads_no_further_than_it_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text(json.dumps(LINES[1]) + "\n{broken\n")
    assert main(["data", "show", "rows.jsonl", "--count", "1", "--strict"]) == 0
    assert main(["data", "show", "rows.jsonl", "--count", "2", "--strict"]) == 1
    assert "line 2: not JSON" in capsys.readouterr().err
