"""Two logs of the same questions, row by row. What was not asked alike is refused, never matched half."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from chunfen.errors import ChunfenError
from chunfen.measure.log import AuditLog, ProbeLog
from chunfen.measure.table import to_table
from chunfen.measure.types import Reading, Table

Key = tuple[str, str, str]


class PairingError(ChunfenError):
    """Two measurements that cannot be compared because they did not ask the same."""


def check_same_questions(before: AuditLog, after: AuditLog) -> None:
    """Raise `PairingError`, naming what differs, unless both logs asked the same probes in the same way."""
    for name in ("split", "seed", "quick"):
        one, other = getattr(before, name), getattr(after, name)
        if one != other:
            raise PairingError(_refusal(f"{name} {one!r} before and {other!r} after"))
    asked = {p.probe: p.version for p in before.probes}
    again = {p.probe: p.version for p in after.probes}
    if missing := sorted(asked.keys() ^ again.keys()):
        where = "before" if missing[0] in asked else "after"
        raise PairingError(_refusal(f"{', '.join(missing)} only in one of them ({missing[0]}: {where})"))
    changed = [name for name, content in asked.items() if again[name] != content]
    if changed:
        raise PairingError(_refusal(f"different questions in {', '.join(changed)}"))


def _refusal(what: str) -> str:
    return f"these two audits cannot be compared: {what}. Audit both with the same settings and probe files"


def paired_tables(before: Sequence[ProbeLog], after: Sequence[ProbeLog]) -> tuple[Table, Table]:
    """The readings of some probes before and after, in the same order of (item, template, variant).

    Several probes are put together, their names before items and templates. Raises `PairingError` where a
    coordinate is there twice, or on one side only.
    """
    one = {key: r for log in before for key, r in _keyed(log, len(before) > 1).items()}
    other = {key: r for log in after for key, r in _keyed(log, len(before) > 1).items()}
    if unpaired := sorted(one.keys() ^ other.keys()):
        raise PairingError(_refusal(f"{len(unpaired)} readings have no partner, the first being {unpaired[0]}"))
    order = sorted(one)
    return to_table(one[key] for key in order), to_table(other[key] for key in order)


def _keyed(log: ProbeLog, named: bool) -> dict[Key, Reading]:
    count = Counter((r.item, r.template, r.variant) for r in log.readings)
    if twice := [key for key, n in count.items() if n > 1]:
        raise PairingError(f"{log.probe}: the reading {twice[0]} is there {count[twice[0]]} times; give each a variant")
    prefix = f"{log.probe}/" if named else ""
    moved = (replace(r, item=prefix + r.item, template=prefix + r.template) for r in log.readings)
    return {(r.item, r.template, r.variant): r for r in moved}
