"""Repositories of files on a hub, of models and data sets alike: what is in one, and files of it, checked."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from chunfen.errors import HubError
from chunfen.hub import manifest as manifests
from chunfen.hub.base import PATTERNS, UnreachableError, mismatched, record, wanted
from chunfen.hub.cache import disk_errors

log = logging.getLogger("chunfen.hub")

Kind = Literal["model", "dataset"]
KINDS: Mapping[Kind, str] = {"model": "model", "dataset": "data set"}
"""What a repository holds, for people."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a repository held when the hub was asked.

    source: name of the hub. revision: branch, tag or commit as asked for; None: the hub's default. commit: what that
    was then. hashes: file → SHA-256, or git's SHA-1 for small files; "" where the hub names none.
    """

    source: str
    kind: Kind
    reference: str
    revision: str | None
    commit: str
    hashes: Mapping[str, str]

    @property
    def identity(self) -> str:
        """The same for equal content, wherever and whenever it was listed."""
        return hashlib.sha256(json.dumps(sorted(self.hashes.items())).encode()).hexdigest()[:16]


class Hub(Protocol):
    """The client of one hub: its own download code and cache. Errors come as HubError, in the user's words.

    source: its name here. label: for people. client: its package. address: where it is. cache: the client's folder.
    """

    source: str
    label: str
    client: str

    @property
    def address(self) -> str: ...

    @property
    def cache(self) -> Path: ...

    def listing(self, kind: Kind, reference: str, revision: str | None) -> Listing:
        """All files of a repository. UnreachableError where the hub does not answer."""
        ...

    def download(self, listing: Listing, names: Sequence[str]) -> Path:
        """Fetch files, several at once, resuming what was begun; the folder that holds them."""
        ...

    def file(self, listing: Listing, name: str, *, again: bool = False) -> Path:
        """Fetch one file; the folder that it is in, by its name in the repository. again: even if it is there."""
        ...

    def cached(self, reference: str, revision: str | None, patterns: Sequence[str]) -> tuple[Path, str] | None:
        """The folder and commit of a model that an earlier download, by any program, left in the client's cache."""
        ...


def fetch_model(hub: Hub, reference: str, revision: str | None, folder: Path) -> manifests.Manifest:
    """Download a model's files, check them against the hub's own hashes, and record them in ``folder``."""
    try:
        listing = hub.listing("model", reference, revision)
        names = _wanted(hub, reference, listing.hashes)
        log.info("Fetching %s from %s …", reference, hub.address)
        files = checked(hub, listing, names)
        commit = listing.commit
    except UnreachableError as error:
        files, names, commit = _from_their_cache(hub, reference, revision, folder, error)
    return record(folder, names, files, source=hub.source, reference=reference, revision=commit, client=hub.client)


def checked(hub: Hub, listing: Listing, names: Sequence[str]) -> Path:
    """Download files, and again where they are not what the hub says; the folder that holds them.

    The clients trust what lies in their caches. Raises HubError for what stays wrong.
    """
    with disk_errors(hub.cache / "x"):
        files = hub.file(listing, names[0]) if len(names) == 1 else hub.download(listing, names)
        expected = {name: known for name in names if (known := listing.hashes[name])}
        for name in mismatched(files, expected):
            log.warning("%s of %s is damaged in the cache. Fetching it again.", name, listing.reference)
            files = hub.file(listing, name, again=True)
        if damaged := mismatched(files, expected):
            raise HubError(
                f"{hub.label}: {listing.reference}: {', '.join(damaged)} do not have the hashes that the hub names. "
                f"They will not be used. Try again, or another mirror than {hub.address}."
            )
    return files


def _wanted(hub: Hub, reference: str, names: Iterable[str]) -> list[str]:
    try:
        return wanted(names)
    except HubError as error:
        raise HubError(f"{hub.label}: {reference} cannot be used: {error}.") from None


def _from_their_cache(
    hub: Hub, reference: str, revision: str | None, folder: Path, error: UnreachableError
) -> tuple[Path, list[str], str]:
    """A whole model in the client's cache, if there is one.

    A copy that is known to be damaged has a manifest in ``folder`` and is not taken from there again.
    """
    left = None if (folder / manifests.NAME).exists() else hub.cached(reference, revision, PATTERNS)
    if left is None:
        raise error
    files, commit = left
    try:
        return files, wanted(path.name for path in files.iterdir()), commit
    except HubError:
        raise error from None
