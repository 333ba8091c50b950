"""Guard sets as files: JSON Lines, the first line a header that says what the set is, then one item a line.

    read_set("cloze.en.jsonl") → GuardSet(header, items, version) → chunfen.benchmarks.probes

Everything in a file is checked when it is read; an error names the file and the line.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from chunfen.errors import DataError
from chunfen.measure.types import Split

Kind = Literal["choice", "text", "minimal_pair", "preference", "chat", "reply"]
Text = Annotated[str, Field(min_length=1, pattern=r"^\S(?s:.*\S)?$")]
"""A text that begins and ends with a character that is seen."""


class Part(BaseModel):
    """One line of a file: frozen, and with no key that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Header(Part):
    """What a set is.

    kind: the shape of its items, and with it how they are asked and read. formula: the scores, in words.
    axis, endpoint: coordinates of its probe; the endpoint is the set's name where none is given.
    template: of a choice's prompt. max_new_tokens: of a reply.
    """

    name: Text
    language: Text
    version: Annotated[int, Field(ge=1)]
    licence: Text
    kind: Kind
    about: Text
    formula: Text
    axis: Text = "general"
    endpoint: str = ""
    template: Annotated[Text, Field(pattern=r"\{question\}")] = "{question}"
    max_new_tokens: Annotated[int, Field(ge=1)] = 32


class Item(Part):
    """What every item has. topic: for people who look for patterns."""

    id: Text
    split: Split
    topic: str = ""

    def texts(self) -> tuple[str, ...]:
        """What is asked, all of it: two items of a set never share it."""
        return tuple(str(v) for k, v in self if k not in ("id", "split", "topic"))


class Choice(Item):
    """A question (or the beginning of a sentence), its right answer and three plausible wrong ones."""

    question: Text
    right: Text
    wrong: Annotated[tuple[Text, ...], Field(min_length=3, max_length=3)]

    @model_validator(mode="after")
    def _options_differ(self) -> Self:
        if len({option.lower() for option in (self.right, *self.wrong)}) < 4:
            raise ValueError("the four options must be different")
        return self

    def texts(self) -> tuple[str, ...]:
        return (self.question,)


class Paragraph(Item):
    """A text of some length."""

    text: Text

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        if len(self.text.split()) < 10:
            raise ValueError("a paragraph has at least ten words")
        return self


class TwoTexts(Item):
    """Two texts that begin alike."""

    def sides(self) -> tuple[str, str]:
        """The text that counts as a hit, and the other."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _one_beginning(self) -> Self:
        first, second = self.sides()
        if first == second or first.split()[0] != second.split()[0]:
            raise ValueError("the two texts must differ, and share at least their first word")
        return self


class MinimalPair(TwoTexts):
    """Two texts of which one breaks a rule of the language."""

    right: Text
    wrong: Text

    def sides(self) -> tuple[str, str]:
        return self.right, self.wrong


class Preference(TwoTexts):
    """Two texts about different groups, one of them as a common stereotype has it."""

    stereotype: Text
    counter: Text

    def sides(self) -> tuple[str, str]:
        return self.stereotype, self.counter


class Chat(Item):
    """A chat prompt and an answer that anybody would accept."""

    prompt: Text
    answer: Text

    def texts(self) -> tuple[str, ...]:
        return (self.prompt,)


class Prompt(Item):
    """A chat prompt alone."""

    prompt: Text


ITEMS: dict[Kind, type[Item]] = {
    "choice": Choice,
    "text": Paragraph,
    "minimal_pair": MinimalPair,
    "preference": Preference,
    "chat": Chat,
    "reply": Prompt,
}


@dataclass(frozen=True)
class GuardSet:
    """One file, read and checked. version: sha256 of the file: two logs with the same one asked the same."""

    header: Header
    items: tuple[Any, ...]
    version: str

    def of(self, split: Split) -> tuple[Any, ...]:
        """The items of a split, in the order of the file."""
        return tuple(item for item in self.items if item.split == split)


_Line = TypeVar("_Line", bound=Part)


def read_set(path: Path) -> GuardSet:
    """Read and check a set. Raises `DataError`, naming file and line, for the first thing that is wrong."""
    try:
        content = path.read_bytes()
        lines = content.decode("utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}) — check path and rights") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}) — save the file as UTF-8") from error
    if len(lines) < 2:
        raise DataError(f"{path}:1: no items — write a header line, then one item a line")
    header = _parsed(Header, lines[0], f"{path}:1")
    shape = ITEMS[header.kind]
    items = [(n, _parsed(shape, line, f"{path}:{n}")) for n, line in enumerate(lines[1:], start=2)]
    _no_doubles(path, items)
    return GuardSet(header, tuple(item for _, item in items), hashlib.sha256(content).hexdigest())


def _parsed(model: type[_Line], line: str, where: str) -> _Line:
    """One line as the model, or a `DataError` for the first wrong thing in it."""
    try:
        return model.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        known = ", ".join(model.model_fields)
        raise DataError(f"{where}: {key + ': ' if key else ''}{first['msg']} — keys: {known}") from error


def _no_doubles(path: Path, items: list[tuple[int, Item]]) -> None:
    """No id and no content twice, in whatever splits."""
    seen: dict[object, int] = {}
    for number, item in items:
        content = tuple(" ".join(text.lower().split()) for text in item.texts())
        for what, value in ((f"id {item.id!r}", item.id), ("this item", content)):
            if value in seen:
                raise DataError(f"{path}:{number}: {what} stands in line {seen[value]} too — remove one")
            seen[value] = number
