"""chunfen menu: the verbs in both languages. Each item asks what it must, shows its command, and runs it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chunfen.cli.messages import both, message
from chunfen.errors import SettingError


@dataclass(frozen=True)
class Item:
    """A menu entry: a message key, the command with {answers} in it, or further entries."""

    key: str
    command: tuple[str, ...] = ()
    items: tuple[Item, ...] = ()

    @property
    def questions(self) -> tuple[str, ...]:
        """The answers that the command needs."""
        return tuple(word.strip("{}") for word in self.command if word.startswith("{"))


MENU = Item(
    "title",
    items=(
        Item("download", ("models", "download", "{model}")),
        Item(
            "inference",
            items=(
                Item("chat", ("infer", "--model", "{model}")),
                Item("evaluate", ("audit", "--model", "{model}")),
            ),
        ),
        Item(
            "bias",
            items=(
                Item("balance", ("balance", "--model", "{model}")),
                Item("rehearse", ("balance", "--quick", "--model", "{model}")),
                Item("audit", ("audit", "--model", "{model}")),
                Item("repair", ("repair", "--model", "{model}")),
            ),
        ),
        Item(
            "training",
            items=(
                Item("sft", ("sft", "--model", "{model}", "--dataset", "{dataset}")),
                Item("dpo", ("dpo", "--model", "{model}", "--dataset", "{dataset}")),
                Item("merge", ("merge", "--adapters", "{adapter}", "--output", "{folder}")),
                Item("datasets", ("data", "list")),
            ),
        ),
        Item(
            "records",
            items=(
                Item("report", ("report", "{run}")),
                Item("list", ("runs", "list")),
                Item("show", ("runs", "show", "{run}")),
                Item("compare", ("runs", "compare", "{run}", "{other_run}")),
                Item("repeat", ("runs", "repeat", "{run}")),
            ),
        ),
    ),
)


def menu() -> int:
    """Choose from a menu (中文 / English)."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise SettingError(message("menu.needs_terminal"))
    walk(MENU, leave="exit")
    return 0


def walk(item: Item, leave: str) -> None:
    """Show the entries of a menu until the user leaves it."""
    import questionary

    known = {entry.key: entry for entry in item.items}
    choices = [questionary.Choice(both(f"menu.{key}"), key) for key in (*known, leave)]
    while True:
        chosen = questionary.select(both(f"menu.{item.key}"), choices, instruction=" ").ask()
        if chosen is None or chosen == leave:
            return
        if known[chosen].items:
            walk(known[chosen], leave="back")
        else:
            offer(known[chosen])


def offer(item: Item) -> None:
    """Ask what the command needs, show it, and run it if the user agrees. Escaping a question goes back."""
    import questionary

    answers: dict[str, str] = {}
    for question in item.questions:
        answer = ASK[question](answers)
        if not answer:
            return
        answers[question] = answer
    words = filled(item.command, answers)
    print(f"\n{both('menu.command')}\n  {shlex.join(['chunfen', *words])}\n", flush=True)
    if questionary.confirm(both("menu.go")).ask():
        # A process of its own: whatever the command holds in memory goes when it ends.
        with suppress(KeyboardInterrupt):
            subprocess.run([sys.executable, "-m", "chunfen", *words], check=False)


def filled(command: tuple[str, ...], answers: Mapping[str, str]) -> list[str]:
    """The command with the answers in their places.

    >>> filled(("infer", "--model", "{model}"), {"model": "qwen-7b-chat"})
    ['infer', '--model', 'qwen-7b-chat']
    """
    return [answers[word.strip("{}")] if word.startswith("{") else word for word in command]


def _ask_model(answers: Mapping[str, str]) -> str | None:
    import questionary

    from chunfen.models import catalog
    from chunfen.settings.model import ModelSettings

    default = ModelSettings.model_fields["model"].default
    answer: str | None = questionary.autocomplete(both("ask.model"), list(catalog()), default=default).ask()
    return answer.strip() if answer else None


def _ask_run(question: str) -> Callable[[Mapping[str, str]], str | None]:
    def ask(answers: Mapping[str, str]) -> str | None:
        import questionary

        from chunfen.runs import list_runs

        runs = [run for run in reversed(list_runs(Path("runs"))) if run.name not in answers.values()]
        if not runs:
            print(message("runs.none", folder="runs"))
            return None
        choices = [questionary.Choice(f"{run.name}  {run.status}", run.name) for run in runs]
        answer: str | None = questionary.select(both(f"ask.{question}"), choices, instruction=" ").ask()
        return answer

    return ask


def _ask_dataset(answers: Mapping[str, str]) -> str | None:
    import questionary

    from chunfen.data.catalog import known

    answer: str | None = questionary.autocomplete(both("ask.dataset"), [spec.name for spec in known()]).ask()
    return answer.strip() if answer else None


def _ask_path(question: str) -> Callable[[Mapping[str, str]], str | None]:
    def ask(answers: Mapping[str, str]) -> str | None:
        import questionary

        answer: str | None = questionary.path(both(f"ask.{question}"), only_directories=True).ask()
        return answer.strip() if answer else None

    return ask


ASK: dict[str, Callable[[Mapping[str, str]], str | None]] = {
    "model": _ask_model,
    "dataset": _ask_dataset,
    "adapter": _ask_path("adapter"),
    "folder": _ask_path("folder"),
    "run": _ask_run("run"),
    "other_run": _ask_run("other_run"),
}
