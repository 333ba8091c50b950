"""Guards: what a repair must leave alone. Each set in ``data/`` is a probe.

| set | endpoint | what it would notice |
|---|---|---|
| choice_accuracy, cloze | the same | knowledge and reasoning lost |
| perplexity | the same | fluency lost, in prose, instructions, dialogue, lists and code |
| grammar | the same | agreement and word order lost |
| chat_quality, reply_length | the same | answers that change in style, get short or long |
| age, nationality | untouched | a bias that moved elsewhere |

All items were written for this project. Gender agreement and explicit cues are guarded by `chunfen.bias`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chunfen.benchmarks.items import read_set
from chunfen.benchmarks.probes import GUARDS
from chunfen.errors import SettingError, did_you_mean
from chunfen.measure.types import Probe

DATA = Path(__file__).parent / "data"


def languages() -> tuple[str, ...]:
    """Languages that there are guard sets in."""
    return tuple(sorted({path.suffixes[0][1:] for path in DATA.glob("*.*.jsonl")}))


def guards(*, endpoints: Sequence[str] = (), language: str = "en", without: Sequence[str] = ()) -> list[Probe]:
    """The guard probes of a language: all of them, or those of some endpoints.

    without: axes that a repair is meant to change, which are therefore no guard of it.
    Raises `SettingError` for a language or an endpoint without a set, `DataError` for a broken file.
    """
    paths = sorted(DATA.glob(f"*.{language}.jsonl"))
    if not paths:
        raise SettingError(f"language: no guard sets in {language!r}. Known: {', '.join(languages())}.")
    probes = [GUARDS[found.header.kind](found) for found in map(read_set, paths)]
    known = sorted({probe.endpoint for probe in probes})
    for name in endpoints:
        if name not in known:
            hint = did_you_mean(name, known) or f" Known: {', '.join(known)}."
            raise SettingError(f"endpoints: unknown guard {name!r}.{hint}")
    return [p for p in probes if (not endpoints or p.endpoint in endpoints) and p.axis not in without]
