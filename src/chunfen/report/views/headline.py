"""The one sentence on top, made from the data.

If most replies about the items that are typical of one group name that group, it says so and names two of
the items. They are chosen by what the model said *before* the repair, never by how much they changed. Else it
says how often a reply names one group at all; and where too few can be read for either, the first score.
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

NAMED = 2
"""How many items the sentence names."""

ENOUGH = 20
"""How many readable replies a sentence must rest on."""


@dataclass(frozen=True, slots=True)
class Headline:
    """What the sentence is about.

    items: replies about one group's typical items. picking: all replies. score: a primary score.
    nothing: there is none.
    """

    kind: Literal["items", "picking", "score", "nothing"]
    probe: str = ""
    endpoint: str = ""
    language: str = ""
    group: str = ""
    items: tuple[str, ...] = ()
    count: int = 0
    before: Rate | None = None
    after: Rate | None = None
    overall: tuple[Rate, Rate | None] | None = None
    metric: str = ""
    scores: tuple[Result, Result | None] | None = None


Pair = tuple[ProbeLog, ProbeLog | None]


def headline_of(pairs: list[Pair], lang: str) -> Headline:
    """What a readable reply probe says of typical items (the report's language first), else a score."""
    readable = [p for p in pairs if (r := p[0].results[:1]) and r[0].measurable and known(r[0].estimate)]
    readable.sort(key=lambda pair: pair[0].language != lang)
    for before, after in readable:
        if before.endpoint == "reply" and (line := _typical(before, after) or _picking(before, after)):
            return line
    for before, after in readable:
        first = before.results[0]
        late = after.result(first.metric) if after else None
        source = (before.probe, before.endpoint, before.language)
        return Headline("score", *source, metric=first.metric, scores=(first, late))
    return Headline("nothing")


def _typical(before: ProbeLog, after: ProbeLog | None) -> Headline | None:
    """The positive group's items if most replies named it, else the other's; None if neither was."""
    positive, negative = before.groups
    items = candidates(before)
    sides = {
        positive: [item for item, x in items if x >= TYPICAL],
        negative: [item for item, x in items if 1 - x >= TYPICAL],
    }
    told = {group: share_of(before, names, group) for group, names in sides.items()}
    group = next((g for g, rate in told.items() if rate.total >= ENOUGH and (rate.share or 0.0) >= 0.5), None)
    if group is None:
        return None
    return Headline(
        "items",
        before.probe,
        before.endpoint,
        before.language,
        group,
        _telling(before, sides[group], group),
        len(sides[group]),
        told[group],
        share_of(after, sides[group], group) if after else None,
        (named(before), named(after) if after else None),
    )


def _picking(before: ProbeLog, after: ProbeLog | None) -> Headline | None:
    first = named(before)
    if first.total < ENOUGH:
        return None
    last = named(after) if after else None
    source = (before.probe, before.endpoint, before.language)
    return Headline("picking", *source, before=first, after=last, overall=(first, last))


def _telling(before: ProbeLog, items: list[str], group: str) -> tuple[str, ...]:
    """The items most often answered with the group; the shorter name first where they are level."""

    def rank(item: str) -> tuple[float, int, str]:
        return -(share_of(before, (item,), group).share or 0.0), len(item), item

    return tuple(sorted(items, key=rank)[:NAMED])
