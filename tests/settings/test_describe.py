"""Every option can be told to a person."""

import subprocess
import sys

import pytest

from chunfen.settings.aliases import BESIDE, current_name, older_names
from chunfen.settings.commands import COMMANDS, BalanceCommand
from chunfen.settings.describe import options
from chunfen.settings.resolve import resolve


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_option_has_help_that_ends_like_a_sentence(verb: str) -> None:
    for option in options(COMMANDS[verb]):
        assert option.help, option.name
        assert option.help.rstrip()[-1] in ".…", (option.name, option.help)


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_printed_default_is_accepted_and_means_the_default(verb: str) -> None:
    cls = COMMANDS[verb]
    typed = {o.name: o.default_text.split() if o.is_list else o.default_text for o in options(cls)}
    assert resolve(cls, None, typed).settings == cls()


def test_topics_come_in_the_order_in_which_they_are_inherited() -> None:
    topics = list(dict.fromkeys(option.topic.__name__ for option in options(BalanceCommand)))
    named = [c.__name__ for c in BalanceCommand.__mro__]
    assert topics == [name for name in named if name in topics]
    assert topics[0] == "ModelSettings"


def test_older_names_lead_to_one_name_and_never_hide_one_of_today() -> None:
    today = {option.name for cls in COMMANDS.values() for option in options(cls)}
    for old, new in older_names().items():
        assert old not in today
        assert current_name(old, [new]) == (old if old in BESIDE else new)


def test_nothing_heavy_is_imported_for_settings() -> None:
    code = "import sys, chunfen.settings.commands, chunfen.runs, chunfen.cli.verb; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "numpy", "scipy", "peft"} & set(done.stdout.split())
