"""From what a user writes for ``--dataset`` to standard rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from chunfen.data.catalog import DatasetSpec, find, names
from chunfen.data.files import files_in, kind_of_file
from chunfen.data.layout import choose, configs, rows_of
from chunfen.data.load import Rejected, each_row, sorted_out
from chunfen.data.mix import check_probabilities, interleave, repeated, sample, split, unpaired
from chunfen.data.parts import Part, given_part, local_part, remote_part
from chunfen.data.reference import DatasetRef, parse_dataset
from chunfen.data.row import Row
from chunfen.data.shape import shaped
from chunfen.errors import HubError, SettingError, did_you_mean
from chunfen.hub import Listing, fetch_file, list_files
from chunfen.settings.data import DataSettings

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
README = "README.md"
CONVERTED = "refs/convert/parquet"
"""Where Hugging Face keeps its own conversion of sets that a script makes."""


@dataclass(frozen=True, slots=True)
class Source:
    """One data set, opened: what is known about it, the parts it is in, and text to replace in its rows."""

    ref: DatasetRef
    spec: DatasetSpec
    parts: tuple[Part, ...]
    fill: Mapping[str, str] = field(default_factory=dict)

    def each(self) -> Iterator[Row | Rejected]:
        """Every row, read or rejected, part by part, from the first whenever it is called."""
        for part in self.parts:
            for found in each_row(shaped(line, self.spec, self.fill) for line in part.read()):
                yield from unpaired(found) if self.spec.unpaired and isinstance(found, Row) else (found,)


def open_source(text: str, settings: DataSettings | None = None) -> Source:
    """The data set that a user means; files on a hub are listed, and fetched when they are read.

    settings: say what takes the place of {{NAME}} and the like; None: they stay. Raises SettingError, with the nearest
    names, for what is not known; HubError where no hub gives it.

    >>> next(open_source("instructions-en").each()).kind
    'conversation'
    >>> open_source("instruction-en")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    chunfen.errors.SettingError: dataset 'instruction-en' is not known. Did you mean 'instructions-en'...
    """
    ref = parse_dataset(text)
    spec = _spec(ref)
    try:
        parts = tuple(_parts(ref, spec))
    except SettingError as error:
        raise SettingError(f"dataset {text!r}: {error}") from error
    return Source(ref, spec, parts, _fill(spec, settings))


def _spec(ref: DatasetRef) -> DatasetSpec:
    known, path = find(ref.name), Path(ref.name).expanduser()
    if known is not None and ref.hub:
        id = ref.name if HUB_ID.fullmatch(ref.name) else known.ids.get(ref.hub)
        if id is None:
            there = ", ".join(known.hubs)
            raise SettingError(f"dataset {ref.text!r}: {ref.hub} does not have {known.name}; it is on: {there}.")
        return replace(known, ids={ref.hub: id})
    if known is not None:
        return known
    if not ref.hub and (ref.name.startswith((".", "/", "~")) or kind_of_file(ref.name) or path.exists()):
        return DatasetSpec(name=str(path))
    if HUB_ID.fullmatch(ref.name):
        hubs = (ref.hub,) if ref.hub else ("huggingface", "modelscope")
        return DatasetSpec(name=ref.name, ids=dict.fromkeys(hubs, ref.name))
    raise SettingError(
        f"dataset {ref.text!r} is not known.{did_you_mean(ref.name.lower(), names())} Give a name that "
        "`chunfen data list` shows, a hub id such as org/name, or a file or folder of rows."
    )


def _parts(ref: DatasetRef, spec: DatasetSpec) -> list[Part]:
    if spec.ids:
        return _on_hub(ref, spec)
    if spec.function is not None:
        return [given_part(spec.name, spec.function, ref.subsets or spec.split)]
    path = spec.path if spec.file else Path(spec.name)
    listed = _configs(path) if path.is_dir() else []
    if path.is_dir() and (ref.subsets or listed):
        inside = [file.relative_to(path).as_posix() for file in files_in(path)]
        return [local_part(path / name) for name in choose(inside, listed, ref.subsets)]
    if ref.subsets:
        raise SettingError(f"a file has no subsets, so ':{'/'.join(ref.subsets)}' means nothing.")
    return [local_part(file) for file in files_in(path)]


def _on_hub(ref: DatasetRef, spec: DatasetSpec) -> list[Part]:
    listing = list_files(spec)
    listed = _configs(fetch_file(listing, README).folder) if README in listing.hashes else []
    if not rows_of(listing.hashes):
        converted, others = _converted(listing), {hub: id for hub, id in spec.ids.items() if hub != listing.source}
        if converted is None and others:
            return _on_hub(ref, replace(spec, ids=others))
        if converted is None:
            raise SettingError("it has no files of rows there. If a script makes them: that is code, and never run.")
        listing = converted
        listed = [{"config_name": name, "data_dir": name} for name in sorted({n.split("/")[0] for n in listing.hashes})]
    subsets = ref.subsets or (spec.subsets if len(spec.subsets) == 1 else ())
    return [remote_part(listing, name) for name in choose(listing.hashes, listed, subsets, spec.split)]


def _configs(folder: Path) -> list[Mapping[str, Any]]:
    """What the README of a repository says about subsets."""
    path = folder / README
    return configs(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else []


def _converted(listing: Listing) -> Listing | None:
    """The hub's own conversion of a set that a script makes, if there is one: a folder for each subset."""
    if listing.source != "huggingface":
        return None
    try:
        made = DatasetSpec(name=listing.reference, ids={listing.source: listing.reference})
        found = list_files(made, revision=CONVERTED)
    except HubError:
        return None
    return found if rows_of(found.hashes) else None


def _fill(spec: DatasetSpec, settings: DataSettings | None) -> dict[str, str]:
    if settings is None:
        return {}
    missing = [name for name in spec.fill.values() if getattr(settings, name) is None]
    if missing:
        raise SettingError(f"dataset {spec.name!r} needs {' and '.join(f'--{name}' for name in missing)}.")
    return {text: getattr(settings, name) for text, name in spec.fill.items()}


@dataclass(frozen=True, slots=True)
class Loaded:
    """rows: to learn from. validation: to evaluate on. rejected: what could not be read. sources: what each data set
    gave, for the run's manifest: name, hub, rows, rejected, and the SHA-256 of its files."""

    rows: list[Row]
    validation: list[Row]
    rejected: list[Rejected]
    sources: list[dict[str, Any]]


def load_datasets(datasets: Sequence[str], settings: DataSettings) -> Loaded:
    """All rows of the data sets, mixed as the settings say, and those of ``settings.val_dataset``.

    Rows that cannot be read are listed, or with ``strict`` stop it all. The same settings give the same rows in the
    same order. Raises SettingError for settings that do not fit together, DataError for a set without a row.

    >>> settings = DataSettings(dataset=("instructions-en#90", "instructions-zh#10"), split_dataset_ratio=0.1)
    >>> loaded = load_datasets(settings.dataset, settings)
    >>> len(loaded.rows), len(loaded.validation), [source["rows"] for source in loaded.sources]
    (90, 10, [90, 10])
    """
    if not datasets:
        raise SettingError(
            "dataset: none is given. Write --dataset with a name that `chunfen data list` shows, or a file."
        )
    if settings.val_dataset and settings.split_dataset_ratio:
        raise SettingError("val_dataset and split_dataset_ratio both say what to evaluate on; give one of them.")
    check_probabilities(settings.interleave_prob, datasets)
    learned = [_loaded(text, settings, settings.split_dataset_ratio) for text in datasets]
    evaluated = [_loaded(text, settings, 0) for text in settings.val_dataset]
    return Loaded(
        rows=list(_mixed([one.rows for one in learned], settings)),
        validation=[row for one in learned for row in one.validation] + [row for one in evaluated for row in one.rows],
        rejected=[row for one in (*learned, *evaluated) for row in one.rejected],
        sources=[source for one in (*learned, *evaluated) for source in one.sources],
    )


def _loaded(text: str, settings: DataSettings, ratio: float) -> Loaded:
    """One data set, of which a share is kept out of training before any row is repeated."""
    source, draw = open_source(text, settings), Random(f"{settings.order_seed} {text}")
    rows, rejected = sorted_out(source.each(), text, strict=settings.strict)
    wanted = source.ref.rows
    train, held = split(sample(rows, wanted, draw), ratio, draw)
    if wanted is not None and wanted > len(rows):
        train = repeated(train, wanted - len(held), draw)
    report = {
        "name": text,
        "hubs": list(source.spec.hubs),
        "rows": len(train) + len(held),
        "rejected": len(rejected),
        "files": {part.name: digest for part in source.parts if (digest := part.digest())},
    }
    return Loaded(train, held, rejected, [report])


def _mixed(sets: Sequence[Sequence[Row]], settings: DataSettings) -> Iterator[Row]:
    if not settings.interleave_prob:
        return (row for rows in sets for row in rows)
    draw = Random(f"{settings.order_seed} interleave")
    again = [lambda rows=rows: iter(rows) for rows in sets]
    return interleave(again, settings.interleave_prob, settings.stopping_strategy, draw)
