"""Models from ModelScope (``MODELSCOPE_ENDPOINT``) through its own light client and into its own cache."""

from __future__ import annotations

import errno
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from chunfen.errors import HubError
from chunfen.hub import manifest as manifests
from chunfen.hub.base import PATTERNS, UnreachableError, mismatched, record, wanted
from chunfen.hub.cache import disk_errors

if TYPE_CHECKING:
    from modelscope_hub import HubApi

log = logging.getLogger("chunfen.hub")


def fetch(reference: str, revision: str | None, folder: Path) -> manifests.Manifest:
    """Download a model's files, resuming what was begun; the client checks them against the hub's SHA-256."""
    try:
        from modelscope_hub import HubApi
        from modelscope_hub.errors import FileDownloadError, FileIntegrityError, NetworkError, NotExistError
        from modelscope_hub.errors import HubError as TheirError
    except ModuleNotFoundError as error:
        raise HubError(
            'ModelScope needs its client, which is not installed: pip install "chunfen[modelscope]".'
        ) from error
    api = HubApi()
    try:
        return _download(api, reference, revision, folder)
    except NotExistError as error:
        where = f"{reference!r} in revision {revision!r}" if revision else repr(reference)
        raise HubError(f"ModelScope: there is no model {where}, or it is private.") from error
    except NetworkError as error:
        return _from_their_cache(api, reference, revision, folder, error)
    except FileDownloadError as error:
        first = next(iter(error.failed_files.values()), error)
        if getattr(first, "errno", None) == errno.ENOSPC:
            with disk_errors(folder):
                raise OSError(errno.ENOSPC, str(first)) from error
        damaged = "arrived damaged" if isinstance(first, FileIntegrityError) else "could not be downloaded"
        names = ", ".join(error.failed_files)
        raise HubError(
            f"ModelScope: {reference}: {names} {damaged}: {_first_line(first)} Run the same command again; "
            "what is complete is kept."
        ) from error
    except TheirError as error:
        raise UnreachableError(f"ModelScope cannot give {reference}: {_first_line(error)}") from error


def _download(api: HubApi, reference: str, revision: str | None, folder: Path) -> manifests.Manifest:
    listed = api.list_repo_files(reference, "model", revision=revision)
    hashes = {file.path: file.sha256 for file in listed}
    try:
        names = wanted(hashes)
    except HubError as error:
        raise HubError(f"ModelScope: {reference} cannot be used: {error}.") from None
    log.info("Fetching %s from ModelScope …", reference)
    with disk_errors(folder):
        files = api.download_repo(reference, "model", revision=revision, allow_patterns=names)
        expected = {name: known for name in names if (known := hashes[name])}
        if damaged := mismatched(files, expected):
            for name in damaged:
                (files / name).unlink(missing_ok=True)
            files = api.download_repo(reference, "model", revision=revision, allow_patterns=names)
        if damaged := mismatched(files, expected):
            raise HubError(f"ModelScope: {reference}: {', '.join(damaged)} arrived damaged. Try again.")
    return _record(reference, names, files, folder, revision)


def _from_their_cache(
    api: HubApi, reference: str, revision: str | None, folder: Path, error: Exception
) -> manifests.Manifest:
    """What an earlier download left in the client's cache, if it is a whole model not known to be damaged."""
    from modelscope_hub.errors import CacheNotFound

    reason = UnreachableError(f"ModelScope cannot be reached: {_first_line(error)}")
    if (folder / manifests.NAME).exists():
        raise reason from error
    try:
        files = api.download_repo(
            reference, "model", revision=revision, allow_patterns=list(PATTERNS), local_files_only=True
        )
        names = wanted(path.name for path in files.iterdir())
    except (CacheNotFound, HubError):
        raise reason from error
    return _record(reference, names, files, folder, revision)


def _record(reference: str, names: list[str], files: Path, folder: Path, revision: str | None) -> manifests.Manifest:
    return record(
        folder,
        names,
        files,
        source="modelscope",
        reference=reference,
        revision=revision or "master",
        client="modelscope-hub",
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
