"""The pieces a data set is in: local files, files on a hub, or what a function gives. Nothing is read until asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from chunfen.data.files import Line, read_file, table_line
from chunfen.errors import DataError, SettingError
from chunfen.hub import Listing, fetch_file
from chunfen.runs.files import sha256


@dataclass(frozen=True, slots=True)
class Part:
    """name: for people. read: all raw rows, each time it is called. digest: SHA-256 of the file; "" where none is."""

    name: str
    read: Callable[[], Iterator[Line]]
    digest: Callable[[], str]


def local_part(path: Path) -> Part:
    """A file that is here."""
    return Part(str(path), partial(read_file, path), partial(sha256, path))


def remote_part(listing: Listing, name: str) -> Part:
    """A file on a hub, fetched when it is first read."""
    return Part(f"{listing.reference}/{name}", partial(_remote, listing, name), partial(_remote_digest, listing, name))


def given_part(name: str, function: Callable[[], Any], splits: Sequence[str]) -> Part:
    """What a function gives: rows, or a Dataset, IterableDataset or DatasetDict of Hugging Face."""
    return Part(name, partial(_given, name, function, splits), str)


def _remote(listing: Listing, name: str) -> Iterator[Line]:
    yield from read_file(fetch_file(listing, name).folder / name)


def _remote_digest(listing: Listing, name: str) -> str:
    return fetch_file(listing, name).files[name].sha256


def _given(name: str, function: Callable[[], Any], splits: Sequence[str]) -> Iterator[Line]:
    data = function()
    chosen = [data[split] for split in _splits(name, data, splits)] if isinstance(data, Mapping) else [data]
    number = count(1)
    for rows in chosen:
        if isinstance(rows, (str, bytes)) or not isinstance(rows, Iterable):
            raise DataError(f"data set {name!r}: its function gives {type(rows).__name__}, not rows.")
        for value in _undecoded(rows):
            yield table_line(Path(name), next(number), value)


def _splits(name: str, data: Mapping[str, Any], splits: Sequence[str]) -> list[str]:
    if len(data) == 1 and tuple(splits) == ("train",):
        return list(data)
    for split in splits:
        if split not in data:
            raise SettingError(f"data set {name!r}: there is no split {split!r}; there are: {', '.join(data)}.")
    return list(splits)


def _undecoded(rows: Iterable[Any]) -> Iterable[Any]:
    """The rows of a Hugging Face data set with pictures and sounds as the bytes they are stored in."""
    features = getattr(rows, "features", None)
    if not features or not hasattr(rows, "cast"):
        return rows
    from datasets import Features

    stored = Features({name: _stored(feature) for name, feature in features.items()})
    return rows if stored == features else rows.cast(stored)


def _stored(feature: Any) -> Any:
    from datasets import Audio, Image, Video

    if isinstance(feature, dict):
        return {name: _stored(inner) for name, inner in feature.items()}
    if isinstance(feature, (Audio, Image, Video)):
        return replace(feature, decode=False)
    inner = getattr(feature, "feature", None)  # of a list
    return feature if inner is None else replace(feature, feature=_stored(inner))
