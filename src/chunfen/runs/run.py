"""A run: one folder that says what was asked, on what, what happened and what came out.

runs/20260801-104500-balance-smollm2-135m-instruct/
  run.json        manifest: settings, versions, code, machine, seed, facts found on the way, status
  metrics.jsonl   one line of numbers per step
  log.txt         what was said, with times
  stages/         a marker per finished stage; see `Stage`
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from uuid import uuid4

from chunfen.errors import RunError
from chunfen.runs.files import write_json
from chunfen.runs.machine import code_hash, git_commit, is_alive, machine, this_process, versions
from chunfen.runs.stage import Stage
from chunfen.settings.base import Settings
from chunfen.settings.describe import command_line

Status = Literal["running", "interrupted", "stopped", "failed", "done"]
"""interrupted: its process died without a word. stopped: ended by the user. failed: ended by an error."""
Progress = Callable[[str, int, int], None]
"""Called as progress(what, done, total)."""

MANIFEST = "run.json"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Run:
    """A run folder. As a context manager it ends the run: done, stopped (Ctrl-C, SIGTERM) or failed.

    progress and say are where a command line shows how far the run is; both are silent until set.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self._manifest = manifest
        self.progress: Progress = lambda what, done, total: None
        self.on_say: Callable[[str], None] = lambda text: None

    @classmethod
    def create(cls, verb: str, settings: Settings) -> Run:
        """A new folder under `settings.output_dir`, with a manifest in it from its first moment.

        settings: those of a verb that inherits RunSettings. Raises RunError if `settings.name` is taken.
        """
        parent, name = Path(settings.output_dir), settings.name  # type: ignore[attr-defined]
        if name is not None and Path(name).name != name:
            raise RunError(f"--name {name}: a run's name is one folder name, without separators.")
        parent.mkdir(parents=True, exist_ok=True)
        fresh = parent / f".{verb}-{uuid4().hex}.part"
        fresh.mkdir()
        try:
            run = cls(fresh, _new_manifest(verb, settings))
            run._write()
            run.folder = _move(fresh, parent, name or _default_name(verb, settings), exact=name is not None)
        except BaseException:
            (fresh / MANIFEST).unlink(missing_ok=True)
            fresh.rmdir()
            raise
        run.log(f"{verb} started")
        return run

    @classmethod
    def open(cls, folder: Path) -> Run:
        """The run in a folder. Raises RunError if there is none that can be read."""
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(f"{folder} is no run folder: it has no {MANIFEST}.") from None
        except ValueError as error:
            raise RunError(f"{folder / MANIFEST} is damaged: {error}.") from error
        return cls(folder, manifest)

    @classmethod
    def resume(cls, verb: str, settings: Settings) -> Run | None:
        """The newest unfinished run of the verb with the same settings, taken over by this process.

        None if there is none.
        Raises RunError if that run's process is still at work.
        """
        from chunfen.runs.find import newest_unfinished

        run = newest_unfinished(verb, settings)
        if run is None:
            return None
        if run.status == "running":
            pid = run.manifest["process"]["pid"]
            raise RunError(f"{run.folder} is still running (process {pid}): end it, or leave out --resume.")
        changed = run.manifest["code"] != code_hash()
        run._update(status="running", process=this_process(), ended=None, error=None)
        run._manifest.setdefault("resumed", []).append(now())
        run._write()
        run.log("resumed" + (", with other code than it began with" if changed else ""))
        return run

    @property
    def manifest(self) -> dict[str, Any]:
        """What run.json holds."""
        return self._manifest

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def verb(self) -> str:
        return str(self._manifest["verb"])

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self._manifest["settings"])

    @property
    def status(self) -> Status:
        """What run.json says, except that a running one whose process is gone is interrupted."""
        status: Status = self._manifest["status"]
        return "interrupted" if status == "running" and not is_alive(self._manifest["process"]) else status

    def record(self, **facts: Any) -> None:
        """Add facts to the manifest: hashes of model and data, the verdict, the adapter's place …"""
        self._manifest["facts"] |= facts
        self._write()

    def metric(self, **numbers: Any) -> None:
        """Append a line to metrics.jsonl."""
        self._append("metrics.jsonl", json.dumps({"time": now()} | numbers, ensure_ascii=False, default=str))

    def metrics(self) -> Iterator[dict[str, Any]]:
        """The lines of metrics.jsonl; the half-written last line of a killed run is left out."""
        path = self.folder / "metrics.jsonl"
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            with suppress(ValueError):
                yield json.loads(line)

    def log(self, text: str) -> None:
        """Append a line with the time to log.txt."""
        self._append("log.txt", f"{now()}  {text}")

    def say(self, text: str) -> None:
        """Tell the user, and write it to log.txt."""
        self.log(text)
        self.on_say(text)

    def stage(self, name: str, output: str) -> Stage:
        """A step of this run whose output is this file or folder of it; see `Stage`."""
        return Stage(self, name, self.folder / output)

    def stages(self) -> list[Stage]:
        """The stages that were finished, in the order in which they were."""
        markers = sorted((self.folder / "stages").glob("*.json"), key=lambda p: p.stat().st_mtime_ns)
        outputs = ((m.stem, json.loads(m.read_text(encoding="utf-8"))["output"]) for m in markers)
        return [self.stage(name, output) for name, output in outputs]

    def done(self, name: str) -> bool:
        """Whether the stage of this name is finished and its output is as it was written."""
        return any(stage.name == name and stage.done for stage in self.stages())

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.log("done")
            self._update(status="done", ended=now())
            return
        status: Status = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
        said = f"{type(error).__name__}: {error}"
        with suppress(OSError):  # a full disk must not hide the error that it caused
            self.log(f"{status}: {said}")
            self._update(status=status, ended=now(), error=said)

    def _update(self, **fields: Any) -> None:
        self._manifest |= fields
        self._write()

    def _write(self) -> None:
        write_json(self.folder / MANIFEST, self._manifest)

    def _append(self, file: str, line: str) -> None:
        with (self.folder / file).open("a", encoding="utf-8") as out:
            out.write(line + "\n")


def _new_manifest(verb: str, settings: Settings) -> dict[str, Any]:
    return {
        "format": 1,
        "verb": verb,
        "command": command_line(verb, settings, leave_out=("resume", "dry_run", "name")),
        "settings": settings.model_dump(mode="json"),
        "seed": getattr(settings, "seed", None),
        "status": "running",
        "process": this_process(),
        "started": now(),
        "ended": None,
        "error": None,
        "versions": versions(),
        "code": code_hash(),
        "git": git_commit(),
        "machine": machine(),
        "facts": {},
    }


def _default_name(verb: str, settings: Settings) -> str:
    """<time>-<verb>-<model>, the model's last path component with everything unusual made a hyphen."""
    model = str(getattr(settings, "model", "")).rstrip("/\\")
    model = re.sub(r"[^\w.-]+", "-", re.split(r"[/\\]", model)[-1]).strip("-.")
    return "-".join(filter(None, (datetime.now().strftime("%Y%m%d-%H%M%S"), verb, model)))


def _move(fresh: Path, parent: Path, name: str, *, exact: bool) -> Path:
    """Give the fresh folder its name; a taken one gets a number, or is an error if it was asked for."""
    for number in range(1, 1000):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        if folder.exists():
            if exact:
                raise RunError(f"--name {name}: {folder} exists; choose another, or continue it with --resume.")
            continue
        with suppress(OSError):  # another process took the name in this very moment
            return fresh.rename(folder)
    raise RunError(f"{parent} holds a thousand runs named {name}; choose another --output_dir.")
