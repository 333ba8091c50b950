"""Hugging Face or a mirror of it (``HF_ENDPOINT``), by its own client and into its own cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
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
from chunfen.hub.base import UnreachableError, first_line
from chunfen.hub.repository import KINDS, Kind, Listing, fetch_model


class HuggingFace:
    """See `chunfen.hub.repository.Hub`."""

    source, label, client = "huggingface", "Hugging Face", "huggingface_hub"

    @property
    def address(self) -> str:
        return str(constants.ENDPOINT)

    @property
    def cache(self) -> Path:
        return Path(constants.HF_HUB_CACHE)

    def listing(self, kind: Kind, reference: str, revision: str | None) -> Listing:
        with _errors(kind, reference, revision):
            ask = HfApi().dataset_info if kind == "dataset" else HfApi().model_info
            info = ask(reference, revision=revision, files_metadata=True)
            hashes = {s.rfilename: (s.lfs.sha256 if s.lfs else s.blob_id) or "" for s in info.siblings or []}
            return Listing(self.source, kind, reference, revision, info.sha or "", hashes)

    def download(self, listing: Listing, names: Sequence[str]) -> Path:
        with _errors(listing.kind, listing.reference, listing.revision):
            return Path(
                snapshot_download(
                    listing.reference, repo_type=listing.kind, revision=listing.revision, allow_patterns=list(names)
                )
            )

    def file(self, listing: Listing, name: str, *, again: bool = False) -> Path:
        with _errors(listing.kind, listing.reference, listing.revision):
            path = hf_hub_download(
                listing.reference, name, repo_type=listing.kind, revision=listing.commit, force_download=again
            )
        return Path(path).parents[name.count("/")]

    def cached(self, reference: str, revision: str | None, patterns: Sequence[str]) -> tuple[Path, str] | None:
        try:
            files = snapshot_download(
                reference, revision=revision, allow_patterns=list(patterns), local_files_only=True
            )
        except LocalEntryNotFoundError:
            return None
        return Path(files), Path(files).name  # the client names its folders by commit


@contextmanager
def _errors(kind: Kind, reference: str, revision: str | None) -> Iterator[None]:
    """The client's errors in the user's words."""
    page = f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{reference}"
    try:
        yield
    except RevisionNotFoundError as error:
        raise HubError(f"Hugging Face: {reference} has no revision {revision!r}.") from error
    except GatedRepoError as error:
        raise HubError(
            f"Hugging Face: {reference} is gated. Accept its licence at {page}, then run `hf auth login`."
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise HubError(
            f"Hugging Face: there is no {KINDS[kind]} {reference!r}, or it is private (then run `hf auth login`)."
        ) from error
    except (OfflineModeIsEnabled, LocalEntryNotFoundError, HTTPError, XetDownloadError) as error:
        if isinstance(error, HfHubHTTPError) and error.response.status_code < 500:
            raise HubError(f"Hugging Face ({constants.ENDPOINT}) refuses: {first_line(error)}") from error
        raise UnreachableError(f"Hugging Face ({constants.ENDPOINT}) cannot be reached: {first_line(error)}") from error


HUB = HuggingFace()
fetch = partial(fetch_model, HUB)
"""A model from Hugging Face; see `chunfen.hub.base.Source`."""
