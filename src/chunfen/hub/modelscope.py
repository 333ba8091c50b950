"""ModelScope (``MODELSCOPE_ENDPOINT``) through its own light client and into its own cache."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from chunfen.errors import HubError
from chunfen.hub.base import UnreachableError, first_line
from chunfen.hub.cache import disk_errors
from chunfen.hub.repository import KINDS, Kind, Listing, fetch_model

if TYPE_CHECKING:
    from modelscope_hub import HubApi


class ModelScope:
    """See `chunfen.hub.repository.Hub`."""

    source, label, client = "modelscope", "ModelScope", "modelscope-hub"

    @property
    def address(self) -> str:
        return os.environ.get("MODELSCOPE_ENDPOINT") or "ModelScope"

    @property
    def cache(self) -> Path:
        return Path(os.environ.get("MODELSCOPE_CACHE") or "~/.cache/modelscope").expanduser()

    def listing(self, kind: Kind, reference: str, revision: str | None) -> Listing:
        with _client(kind, reference, revision) as api:
            listed = api.list_repo_files(reference, kind, revision=revision)
        hashes = {file.path: file.sha256 or "" for file in listed if not file.is_dir}
        return Listing(self.source, kind, reference, revision, revision or "master", hashes)

    def download(self, listing: Listing, names: Sequence[str]) -> Path:
        with _client(listing.kind, listing.reference, listing.revision) as api:
            return api.download_repo(
                listing.reference, listing.kind, revision=listing.revision, allow_patterns=list(names)
            )

    def file(self, listing: Listing, name: str, *, again: bool = False) -> Path:
        with _client(listing.kind, listing.reference, listing.revision, name) as api:
            path = api.download_file(
                listing.reference,
                listing.kind,
                name,
                revision=listing.revision,
                force=again,
                expected_sha256=listing.hashes[name] or None,
            )
        return path.parents[name.count("/")]

    def cached(self, reference: str, revision: str | None, patterns: Sequence[str]) -> tuple[Path, str] | None:
        from modelscope_hub.errors import CacheNotFound

        with _client("model", reference, revision) as api:
            try:
                files = api.download_repo(
                    reference, "model", revision=revision, allow_patterns=list(patterns), local_files_only=True
                )
            except CacheNotFound:
                return None
            return files, revision or "master"


@contextmanager
def _client(kind: Kind, reference: str, revision: str | None, name: str = "") -> Iterator[HubApi]:
    """The client, with its errors in the user's words. name: of the one file that is fetched, if it is one."""
    try:
        from modelscope_hub import HubApi
        from modelscope_hub.errors import (
            FileDownloadError,
            FileIntegrityError,
            NetworkError,
            NotExistError,
            ServerError,
        )
        from modelscope_hub.errors import HubError as TheirError
    except ModuleNotFoundError as error:
        raise HubError(
            'ModelScope needs its client, which is not installed: pip install "chunfen[modelscope]".'
        ) from error
    try:
        yield HubApi()
    except NotExistError as error:
        where = f"{reference!r} in revision {revision!r}" if revision else repr(reference)
        raise HubError(f"ModelScope: there is no {KINDS[kind]} {where}, or it is private.") from error
    except (NetworkError, ServerError) as error:
        raise UnreachableError(f"ModelScope cannot be reached: {first_line(error)}") from error
    except FileIntegrityError as error:
        raise _failed(reference, name, error) from error
    except FileDownloadError as error:
        first = next(iter(error.failed_files.values()), error)
        if getattr(first, "errno", None) == errno.ENOSPC:
            with disk_errors(HUB.cache / "x"):
                raise OSError(errno.ENOSPC, str(first)) from error
        raise _failed(reference, ", ".join(error.failed_files), first) from error
    except TheirError as error:
        raise HubError(f"ModelScope does not give {reference}: {first_line(error)}") from error


def _failed(reference: str, names: str, reason: BaseException) -> HubError:
    from modelscope_hub.errors import FileIntegrityError

    damaged = "arrived damaged" if isinstance(reason, FileIntegrityError) else "could not be downloaded"
    return HubError(
        f"ModelScope: {reference}: {names} {damaged}: {first_line(reason)} Run the same command again; "
        "what is complete is kept."
    )


HUB = ModelScope()
fetch = partial(fetch_model, HUB)
"""A model from ModelScope; see `chunfen.hub.base.Source`."""
