"""Talking to a model through the command line."""

import string
import sys
from io import StringIO
from pathlib import Path

import pytest

from chunfen.cli.messages import catalog, message

from .conftest import Command


@pytest.mark.slow
def test_the_default_model_answers_one_question(chunfen: Command, default_model_dir: Path) -> None:
    question = ("--prompt", "What is the capital of France?", "--temperature", 0, "--max_new_tokens", 12)
    done = chunfen("infer", "--model", default_model_dir, *question)
    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout
    assert done.stderr == ""


def test_every_line_of_a_pipe_is_a_turn_and_the_same_seed_says_the_same(
    chunfen: Command, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []
    for _ in range(2):
        monkeypatch.setattr(sys, "stdin", StringIO("hello\n\n/clear\nhello\n/exit\nwho\n"))
        done = chunfen("infer", "--model", tiny_model_dir, "--max_new_tokens", 3, "--lang", "zh")
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
        assert sys.stdin.read() == "who\n"
    assert said[0] == said[1]
    assert said[0].count(message("chat.cleared", "zh")) == 1


def test_a_long_conversation_forgets_its_oldest_turns(tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from chunfen.cli.chat import Chat
    from chunfen.settings.commands import InferCommand

    chat = Chat.load(InferCommand(model=str(tiny_model_dir), max_new_tokens=4))
    chat.loaded.model.config.max_position_embeddings = 30
    for _ in range(6):
        chat.ask("hello who is a nurse ?")
        assert chat.turns[-2][0] == "user"
    assert 2 <= len(chat.turns) < 12


def test_every_message_has_both_languages_and_the_same_places() -> None:
    for key, texts in catalog().items():
        assert set(texts) == {"en", "zh"}, key
        places = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in texts.values()]
        assert places[0] == places[1], key
