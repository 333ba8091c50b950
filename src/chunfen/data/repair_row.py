"""The rows of a repair: pairs of texts and what shall become of their likelihoods."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Objective = Literal["parity", "prefer", "hold", "keep"]
"""parity: the two texts shall be equally likely, and everything else as before.
prefer: the chosen text rather than the rejected one (DPO).
hold: the chosen text's lead over the rejected one shall not shrink; once it has grown a little, nothing pulls.
keep: the chosen text's distributions stay those of the reference model (an anchor; nothing is rejected)."""

Turns = tuple[tuple[str, str], ...]
"""A chat as (role, content) pairs; a last turn of the assistant is a beginning that the answer continues."""


@dataclass(frozen=True, slots=True)
class RepairRow:
    """One row: a prompt with one or two continuations.

    rejected_prompt: only where the second text has another prompt ("She works" / "He works"), else None.
    label: the soft label of `prefer`; probability that `chosen` is the better one. part: the kind of row within a
    repair (line, question, cue, …); a training step takes a fixed number of each. side: what the row pulls towards, if
    its part pulls both ways; a training step takes as many of each. template, item, head: what it was made from, so
    that people can count and overlap with held-out items can be printed.
    """

    objective: Objective
    prompt: str | Turns
    chosen: str
    rejected: str = ""
    rejected_prompt: str | Turns | None = None
    label: float = 1.0
    part: str = ""
    side: str = ""
    template: str = ""
    item: str = ""
    head: str = ""

    def texts(self) -> list[tuple[str | Turns, str]]:
        """The (prompt, continuation) pairs whose log-probabilities the row needs, the chosen one first."""
        pairs = [(self.prompt, self.chosen)]
        if self.rejected:
            pairs.append((self.prompt if self.rejected_prompt is None else self.rejected_prompt, self.rejected))
        return pairs


def write_rows(path: Path, rows: Iterable[RepairRow]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def read_rows(path: Path) -> list[RepairRow]:
    """The inverse of `write_rows`."""
    return [_row(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _row(fields: dict[str, Any]) -> RepairRow:
    for key in ("prompt", "rejected_prompt"):
        if isinstance(fields[key], list):
            fields[key] = tuple((role, content) for role, content in fields[key])
    return RepairRow(**fields)
