"""The one sentence on top, made from the data.

The item is chosen by what the model said *before* the repair, so that the sentence does not pick the luckiest
change; the rate over all items stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chunfen.measure.log import ProbeLog
from chunfen.measure.types import Result
from chunfen.report.numbers import known
from chunfen.report.views.answers import Rate, candidates, named, share_of

TYPICAL = 0.7
"""An item is typical of a group when at least this share of its people belong to it."""


@dataclass(frozen=True, slots=True)
class Headline:
    """kind item: the replies about one item; score: a primary score; nothing: nothing could be measured."""

    kind: Literal["item", "score", "nothing"]
    probe: str = ""
    endpoint: str = ""
    language: str = ""
    item: str = ""
    group: str = ""
    x: float | None = None
    before: Rate | None = None
    after: Rate | None = None
    overall: tuple[Rate, Rate | None] | None = None
    metric: str = ""
    scores: tuple[Result, Result | None] | None = None


Pair = tuple[ProbeLog, ProbeLog | None]


def headline_of(pairs: list[Pair], lang: str) -> Headline:
    """The most telling item of a readable reply probe (the report's language first), else a primary score."""
    readable = [
        p for p in pairs if p[0].results and p[0].results[0].measurable and known(p[0].results[0].estimate)
    ]
    readable.sort(key=lambda pair: pair[0].language != lang)
    for before, after in readable:
        if before.endpoint == "reply" and (line := _item(before, after)):
            return line
    for before, after in readable:
        first = before.results[0]
        late = after.result(first.metric) if after else None
        return Headline(
            "score", before.probe, before.endpoint, before.language, metric=first.metric, scores=(first, late)
        )
    return Headline("nothing")


def _item(before: ProbeLog, after: ProbeLog | None) -> Headline | None:
    positive, negative = before.groups
    typical = [
        (share_of(before, item, group), x, item, group)
        for item, x in candidates(before)
        for group, share in ((positive, x), (negative, 1 - x))
        if share >= TYPICAL
    ]
    told = [entry for entry in typical if entry[0].share]
    # The positive group's items (nurse, secretary) first: the question that this work began with.
    side = [entry for entry in told if entry[3] == positive and (entry[0].share or 0) >= 0.5] or told
    if not side:
        return None
    first, x, item, group = max(side, key=lambda entry: (entry[0].share or 0, abs(entry[1] - 0.5), entry[2]))
    return Headline(
        "item",
        before.probe,
        before.endpoint,
        before.language,
        item,
        group,
        x,
        first,
        share_of(after, item, group) if after else None,
        (named(before), named(after) if after else None),
    )
