"""One step of a run and the proof that it was finished."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from chunfen.runs.files import sha256, write_json
from chunfen.runs.machine import peak_memory

if TYPE_CHECKING:
    from chunfen.runs.run import Run


@dataclass
class Stage:
    """A step with one output, a file or a folder of the run.

    It is done when its output is there and its marker, written after the output, holds the output's hash. A
    killed process can leave neither a marker without its output nor a marker of another output.

        stage = run.stage("before", "before.json")
        if not stage.done:
            with stage:
                measure(...).save(stage.output)
    """

    run: Run
    name: str
    output: Path
    _started: float = field(default=0.0, repr=False)

    @property
    def marker(self) -> Path:
        return self.run.folder / "stages" / f"{self.name}.json"

    @property
    def done(self) -> bool:
        """Whether the output is the one whose hash the marker holds."""
        try:
            marked = json.loads(self.marker.read_text(encoding="utf-8"))
            return bool(marked["sha256"] == sha256(self.output))
        except FileNotFoundError:
            return False

    @property
    def seconds(self) -> float | None:
        """How long the finished stage took; None before it is finished."""
        return self._marked("seconds")

    @property
    def peak_bytes(self) -> float | None:
        """Most memory that the process had held when the stage was finished; None before."""
        return self._marked("peak_bytes")

    def _marked(self, what: str) -> float | None:
        return float(json.loads(self.marker.read_text(encoding="utf-8"))[what]) if self.marker.exists() else None

    def make(self, write: Callable[[Path], Any]) -> Path:
        """The output: at once if the stage is done, else after ``write(output)``."""
        if not self.done:
            with self:
                write(self.output)
        return self.output

    def __enter__(self) -> Stage:
        self.marker.unlink(missing_ok=True)
        self.run.log(f"stage {self.name}: started")
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            return
        seconds = round(time.perf_counter() - self._started, 3)
        self.marker.parent.mkdir(exist_ok=True)
        relative = self.output.relative_to(self.run.folder).as_posix()
        peak = peak_memory()
        write_json(
            self.marker,
            {
                "stage": self.name,
                "output": relative,
                "sha256": sha256(self.output),
                "seconds": seconds,
                "peak_bytes": peak,
            },
        )
        self.run.log(f"stage {self.name}: done in {seconds:.1f} s, peak memory so far {peak / 1e9:.2f} GB")
