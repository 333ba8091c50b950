"""Models from Hugging Face or a mirror (``HF_ENDPOINT``), by its own client and into its own cache."""

from __future__ import annotations

import logging
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError: of whichever httpx it uses
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    XetDownloadError,
)

from chunfen.errors import HubError
from chunfen.hub import manifest as manifests
from chunfen.hub.base import PATTERNS, UnreachableError, mismatched, record, wanted
from chunfen.hub.cache import disk_errors

log = logging.getLogger("chunfen.hub")


def fetch(reference: str, revision: str | None, folder: Path) -> manifests.Manifest:
    """Download a model's files, resuming what was begun, and check them against the hub's own hashes."""
    try:
        return _download(reference, revision, folder)
    except RevisionNotFoundError as error:
        raise HubError(f"Hugging Face: {reference} has no revision {revision!r}.") from error
    except GatedRepoError as error:
        page = f"{constants.ENDPOINT}/{reference}"
        raise HubError(
            f"Hugging Face: {reference} is gated. Accept its licence at {page}, then run `hf auth login`."
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise HubError(
            f"Hugging Face: there is no model {reference!r}, or it is private (then run `hf auth login`)."
        ) from error
    except (OfflineModeIsEnabled, LocalEntryNotFoundError, HTTPError, XetDownloadError) as error:
        return _from_their_cache(reference, revision, folder, error)


def _download(reference: str, revision: str | None, folder: Path) -> manifests.Manifest:
    info = HfApi().model_info(reference, revision=revision, files_metadata=True)
    hashes = {s.rfilename: s.lfs.sha256 if s.lfs else s.blob_id for s in info.siblings or []}
    names = _named(reference, hashes)
    log.info("Fetching %s from %s …", reference, constants.ENDPOINT)
    with disk_errors(Path(constants.HF_HUB_CACHE) / "x"):
        files = Path(snapshot_download(reference, revision=revision, allow_patterns=names))
        expected = {name: known for name in names if (known := hashes[name])}
        for name in mismatched(files, expected):  # the client trusts what lies in its cache
            log.warning("%s of %s is damaged in the cache. Fetching it again.", name, reference)
            hf_hub_download(reference, name, revision=revision, force_download=True)
        if damaged := mismatched(files, expected):
            raise HubError(
                f"Hugging Face: {reference}: {', '.join(damaged)} do not have the hashes that the hub names. "
                f"They will not be used. Try again, or another mirror than {constants.ENDPOINT}."
            )
    return _record(reference, names, files, folder)


def _from_their_cache(reference: str, revision: str | None, folder: Path, error: Exception) -> manifests.Manifest:
    """What an earlier download, by any program, left in the client's cache, if that is a whole model.

    A copy that is known to be damaged has a manifest in ``folder`` and is not taken from there again.
    """
    reason = UnreachableError(f"Hugging Face ({constants.ENDPOINT}) cannot be reached: {_first_line(error)}")
    if (folder / manifests.NAME).exists() or (isinstance(error, HfHubHTTPError) and error.response.status_code < 500):
        raise reason from error
    try:
        files = snapshot_download(reference, revision=revision, allow_patterns=list(PATTERNS), local_files_only=True)
        names = wanted(path.name for path in Path(files).iterdir())
    except (LocalEntryNotFoundError, HubError):
        raise reason from error
    return _record(reference, names, Path(files), folder)


def _record(reference: str, names: list[str], files: Path, folder: Path) -> manifests.Manifest:
    return record(
        folder,
        names,
        files,
        source="huggingface",
        reference=reference,
        revision=files.name,  # the client names its folders by commit
        client="huggingface_hub",
    )


def _named(reference: str, hashes: dict[str, str | None]) -> list[str]:
    try:
        return wanted(hashes)
    except HubError as error:
        raise HubError(f"Hugging Face: {reference} cannot be used: {error}.") from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
