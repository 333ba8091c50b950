"""A data set is answered row by row; nothing is lost, and a killed run ends with the same file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from chunfen.data.formats import to_row
from chunfen.engines.batch import answer_data_set, check
from chunfen.errors import DataError, RunError, SettingError
from chunfen.models.loading import load_model
from chunfen.runs import Run
from chunfen.settings.commands import InferCommand

WORDS = ("hello", "who", "is", "a", "nurse", "man", "woman", ".", "?")


def rows(count: int) -> list[dict[str, Any]]:
    """Different questions, some with answers, some with a system prompt."""
    found = []
    for n in range(count):
        asked = " ".join(WORDS[(n * k) % len(WORDS)] for k in range(1, 3 + n % 5)) + f" w{n}"
        found.append({"query": asked, "response": "a woman", "id": n} if n % 2 else {"query": asked, "id": n})
        if n % 3 == 0:
            found[-1]["system"] = "hello"
    return found


def write(path: Path, found: list[Any]) -> Path:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in found))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def settings(model: Path, data: Path, folder: Path, **more: Any) -> InferCommand:
    given = {"max_new_tokens": 6, "temperature": 1.2, "max_batch_size": 4, "output_dir": folder / "runs"} | more
    return InferCommand(model=str(model), dataset=(str(data),), **given)


def answered(asked: InferCommand, run: Run | None = None) -> tuple[Run, list[dict[str, Any]]]:
    run = run or Run.create("infer", asked)
    with run:
        return run, read(answer_data_set(asked, run).path)


def test_every_row_gets_its_reply_in_order_and_is_a_row_again(tiny_model_dir: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", rows(10))
    run, lines = answered(settings(tiny_model_dir, data, tmp_path))
    assert [line["row"] for line in lines] == [line["id"] for line in lines] == list(range(10))
    assert [line["labels"] for line in lines] == ["a woman" if n % 2 else None for n in range(10)]
    for raw, line in zip(rows(10), lines, strict=True):
        assert line["messages"][-1] == {"content": line["response"], "role": "assistant"}
        assert [turn["content"] for turn in line["messages"] if turn["role"] == "user"] == [raw["query"]]
        assert [turn["content"] for turn in line["messages"] if turn["role"] == "system"] == (
            ["hello"] if "system" in raw else []
        )
        if line["response"].strip():
            assert to_row(line).messages == to_row({"messages": line["messages"]}).messages
    assert len({line["response"] for line in lines}) > 5
    assert not (run.folder / "rejected_rows.jsonl").read_text()
    assert [m["rows"] for m in run.metrics()] == [4, 8, 10]


def test_replies_depend_on_the_seed_and_not_on_the_size_of_batches(tiny_model_dir: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", rows(10))
    _, one = answered(settings(tiny_model_dir, data, tmp_path))
    _, other = answered(settings(tiny_model_dir, data, tmp_path, max_batch_size=64, batch_tokens=64))
    _, seeded = answered(settings(tiny_model_dir, data, tmp_path, seed=7))
    assert one == other != seeded


def test_several_replies_to_each_row(tiny_model_dir: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", rows(3))
    _, lines = answered(settings(tiny_model_dir, data, tmp_path, num_return_sequences=3))
    assert [(line["row"], line["sample"]) for line in lines] == [(n, k) for n in range(3) for k in range(3)]
    _, single = answered(settings(tiny_model_dir, data, tmp_path))
    assert [line["response"] for line in lines[::3]] == [line["response"] for line in single]


def test_what_a_row_said_about_its_own_answer_is_kept_apart(tiny_model_dir: Path, tmp_path: Path) -> None:
    pair = {"prompt": "who is a nurse", "chosen": "a woman", "rejected": "a man", "source": "me", "row": "old"}
    wanted = {"messages": [{"role": "user", "content": "who"}, {"role": "assistant", "content": "a"}], "label": False}
    data = write(tmp_path / "data.jsonl", [pair, wanted, {"text": "hello who", "label": 2}, {"text": "hello who"}])
    _, lines = answered(settings(tiny_model_dir, data, tmp_path))
    assert lines[0]["labels"] == "a woman" and lines[0]["source"] == "me" and lines[0]["row"] == 0
    assert lines[0]["given"]["rejected_messages"][-1]["content"] == "a man"
    assert lines[1]["labels"] == "a" and lines[1]["given"] == {"label": False}
    assert lines[2]["labels"] == 2
    assert lines[3]["text"] == "hello who" + lines[3]["response"] and "messages" not in lines[3]
    assert all(not {"label", "rejected_messages"} & set(line) for line in lines)


def test_rows_that_cannot_be_read_or_asked_are_listed_and_never_dropped(tiny_model_dir: Path, tmp_path: Path) -> None:
    image = {"query": "<image> who", "images": ["a.png"]}
    tools = {"query": "who", "tools": [{"name": "look", "parameters": {}}]}
    long = {"query": "who " * 3000}
    data = write(tmp_path / "data.jsonl", [{"query": "who"}, "{broken", image, {"query": "is"}, tools, long])
    asked = settings(tiny_model_dir, data, tmp_path)
    run, lines = answered(asked)
    assert [(line["row"], line["messages"][0]["content"]) for line in lines] == [(0, "who"), (2, "is")]
    listed = read(run.folder / "rejected_rows.jsonl")
    assert listed[0]["line"] == 2 and listed[0]["file"] == str(data)
    assert [(line["row"], line["reason"].split()[2]) for line in listed[1:]] == [
        (1, "images,"),
        (3, "tools,"),
        (4, "reply"),
    ]
    with pytest.raises(DataError, match="line 2"):
        answered(asked.model_copy(update={"strict": True}))
    only = write(tmp_path / "only.jsonl", [image])
    with pytest.raises(DataError, match="row 0 cannot be asked: it has images"):
        answered(settings(tiny_model_dir, only, tmp_path))


def test_a_template_that_refuses_a_row_gives_its_reason(tiny_model_dir: Path, tmp_path: Path) -> None:
    model = load_model(str(tiny_model_dir))
    strict = "{% if messages[0].role == 'system' %}{{ raise_exception('no system, please') }}{% endif %}"
    model.tokenizer.chat_template = strict + model.tokenizer.chat_template
    from chunfen.engines.batch import ask

    found = [to_row({"query": "who"}), to_row({"query": "who", "system": "hello"})]
    questions, refused = ask(found, model, 4)
    assert [q.number for q in questions] == [0] and [(r.row, r.reason) for r in refused] == [(1, "no system, please")]


@pytest.fixture
def base_model_dir(tiny_model_dir: Path, tmp_path: Path) -> Path:
    """The tiny model without a chat template."""
    import shutil

    folder = Path(shutil.copytree(tiny_model_dir, tmp_path / "base"))
    (folder / "chat_template.jinja").unlink()
    return folder


def test_a_base_model_continues_what_is_asked(base_model_dir: Path, tmp_path: Path) -> None:
    data = write(
        tmp_path / "data.jsonl", [{"query": "hello who"}, {"text": "hello who"}, {"query": "a", "system": "b"}]
    )
    asked = settings(base_model_dir, data, tmp_path)
    run, lines = answered(asked)
    assert lines[0]["response"] == lines[1]["response"]
    assert read(run.folder / "rejected_rows.jsonl")[0]["row"] == 2
    with pytest.raises(SettingError, match="no place for a system prompt"):
        answered(asked.model_copy(update={"system": "hello"}))


@pytest.mark.parametrize("cut", ["within a line", "within a row", "between batches", "nothing written", "everything"])
def test_a_cut_file_is_completed_to_the_same_bytes(tiny_model_dir: Path, tmp_path: Path, cut: str) -> None:
    data, result = write(tmp_path / "data.jsonl", rows(11)), tmp_path / "out.jsonl"
    asked = settings(tiny_model_dir, data, tmp_path, num_return_sequences=2, result_path=result)
    run, _ = answered(asked)
    whole = result.read_bytes()
    lines = whole.splitlines(keepends=True)
    kept = {
        "within a line": b"".join(lines[:9]) + lines[9][:17],
        "within a row": b"".join(lines[:13]),
        "between batches": b"".join(lines[:8]),
        "nothing written": b"",
        "everything": whole,
    }
    result.write_bytes(kept[cut])
    with run:
        done = answer_data_set(asked, run)
    assert result.read_bytes() == whole
    assert done.rows == 11 and done.before == kept[cut].count(b"\n") // 2


def test_a_run_goes_on_only_with_what_it_began_with(tiny_model_dir: Path, tmp_path: Path) -> None:
    data, result = write(tmp_path / "data.jsonl", rows(4)), tmp_path / "out.jsonl"
    asked = settings(tiny_model_dir, data, tmp_path, result_path=result)
    run, _ = answered(asked)
    with pytest.raises(SettingError, match="is there already"):
        answered(asked)
    write(data, rows(5))
    with pytest.raises(RunError, match=r"the rows of .* changed"), run:
        answer_data_set(asked, run)
    write(data, rows(4))
    result.write_text('{"row": 3}\n')
    with pytest.raises(RunError, match="holds something else"), run:
        answer_data_set(asked, run)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"prompt": "who"}, "prompt and dataset"),
        ({"repetition_penalty": 1.2}, "repetition_penalty 1.2"),
        ({"num_return_sequences": 2, "temperature": 0.0}, "num_return_sequences 2"),
        ({"result_path": Path("out.csv")}, "result_path 'out.csv'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(tmp_path: Path, more: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingError, match=named):
        check(settings(tmp_path, tmp_path, tmp_path, **more))


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_bytes(default_model_dir: Path, tmp_path: Path) -> None:
    asked = [{"query": f"Name {n + 2} things that one finds in a kitchen.", "response": "a pan"} for n in range(24)]
    data = write(tmp_path / "data.jsonl", asked)
    words = [sys.executable, "-m", "chunfen", "infer", "--model", str(default_model_dir), "--dataset", str(data)]
    words += ["--max_new_tokens", "24", "--max_batch_size", "4", "--output_dir", str(tmp_path / "runs"), "--lang", "en"]
    words += ["--result_path"]
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    subprocess.run([*words, str(whole)], check=True, capture_output=True)
    process = subprocess.Popen([*words, str(cut)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not (cut.exists() and cut.read_bytes().count(b"\n") >= 8):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    there = cut.read_bytes()
    complete = there.count(b"\n")
    assert 8 <= complete < 24
    cut.write_bytes(there + there.splitlines()[0][:30])  # as if it had been killed while writing
    done = subprocess.run([*words, str(cut), "--resume"], check=True, capture_output=True, text=True)
    assert cut.read_bytes() == whole.read_bytes()
    assert done.stdout == f"{cut}\n" and f"had their replies from before: {complete}." in done.stderr
    assert "Rows answered: 24," in done.stderr
