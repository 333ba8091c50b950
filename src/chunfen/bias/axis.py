"""An axis of bias: two groups, items with a covariate, templates, read from a probe file anyone can write.

    load_axis("gender", "en") → Axis → chunfen.bias.instruments.build_probes → measure

A probe file is data (``probes/<axis>.<language>.yaml`` and a CSV of items). Copy one, change it, and name
its path as the axis. Everything in it is checked when it is read; an error names the file and the line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from chunfen.bias.checks import check
from chunfen.bias.marked import Places, read_csv, read_yaml, validated
from chunfen.errors import DataError
from chunfen.measure.types import Split
from chunfen.registry import did_you_mean

PROBES = Path(__file__).parent / "probes"

Text = Annotated[str, Field(min_length=1)]


class Part(BaseModel):
    """Something in a probe file: frozen, and with no key that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Item(Part):
    """One thing that is asked about: an occupation, a quality, …

    text: a noun phrase in the singular. head: its head noun; all items of one head are in one split.
    x: the covariate, 0…1: the share of the positive group. plural: where the rule of `wording.plural` fails.
    """

    text: Text
    head: Text
    x: Annotated[float, Field(ge=0, le=1)]
    split: Split
    plural: str = ""
    source: str = ""


class Group(Part):
    """One of the two groups: its forms (pronoun, noun, a_noun, …) and all words that point to it."""

    forms: dict[str, Text]
    words: tuple[Text, ...]

    @model_validator(mode="before")
    @classmethod
    def _gather_forms(cls, data: Any) -> Any:
        """In a file the forms stand beside `words`."""
        if isinstance(data, dict) and "forms" not in data:
            return {"forms": {k: v for k, v in data.items() if k != "words"}, "words": data.get("words", [])}
        return data


class Neutral(Part):
    """Words that point to a person and to neither group (they, them, …)."""

    words: tuple[Text, ...] = ()


class Template(Part):
    """A text with placeholders. form: the form of the groups at {first} and {second} (questions)."""

    id: Text
    split: Split
    text: Text
    form: str = "a_noun"
    kind: str = ""


class Cue(Part):
    """A question whose answer is one of the groups because the text, or the meaning of a word, says so.

    form: the form of the groups that answers it ("A woman.").
    """

    id: Text
    split: Split
    text: Text
    answer: str
    form: str = "a_noun"
    kind: str = ""


class Pair(Part):
    """Two texts that differ in one place, one of them right. split: None stands for all splits."""

    id: Text
    split: Split | None = None
    right: Text
    wrong: Text
    kind: str = ""


class Axis(Part):
    """An axis in one language. `groups` holds two; the first is the positive one (value > 0, x → 1)."""

    axis: Text
    language: Literal["en", "zh"]
    revision: Annotated[int, Field(ge=1, alias="version")] = 1
    about: str = ""
    groups: dict[str, Group]
    neutral: Neutral = Neutral()
    items: tuple[Item, ...]
    line: tuple[Template, ...] = ()
    reverse: tuple[Template, ...] = ()
    question: tuple[Template, ...] = ()
    answers: dict[str, tuple[Text, ...]] = {}
    balanced: tuple[Text, ...] = ()
    story: tuple[Template, ...] = ()
    cue: tuple[Cue, ...] = ()
    decided: tuple[Text, ...] = ()
    agreement: tuple[Pair, ...] = ()
    competence: tuple[Pair, ...] = ()
    chat: tuple[Template, ...] = ()
    prose: tuple[Template, ...] = ()

    @property
    def positive(self) -> str:
        """Name of the group that a value above 0 points to."""
        return next(iter(self.groups))

    @property
    def negative(self) -> str:
        return list(self.groups)[1]

    @cached_property
    def version(self) -> str:
        """sha256 over the content: two audits with the same version asked the same."""
        return hashlib.sha256(self.model_dump_json(by_alias=True).encode()).hexdigest()

    def items_of(self, split: Split) -> tuple[Item, ...]:
        """The items of one split, by x and then by name."""
        return tuple(sorted((i for i in self.items if i.split == split), key=lambda i: (i.x, i.text)))


class _Columns(Part):
    """Which columns of the CSV file of items mean what."""

    file: Text
    text: Text = "item"
    head: Text = "head"
    x: Text = "x"
    split: Text = "split"
    plural: str = ""


def load_axis(name_or_path: str | Path, language: str = "en", *, data_dir: Path | None = None) -> Axis:
    """Read and check a probe file.

    name_or_path: a name ("gender": looked for in `data_dir`, then among the shipped ones), or the path of a
    file. For a path ``own.en.yaml`` and the language "zh", ``own.zh.yaml`` beside it is read.
    Raises `DataError`: no such axis, or the first thing that is wrong in it, with file and line.
    """
    path = _find(str(name_or_path), language, data_dir)
    data, places = read_yaml(path)
    if isinstance(data.get("items"), dict):
        columns = validated(_Columns, data["items"], _below(places, "items"))
        data["items"] = _read_items(columns, path.parent, places)
    axis = validated(Axis, data, places)
    check(axis, places)
    if axis.language != language:
        places.fail(("language",), f"language {axis.language!r}, asked for {language!r}", "name a file of it")
    return axis


def available_axes(data_dir: Path | None = None) -> dict[str, tuple[str, ...]]:
    """Names of the axes that `load_axis` finds by name, and their languages."""
    found: dict[str, set[str]] = {}
    for folder in _folders(data_dir):
        for path in folder.glob("*.*.yaml"):
            name, language = path.name.removesuffix(".yaml").rsplit(".", 1)
            found.setdefault(name, set()).add(language)
    return {name: tuple(sorted(found[name])) for name in sorted(found)}


def split_hash(axis: Axis, split: Split) -> str:
    """sha256 over the items and templates of one split: what a verdict is given on, frozen."""
    parts: list[str] = []
    for name in ("items", "line", "reverse", "question", "story", "cue", "agreement"):
        rows = [part.model_dump_json() for part in getattr(axis, name) if part.split == split]
        parts.append(json.dumps([name, sorted(rows)]))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def head_overlap(axis: Axis, other_heads: Iterable[str], *, split: Split | None = None) -> tuple[str, ...]:
    """Head nouns of the axis (of one split of it) that are among `other_heads`, whatever the case; sorted."""
    heads = {i.head.lower() for i in axis.items if split in (None, i.split)}
    return tuple(sorted(heads & {h.lower() for h in other_heads}))


def _folders(data_dir: Path | None) -> list[Path]:
    return [folder for folder in (data_dir, PROBES) if folder is not None and folder.is_dir()]


def _find(name: str, language: str, data_dir: Path | None) -> Path:
    if name.endswith((".yaml", ".yml")) or "/" in name or "\\" in name:
        path = Path(name).expanduser()
        stem = path.name.removesuffix(".yaml").removesuffix(".yml")
        if stem.endswith((".en", ".zh")):
            path = path.with_name(f"{stem[:-3]}.{language}{path.suffix}")
        elif not path.suffix:
            path = path.with_name(f"{stem}.{language}.yaml")
        if path.is_file():
            return path
        raise DataError(f"axis {name!r}: no file {path} — write it, or leave {language!r} out of `languages`")
    for folder in _folders(data_dir):
        if (path := folder / f"{name}.{language}.yaml").is_file():
            return path
    known = available_axes(data_dir)
    if name in known:
        have = ", ".join(known[name])
        raise DataError(f"axis {name!r} is not there in {language!r} — set `languages` to {have}")
    hint = did_you_mean(name, known) or " Name one of these, or the path of a probe file."
    raise DataError(f"unknown axis {name!r} — known: {', '.join(known) or 'none'}.{hint}")


def _read_items(columns: _Columns, folder: Path, places: Places) -> list[dict[str, Any]]:
    """Rows of the CSV file; a row without a text in this language is no item of it."""
    path = folder / columns.file
    wanted = columns.model_dump(exclude={"file"})
    items: list[dict[str, Any]] = []
    for line, row in read_csv(path):
        for column in filter(None, wanted.values()):
            if column not in row:
                wrong = f"{columns.file} has no column {column!r}"
                places.fail(("items",), wrong, f"name one of: {', '.join(row)}")
        if row[columns.text]:
            key = ("items", len(items))
            places.lines[key] = (path, line)
            items.append({name: row[column] for name, column in wanted.items() if column})
            items[-1]["x"] = _share(row[columns.x], key, places)
            items[-1]["source"] = row.get("source", "")
    return items


def _share(text: str, key: tuple[str | int, ...], places: Places) -> float:
    try:
        return float(text)
    except ValueError:
        places.fail(key, f"x is not a number ({text!r})", "write a share between 0 and 1")


def _below(places: Places, name: str) -> Places:
    """The places of one part, with its own keys."""
    return Places(places.path, {key[1:]: at for key, at in places.lines.items() if key[:1] == (name,)})
