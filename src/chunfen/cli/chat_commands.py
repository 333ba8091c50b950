"""The commands of a conversation: /help, /adapter … Each changes the chat, or says why it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from chunfen.cli.messages import message
from chunfen.cli.screen import say
from chunfen.errors import SettingError, did_you_mean
from chunfen.settings.describe import as_text
from chunfen.settings.generate import SamplingSettings
from chunfen.settings.resolve import resolve

if TYPE_CHECKING:
    from chunfen.cli.chat import Chat

BLOCK = '"""'
"""Begins and ends a turn of several lines."""
OFF = "off"


def perform(chat: Chat, line: str) -> bool:
    """Do what a line that begins with / says; False: end the conversation.

    Raises SettingError for what is no command or cannot be done; the chat is then as it was.
    """
    name, _, argument = line.removeprefix("/").partition(" ")
    if name == "exit":
        return False
    if name not in COMMANDS:
        hint = did_you_mean(f"/{name}", [f"/{known}" for known in (*COMMANDS, "exit", "multiline")])
        raise SettingError(f"/{name} is no command.{hint} /help lists them; // sends a turn that begins with a slash.")
    COMMANDS[name](chat, argument.strip())
    return True


def _help(chat: Chat, argument: str) -> None:
    say(message("chat.help", chat.lang).rstrip())


def _clear(chat: Chat, argument: str) -> None:
    chat.talk = chat.talk.cleared()
    say(message("chat.cleared", chat.lang))


def _system(chat: Chat, argument: str) -> None:
    """Show the system prompt, or set it for everything that follows."""
    if argument:
        system = None if argument == OFF else argument
        chat.require_place(system)
        chat.talk = replace(chat.talk, system=system)
    say(message("chat.system", chat.lang, system=chat.talk.system or "-"))


def _adapter(chat: Chat, argument: str) -> None:
    """Show the adapters, switch to one of them, or load one more."""
    adapters = chat.adapters
    if argument in (OFF, *adapters.names):
        adapters.use(None if argument == OFF else argument)
    elif argument:
        adapters.open(argument)
    names = ", ".join(adapters.names) or "-"
    say(message("chat.adapters", chat.lang, names=names, active=adapters.active or OFF))


def _set(chat: Chat, argument: str) -> None:
    """Show how replies are sampled, or change one of these settings."""
    if argument:
        name, _, value = argument.replace("=", " ").partition(" ")
        if not value.strip():
            raise SettingError(f"/set {name}: what to? Write /set {name} VALUE.")
        given = {name: value.strip()}
        chat.sampling = resolve(SamplingSettings, cli_values=given, saved=chat.sampling.model_dump()).settings
    say("  ".join(f"{name} {as_text(value)}" for name, value in chat.sampling))


def _retry(chat: Chat, argument: str) -> None:
    chat.retry()


def _undo(chat: Chat, argument: str) -> None:
    chat.talk = chat.talk.undone()
    say(message("chat.undone", chat.lang, count=len(chat.talk.turns) // 2))


def _save(chat: Chat, argument: str) -> None:
    """Add the conversation to a file of rows."""
    path = Path(argument).expanduser()
    if path.suffix != ".jsonl":
        raise SettingError(f"/save {argument}: name a file that ends in .jsonl; a line is added to it.")
    line = json.dumps(chat.talk.row().as_dict(), ensure_ascii=False)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    say(message("chat.saved", chat.lang, path=path))


COMMANDS: dict[str, Callable[[Chat, str], None]] = {
    "help": _help,
    "clear": _clear,
    "system": _system,
    "adapter": _adapter,
    "set": _set,
    "retry": _retry,
    "undo": _undo,
    "save": _save,
}
"""What stands behind the slash → what it does. /exit and /multiline are a matter of reading."""
