"""Generated answers: how many of each class, what is said about one item, and replies to look at."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from chunfen.measure.log import ProbeLog
from chunfen.measure.statistics import wilson
from chunfen.measure.types import Reading

OTHER = ("both", "they", "unmarked", "refusal", "unparsed")
"""Classes that name neither group, in the order in which they are shown."""

UNREAD = ("", "unparsed")


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of replies with Wilson's 95 % interval; share is None where there were no replies."""

    hits: int
    total: int
    share: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Answers:
    """The classes of one probe's replies: (label, before, after)."""

    probe: str
    endpoint: str
    language: str
    groups: tuple[str, str]
    classes: tuple[tuple[str, Rate, Rate | None], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """Two replies to one prompt. `after` is None in an audit."""

    probe: str
    endpoint: str
    language: str
    item: str
    template: str
    prompt: str
    before: Reading
    after: Reading | None


def rate(hits: int, total: int) -> Rate:
    """
    >>> rate(0, 0).share is None, rate(1, 4).share
    (True, 0.25)
    """
    return Rate(hits, total, *wilson(hits, total))


def answers_of(before: ProbeLog, after: ProbeLog | None) -> Answers | None:
    """Count the classes of a probe that reads labels; None for one that does not."""
    early = Counter(r.label for r in before.readings if r.label)
    late = Counter(r.label for r in after.readings if r.label) if after else Counter[str]()
    if not early and not late:
        return None
    order = [*before.groups, *OTHER]
    labels = [*(n for n in order if n in early or n in late), *sorted({*early, *late} - set(order))]
    sums = early.total(), late.total()
    classes = tuple((name, rate(early[name], sums[0]), rate(late[name], sums[1]) if after else None) for name in labels)
    return Answers(before.probe, before.endpoint, before.language, before.groups, classes)


def share_of(log: ProbeLog, items: Collection[str], label: str) -> Rate:
    """How often the replies about some items fell into one class, of those that could be read."""
    labels = [r.label for r in log.readings if r.item in items and r.label not in UNREAD]
    return rate(labels.count(label), len(labels))


def named(log: ProbeLog) -> Rate:
    """The picking rate over all items: how often a reply that could be read names one of the two groups."""
    labels = [r.label for r in log.readings if r.label not in UNREAD]
    return rate(sum(label in log.groups for label in labels), len(labels))


def samples_of(before: ProbeLog, after: ProbeLog | None, count: int) -> tuple[Sample, ...]:
    """Replies to show, drawn by the hash of their coordinates and not by what they say, one an item.

    The last place goes to a reply that still names a group after the repair, if there is one: nobody should
    have to look for what went wrong.
    """
    late = {_place(r): r for r in after.readings} if after else {}
    pairs = [(r, late.get(_place(r))) for r in before.readings if r.text and (not after or _place(r) in late)]
    pairs.sort(key=lambda pair: hashlib.sha256("\0".join(_place(pair[0])).encode()).digest())
    unique = {pair[0].item: pair for pair in reversed(pairs)}
    drawn = [pair for pair in pairs if unique[pair[0].item] is pair][:count]
    left = [pair for pair in pairs if pair[1] and pair[1].label in before.groups and pair not in drawn]
    if left and len(drawn) == count and not any(p[1] and p[1].label in before.groups for p in drawn):
        drawn[-1] = left[0]
    return tuple(
        Sample(before.probe, before.endpoint, before.language, r.item, r.template, r.prompt or r.item, r, other)
        for r, other in drawn
    )


def _place(reading: Reading) -> tuple[str, str, str]:
    return reading.item, reading.template, reading.variant


def candidates(log: ProbeLog) -> Sequence[tuple[str, float]]:
    """Items with their covariate, each once."""
    return sorted({(r.item, r.x) for r in log.readings if r.x is not None})
