"""Files of data sets on the hubs: listed once, then fetched one by one, when their turn comes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from chunfen.hub import manifest as manifests
from chunfen.hub.base import record
from chunfen.hub.cache import cache_dir, disk_errors, locked, slug
from chunfen.hub.repository import Hub, Listing, checked
from chunfen.hub.sources import Fetchable, first_that_answers, sources_of
from chunfen.registry import Registry

HUBS: Registry[Hub] = Registry(
    "hub",
    {
        "huggingface": "chunfen.hub.huggingface:HUB",
        "modelscope": "chunfen.hub.modelscope:HUB",
    },
)
LISTING = "listing.json"
OFFLINE = (
    "Without a hub these work: any data set fetched before, a file or folder of rows (--dataset /path/to/it), and the "
    "sets that come with chunfen (`chunfen data list --hub shipped`)."
)


def list_files(spec: Fetchable, *, hub: str = "auto", revision: str | None = None, refresh: bool = False) -> Listing:
    """What a data set's repository holds; hub, revision, refresh and errors as for `chunfen.hub.fetch`.

    A listing is kept, so that a set stays what it was when it was first used, until refresh asks for a newer one.
    """
    names = sources_of(spec, hub)
    if not refresh:
        for name in names:
            if (kept := _read(_place(name, spec.ids[name], revision) / LISTING)) is not None:
                return kept

    def get(name: str) -> Listing:
        found = HUBS[name].listing("dataset", spec.ids[name], revision)
        _write(_place(name, spec.ids[name], revision) / LISTING, found)
        return found

    return first_that_answers(names, get, OFFLINE)


def fetch_file(listing: Listing, name: str) -> manifests.Manifest:
    """One file of a listed repository, in the client's cache, fetched and checked if it is not there."""
    place = _place(listing.source, listing.reference, listing.revision) / listing.identity / slug(name)
    with locked(place):
        found = manifests.read(place / manifests.NAME)
        if found is not None and not found.damaged():
            return found
        hub = HUBS[listing.source]
        files = checked(hub, listing, [name])
        with disk_errors(place):
            return record(
                place,
                [name],
                files,
                source=listing.source,
                reference=listing.reference,
                revision=listing.commit,
                client=hub.client,
            )


def _place(source: str, reference: str, revision: str | None) -> Path:
    return cache_dir() / "datasets" / source / slug(f"{reference}@{revision}" if revision else reference)


def _read(path: Path) -> Listing | None:
    try:
        fields: Mapping[str, object] = json.loads(path.read_text(encoding="utf-8"))
        return Listing(**fields)  # type: ignore[arg-type]
    except (OSError, ValueError, TypeError):
        return None


def _write(path: Path, listing: Listing) -> None:
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(listing), ensure_ascii=False), encoding="utf-8")
        temporary.replace(path)
