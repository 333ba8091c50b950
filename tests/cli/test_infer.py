"""Talking to a model through the command line: in a pipe, at a terminal, and for a whole data set."""

import json
import os
import pty
import re
import shutil
import signal
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import StringIO
from pathlib import Path

import pytest

from chunfen.cli.chat_commands import COMMANDS
from chunfen.cli.messages import catalog, message
from chunfen.data.load import load_rows
from chunfen.data.source import load_datasets
from chunfen.runs import list_runs
from chunfen.settings.data import DataSettings
from random_adapters import random_adapter

from .conftest import Command, Done


@pytest.fixture
def talk(chunfen: Command, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch):
    """Send lines through a pipe: talk("hello", "/exit", "--max_new_tokens", 3) → Done; flags follow the lines."""

    def lines(*words: object, model: Path = tiny_model_dir) -> Done:
        flags = next((n for n, word in enumerate(words) if str(word).startswith("--")), len(words))
        monkeypatch.setattr(sys, "stdin", StringIO("".join(f"{word}\n" for word in words[:flags])))
        short = () if "--max_new_tokens" in words else ("--max_new_tokens", 4)
        return chunfen("infer", "--model", model, "--lang", "en", *short, *words[flags:])

    return lines


@pytest.mark.slow
def test_the_default_model_answers_one_question(chunfen: Command, default_model_dir: Path) -> None:
    question = ("--prompt", "What is the capital of France?", "--temperature", 0, "--max_new_tokens", 12)
    done = chunfen("infer", "--model", default_model_dir, *question)
    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout
    assert done.stderr == ""
    assert not Path("runs").exists()


def test_every_line_of_a_pipe_is_a_turn_and_the_same_seed_says_the_same(talk) -> None:
    said = [talk("hello", "", "/clear", "hello", "/exit", "who", "--max_new_tokens", 3) for _ in range(2)]
    assert said[0] == said[1]
    assert sys.stdin.read() == "who\n"
    assert said[0].returncode == 0 and said[0].stderr == message("chat.cleared", "en") + "\n"
    first, second = said[0].stdout.splitlines()
    assert first == second and first.strip()


def test_turns_of_several_lines_and_turns_that_begin_with_a_slash(talk, tmp_path: Path) -> None:
    done = talk('"""hello', "who", 'is"""', "/multiline", "a", '"""', '"""nurse"""', "//clear", "/save a.jsonl")
    assert done.returncode == 0, done.stderr
    assert len(talk('"""never', "ended").stdout.splitlines()) == 1
    (row,), rejected = load_rows(tmp_path / "a.jsonl")
    assert [turn.content for turn in row.messages[::2]] == ["hello\nwho\nis", "a", "nurse", "/clear"]
    assert not rejected


def test_a_saved_conversation_is_a_row_with_what_was_undone_left_out(talk, tmp_path: Path) -> None:
    done = talk("/system a nurse", "hello", "who", "/undo", "is a man ?", "/save a.jsonl", "/save a.jsonl")
    assert done.returncode == 0, done.stderr
    one, other = load_rows(tmp_path / "a.jsonl")[0]
    assert one == other
    assert [turn.role for turn in one.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert [one.messages[n].content for n in (0, 1, 3)] == ["a nurse", "hello", "is a man ?"]
    replies = done.stdout.splitlines()
    assert [one.messages[2].content, one.messages[4].content] == [replies[0], replies[2]]


def test_another_try_is_another_reply_and_at_temperature_0_the_same(talk) -> None:
    one, other, first, again = talk("hello", "/retry", "/set temperature 0", "/retry", "/retry").stdout.splitlines()
    assert one != other
    assert first == again


def test_settings_are_changed_during_the_chat_and_checked(talk) -> None:
    done = talk("/set temperature=0", "hello", "/set max-new-tokens 2", "/retry", "/set top_p 1.5", "/set tempratur 1")
    long, short = done.stdout.splitlines()
    assert len(long.split()) == 4 and short.split() == long.split()[:2]
    assert done.returncode == 1
    shown, shorter, *errors = done.stderr.splitlines()
    assert "temperature 0.0" in shown and "max_new_tokens 2" in shorter
    assert "--top_p: '1.5' is not accepted" in errors[0] and "Did you mean 'temperature'" in errors[1]


def test_the_system_prompt_is_changed_during_the_chat(talk) -> None:
    plain, asked = (talk("hello", *more).stdout for more in ((), ("--system", "a nurse ?")))
    assert plain != asked
    turns = ("hello", "/clear", "/system off", "hello", "/clear", "/system a nurse ?", "hello")
    assert talk(*turns, "--system", "?").stdout.splitlines()[1:] == [plain.rstrip("\n"), asked.rstrip("\n")]


def test_one_question_is_answered_with_all_adapters_applied(talk, tiny_model_dir: Path, tmp_path: Path) -> None:
    one, two = (random_adapter(tiny_model_dir, tmp_path / name, seed) for seed, name in enumerate(("one", "two")))
    ask = ("--prompt", "hello", "--temperature", 0, "--max_new_tokens", 8)
    both, last = (talk(*ask, "--adapters", *given).stdout for given in ((one, two), (two,)))
    data = tmp_path / "data.jsonl"
    data.write_text('{"query": "hello"}\n')
    batch = talk("--dataset", data, *ask[2:], "--adapters", one, two)
    assert json.loads(Path(batch.stdout.strip()).read_text())["response"] + "\n" == both != last


def test_mistakes_are_said_and_the_conversation_goes_on(talk) -> None:
    wrong = (
        "/undo",
        "/retry",
        "/save",
        "/save a.txt",
        "/save no/where/a.jsonl",
        "/set top_k",
        "/adapter nowhere",
        "/exti",
    )
    done = talk(*wrong, "hello")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    assert len(done.stderr.splitlines()) == len(wrong)
    assert "Did you mean '/exit'" in done.stderr.splitlines()[-1]


def test_help_names_every_command(talk) -> None:
    said = talk("/help").stderr
    assert all(f"/{name}" in said for name in (*COMMANDS, "exit", "multiline"))


def test_several_adapters_begin_with_the_last_one_on(talk, tiny_model_dir: Path, tmp_path: Path) -> None:
    one, two = (random_adapter(tiny_model_dir, tmp_path / name, seed) for seed, name in enumerate(("one", "two")))
    greedy = ("--temperature", 0)
    alone = [talk("hello", *greedy, *more).stdout for more in ((), ("--adapters", one), ("--adapters", two))]
    assert len(set(alone)) == 3
    turns = (
        "hello",
        "/clear",
        "/adapter one",
        "hello",
        "/clear",
        "/adapter off",
        "hello",
        "/clear",
        "/adapter",
        "hello",
    )
    done = talk(*turns, *greedy, "--adapters", one, two)
    plain, first, second = (text.strip("\n") for text in alone)
    assert done.stdout.split("\n")[:-1] == [second, first, plain, plain]
    said = [line for line in done.stderr.splitlines() if "Adapters" in line]
    assert said == [f"Adapters: one, two. On: {active}." for active in ("two", "one", "off", "off")]
    loaded = talk(f"/adapter {one}", "hello", *greedy)
    assert loaded.stdout == alone[1]


def test_a_long_conversation_leaves_out_its_oldest_turns_and_says_so(
    talk, tiny_model_dir: Path, tmp_path: Path
) -> None:
    short = Path(shutil.copytree(tiny_model_dir, tmp_path / "short"))
    config = json.loads((short / "config.json").read_text())
    (short / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 30}))
    done = talk(*["hello who is a nurse ?"] * 3, "hello " * 40, "/save a.jsonl", model=short)
    assert len(done.stdout.splitlines()) == 3
    said = done.stderr.splitlines()
    assert said[0] == message("chat.forgot", "en", count=1)
    assert "the model reads 30" in said[-2]
    (row,), _ = load_rows(tmp_path / "a.jsonl")
    assert len(row.messages) == 6


def test_a_base_model_continues_the_text(talk, tiny_model_dir: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(tiny_model_dir, tmp_path / "base"))
    (base / "chat_template.jinja").unlink()
    done = talk("hello who", "/system hello", model=base)
    assert "has no chat template" in done.stderr.splitlines()[0]
    assert "no place for a system prompt" in done.stderr.splitlines()[1]
    assert len(done.stdout.splitlines()) == 1
    refused = talk("hello", "--system", "hello", model=base)
    assert refused.returncode == 2 and "no place for a system prompt" in refused.stderr


def test_a_data_set_is_answered_in_a_run_folder(chunfen: Command, tiny_model_dir: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"query": "hello", "response": "who"}\nbroken\n{"query": "is a man ?"}\n')
    words = ("infer", "--model", tiny_model_dir, "--dataset", data, "--max_new_tokens", 3, "--lang", "en")
    done = chunfen(*words)
    assert done.returncode == 0, done.stderr
    (run,) = list_runs(tmp_path / "runs")
    assert run.status == "done" and Path(done.stdout.strip()) == run.folder.relative_to(tmp_path) / "results.jsonl"
    assert len((run.folder / "results.jsonl").read_text().splitlines()) == 2
    assert "cannot be read or asked: 1;" in done.stderr and "Rows answered: 2" in done.stderr
    refused = chunfen(*words, "--result_path", data)
    assert refused.returncode == 2 and "is there already" in refused.stderr
    assert len(list_runs(tmp_path / "runs")) == 1


def test_what_an_adapter_was_evaluated_on_is_answered_without_naming_it(
    chunfen: Command, tiny_model_dir: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text(
        "".join(f'{{"query": "hello {word}", "response": "who"}}\n' for word in ["man", "woman", "nurse", "is"])
    )
    words = ("sft", "--model", tiny_model_dir, "--dataset", data, "--split_dataset_ratio", 0.5, "--max_steps", 1)
    trained = chunfen(*words, "--output_dir", tmp_path / "trained")
    assert trained.returncode == 0, trained.stderr
    (adapter,) = (tmp_path / "trained").rglob("adapter")
    answer = ("infer", "--adapters", adapter, "--max_new_tokens", 2, "--load_data_args", "true")
    done = chunfen(*answer, "--result_path", tmp_path / "replies.jsonl")
    assert done.returncode == 0, done.stderr
    asked = {json.loads(line)["messages"][0]["content"] for line in (tmp_path / "replies.jsonl").open()}
    settings = json.loads((adapter / "chunfen.json").read_text())["settings"]
    kept = load_datasets((str(data),), DataSettings(split_dataset_ratio=0.5, data_seed=settings["seed"])).validation
    assert len(asked) == 2 and asked == {row.prompt[0].content for row in kept}
    both = chunfen(*answer, "--dataset", data)
    assert both.returncode == 2 and "give one of them" in both.stderr
    nothing = chunfen("infer", "--model", tiny_model_dir, "--load_data_args", "true")
    assert nothing.returncode == 2 and "does not say what was learned" in nothing.stderr


class Terminal:
    """A command at a pseudo-terminal: what is typed, what is seen."""

    def __init__(self, ours: int) -> None:
        self.ours, self.seen = ours, ""

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def until(self, pattern: str, seconds: float = 120) -> str:
        """What is shown up to the pattern, which is then behind us."""
        os.set_blocking(self.ours, False)
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.seen)):
            assert time.monotonic() < deadline, f"{pattern!r} was not seen in {self.seen!r}"
            try:
                self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", os.read(self.ours, 65536).decode())
            except BlockingIOError:
                time.sleep(0.01)
        before, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return before.replace("\r\n", "\n")


@contextmanager
def terminal(*words: object) -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    """`chunfen infer` with its own terminal, ended whatever happens."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "chunfen", "infer", "--lang", "en", *map(str, words)]
    settings = {**os.environ, "TERM": "xterm", "INPUTRC": os.devnull}
    enter = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", enter, *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env=settings,
        # A shell that starts the tests in the background has Ctrl-C ignored, and that is inherited.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    os.close(theirs)
    try:
        yield Terminal(ours), process
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.slow
def test_at_a_terminal_adapters_are_switched_replies_stream_and_are_stopped(
    tiny_model_dir: Path, tmp_path: Path
) -> None:
    one, two = (random_adapter(tiny_model_dir, tmp_path / name, seed) for seed, name in enumerate(("one", "two")))
    flags = ("--model", tiny_model_dir, "--temperature", 0, "--max_new_tokens", 6)
    with terminal(*flags, "--adapters", one, two) as (screen, process):
        assert "Adapters: one, two. On: two." in screen.until("you> ")
        replies = {}
        for name in ("two", "one", "off", "two"):
            screen.type(f"/adapter {name}\n")
            screen.until(f"On: {name}.")
            screen.until("you> ")
            screen.type("/clear\nhello\n")
            screen.until("you> hello\n".replace("\n", "\r\n"))
            reply = screen.until("you> ").removesuffix("you> ").strip()
            assert replies.setdefault(name, reply) == reply
        assert len(set(replies.values())) == 3
        screen.type("\x1b[A")  # the arrow up brings the last line back
        screen.until("hello")
        screen.type("\x03")  # Ctrl-C drops the line
        screen.until("you> ")
        screen.type("\x04")  # Ctrl-D
        assert process.wait(timeout=60) == 0


@pytest.mark.slow
def test_ctrl_c_stops_a_reply_that_streams_and_not_the_chat(default_model_dir: Path, tmp_path: Path) -> None:
    flags = ("--model", default_model_dir, "--temperature", 0, "--max_new_tokens", 4000)
    with terminal(*flags) as (screen, process):
        screen.until("you> ")
        screen.type("Write a very long story about a village by the sea, with many chapters.\n")
        screen.until(r"chapters\.\r\n")
        begun = time.monotonic()
        first = screen.until(r"\w+ \w+ \w+ ")
        more = screen.until(r"\w+ \w+ \w+ ")
        assert time.monotonic() - begun < 60  # a reply of 4000 tokens takes longer
        screen.type("\x03")
        rest = screen.until("Stopped.")
        screen.until("you> ")
        screen.type(f"/save {tmp_path}/a.jsonl\n")
        screen.until("Added to")
        (row,), _ = load_rows(tmp_path / "a.jsonl")
        seen = (first + more + rest).removesuffix("Stopped.").replace("^C", "")  # the terminal shows the key, too
        assert row.messages[1].content.split() == seen.split()
        screen.until("you> ")
        screen.type("/set max_new_tokens 12\nWhat is the capital of France?\n")
        screen.until(r"France\?\r\n")
        assert screen.until("you> ").strip()
        process.terminate()
        assert process.wait(timeout=60) == 143


def test_every_message_has_both_languages_and_the_same_places() -> None:
    for key, texts in catalog().items():
        assert set(texts) == {"en", "zh"}, key
        places = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in texts.values()]
        assert places[0] == places[1], key
