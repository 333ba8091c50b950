"""Names and values of older generations of the public tool, and what they are called today (aliases.yaml)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path

import yaml

from chunfen.errors import SettingError

KIND, SAMPLE = "model_type", "train_dataset_sample"
BESIDE = {KIND: "model", SAMPLE: "dataset"}
"""Older names that may stand beside the option that they are about, and say something of their own about it."""


@cache
def _table() -> dict[str, dict[str, object]]:
    text = Path(__file__).with_name("aliases.yaml").read_text(encoding="utf-8")
    table: dict[str, dict[str, object]] = yaml.safe_load(text)
    return table


def current_verb(name: str) -> str | None:
    """Today's name of a verb of the public tool, whether or not chunfen has it; None: it has no such verb.

    >>> current_verb("merge-lora"), current_verb("sft") is None
    ('merge', True)
    """
    today = _table()["verbs"].get(name)
    return None if today is None else str(today)


def current_name(name: str, known: Collection[str]) -> str | None:
    """Today's name of an option of a verb that has the options `known`; None: nobody knows it there.

    Those of `BESIDE` keep their name.

    >>> current_name("lora-rank", ["lora_rank"]), current_name("sft_type", ["tuner_type"])
    ('lora_rank', 'tuner_type')
    >>> current_name("sft_type", ["model"]) is None
    True
    """
    plain = name.replace("-", "_")
    if plain in known or BESIDE.get(plain) in known:
        return plain
    today = successor(plain)
    return today if today in known else None


def successor(name: str) -> str | None:
    """What an older name became, whether or not the verb at hand has it."""
    return older_names().get(name.replace("-", "_"))


def current_value(name: str, value: object) -> object:
    """Today's word for an older value of an option; any other value comes back as it is.

    Raises SettingError, saying what to do, for an older value that nothing replaces.

    >>> current_value("target_modules", "DEFAULT"), current_value("target_modules", "q_proj")
    ('all-linear', 'q_proj')
    >>> current_value("tuner_type", "qlora")
    Traceback (most recent call last):
    ...
    chunfen.errors.SettingError: --tuner_type qlora is an older value. Use --tuner_type lora with --quant_bits 4.
    """
    word = str(value).lower() if isinstance(value, bool) else str(value)
    instead = _words("retired", name).get(word)
    if instead is not None:
        raise SettingError(f"--{name} {word} is an older value. Use {instead}.")
    return _words("values", name).get(word, value)


def sampled(datasets: Sequence[str], rows: object) -> tuple[str, ...]:
    """The data set with the number of rows that an older command took of it; below 0 it is all of them.

    Raises SettingError for several data sets, which need a number each, and for what is no number.

    >>> sampled(["alpaca-en"], "1000"), sampled(["alpaca-en"], -1)
    (('alpaca-en#1000',), ('alpaca-en',))
    """
    text = str(rows)
    if not text.removeprefix("-").isdecimal() or text == "0":
        raise SettingError(f"--{SAMPLE}: {text!r} is not accepted; it takes a whole number. Today: --dataset NAME#N.")
    if len(datasets) != 1 or "#" in datasets[0]:
        given = f"{len(datasets)} are given" if len(datasets) != 1 else f"{datasets[0]} says it already"
        raise SettingError(f"--{SAMPLE} {text} is for one data set, and {given}. Write --dataset NAME#N for each.")
    return tuple(datasets) if int(text) < 0 else (f"{datasets[0]}#{text}",)


def _words(section: str, name: str) -> dict[str, object]:
    found = _table()[section].get(name, {})
    assert isinstance(found, dict)
    return found


def older_names() -> dict[str, str]:
    """Every older name and today's, for the documentation."""
    return {old: str(new) for old, new in _table()["names"].items()} | BESIDE
