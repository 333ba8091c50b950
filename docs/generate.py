"""Write docs/options.md and docs/commands.md from the settings and the command line.

python docs/generate.py [--check]     with --check: only say which page differs, and exit with 1
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

from chunfen.cli.main import VERBS
from chunfen.cli.verb import Verb
from chunfen.settings.aliases import older_names
from chunfen.settings.base import Settings
from chunfen.settings.commands import COMMANDS
from chunfen.settings.describe import Option, as_text, options

HERE = Path(__file__).parent
GENERATED = "<!-- Made by docs/generate.py. Change the settings classes or docstrings, and run it again. -->"


def cell(text: str) -> str:
    """A text that can stand in a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(map(cell, row)) + " |"
    yield ""


def topic_name(topic: type[Settings]) -> str:
    return topic.__name__.removesuffix("Settings")


def options_page() -> Iterator[str]:
    """Every option once, under its topic."""
    yield from ("# Options", "", GENERATED, "")
    yield "The same names are flags (`--lora_rank 8`, `--lora-rank 8`) and YAML keys (`lora_rank: 8`)."
    yield "Command line > YAML > settings saved with a checkpoint > defaults. Lists take spaces or commas."
    yield from ("`--dry_run` shows every value and where it came from.", "")
    topics: dict[type[Settings], list[Option]] = {}
    users: dict[type[Settings], list[str]] = {}
    for verb, cls in COMMANDS.items():
        for option in options(cls):
            known = topics.setdefault(option.topic, [])
            if option.name not in {o.name for o in known}:
                known.append(option)
            if verb not in users.setdefault(option.topic, []):
                users[option.topic].append(verb)
    for topic, found in topics.items():
        yield from (f"## {topic_name(topic)}", "", inspect.cleandoc(topic.__doc__ or ""), "")
        yield from ("Used by " + ", ".join(f"`{verb}`" for verb in users[topic]) + ".", "")
        rows = ((f"`{o.name}`", o.accepts, f"`{o.default_text}`", o.help) for o in found)
        yield from markdown_table(("option", "takes", "default", "what it does"), rows)
    today = {option.name for found in topics.values() for option in found}
    yield from ("## Older names", "", "Accepted, mapped, and named once in a warning.", "")
    known_names = ((f"`{old}`", f"`{new}`") for old, new in older_names().items() if new in today)
    yield from markdown_table(("older name", "today"), known_names)


def commands_page() -> Iterator[str]:
    """Every command with what it does and what it takes."""
    yield from ("# Commands", "", GENERATED, "", "`chunfen VERB [CONFIG.yaml] [--flag value …]`", "")
    yield "Exit codes: 0 done, 1 an error, 2 wrong usage, 3 a gate failed (`audit --fail_over`, a missed"
    yield from (
        "verdict), 130 interrupted, 143 ended by SIGTERM. `--traceback` shows where an error came from.",
        "",
    )
    for verb, (_, where) in VERBS.items():
        yield from command(f"chunfen {verb}", where)


def command(name: str, where: str) -> Iterator[str]:
    module, _, attribute = where.partition(":")
    found: Any = getattr(import_module(module), attribute)
    if attribute == "app":
        for part, (_, inner) in import_module(module).COMMANDS.items():
            yield from command(f"{name} {part}", inner)
        return
    yield from (f"## {name}", "", inspect.getdoc(found) or "", "")
    if isinstance(found, Verb):
        topics = dict.fromkeys(topic_name(option.topic) for option in options(found.settings))
        first = f"First argument: `{found.argument}`. " if found.argument else ""
        yield from (
            f"{first}Options: " + ", ".join(f"[{t}](options.md#{t.lower()})" for t in topics) + ".",
            "",
        )
    elif inspect.signature(found).parameters:
        yield from markdown_table(("argument", "default", "what it is"), arguments(found))


def arguments(function: Any) -> Iterator[tuple[str, str, str]]:
    """Name, default and help of each argument of a plain command."""
    hints = get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        option = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        required = parameter.default is inspect.Parameter.empty
        default = "" if required else f"`{as_text(parameter.default) or 'none'}`"
        name = f"--{parameter.name}" if option else parameter.name.upper()
        yield f"`{name}`", default, hints[parameter.name].__metadata__[0].help


def main(words: Sequence[str]) -> int:
    """Write the pages, or with --check say which would change."""
    pages = {"options.md": options_page, "commands.md": commands_page}
    drifted = []
    for name, page in pages.items():
        text, path = "\n".join(page()).rstrip() + "\n", HERE / name
        if "--check" not in words:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            drifted.append(name)
    if drifted:
        sys.stderr.write(f"{', '.join(drifted)} differ from the code; run python docs/generate.py\n")
    return 1 if drifted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
