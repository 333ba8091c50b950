"""What a user writes for a data set, taken apart. Pure: what it names is looked up in `chunfen.data.source`."""

from __future__ import annotations

from dataclasses import dataclass

from chunfen.data.files import kind_of_file
from chunfen.errors import SettingError

PREFIXES = {"HF": "huggingface", "MS": "modelscope"}


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """text: as written. name: of the catalog, on a hub, or a path. rows: how many to take; None: all. hub: the one that
    was picked; "": any."""

    text: str
    name: str
    subsets: tuple[str, ...] = ()
    rows: int | None = None
    hub: str = ""


def parse_dataset(text: str) -> DatasetRef:
    """Take ``[HF::|MS::]name[:subset[/subset …]][#rows]`` apart.

    ``#N`` takes N rows, drawn with data_seed; where there are fewer, rows repeat, as they do in ms-swift. A name with
    the ending of a file of rows is a path as a whole, whatever signs it holds.

    >>> parse_dataset("HF::org/name:en/zh#500")
    DatasetRef(text='HF::org/name:en/zh#500', name='org/name', subsets=('en', 'zh'), rows=500, hub='huggingface')
    >>> parse_dataset("data/a:b.jsonl#20").name
    'data/a:b.jsonl'
    >>> parse_dataset("alpaca-en#many")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    chunfen.errors.SettingError: dataset 'alpaca-en#many': behind # stands how many rows to take, a whole number ...
    """
    hub, rest = _hub(text, text.strip())
    rest, rows = _rows(text, rest)
    name, subsets = _subsets(text, rest)
    if not name:
        raise SettingError(f"dataset {text!r}: the name is missing. Write a name, a hub id, or a file.")
    return DatasetRef(text, name, subsets, rows, hub)


def _hub(text: str, rest: str) -> tuple[str, str]:
    prefix, sign, behind = rest.partition("::")
    if not sign:
        return "", rest
    if prefix.upper() not in PREFIXES:
        raise SettingError(f"dataset {text!r}: {prefix}:: is no hub. Write HF:: or MS::.")
    return PREFIXES[prefix.upper()], behind


def _rows(text: str, rest: str) -> tuple[str, int | None]:
    name, sign, number = rest.rpartition("#")
    if not sign or kind_of_file(rest):
        return rest, None
    if not (number.isascii() and number.isdigit() and int(number)):
        raise SettingError(f"dataset {text!r}: behind # stands how many rows to take, a whole number above 0.")
    return name, int(number)


def _subsets(text: str, rest: str) -> tuple[str, tuple[str, ...]]:
    name, sign, behind = rest.rpartition(":")
    if not sign or kind_of_file(rest) or behind[:1] in ("/", "\\"):  # the last: C:\rows
        return rest, ()
    subsets = tuple(subset.strip() for subset in behind.split("/"))
    if not all(subsets):
        raise SettingError(f"dataset {text!r}: behind : stands a subset, or several with / between them.")
    return name, subsets
