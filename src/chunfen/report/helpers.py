"""What the templates may call."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from markupsafe import Markup

from chunfen.report import phrases
from chunfen.report.charts.line import NARROW, WIDE, LineText, line_chart
from chunfen.report.charts.rows import dumbbell, forest, stacked, swarm
from chunfen.report.numbers import decimal, known
from chunfen.report.views.answers import Answers
from chunfen.report.views.checks import left_out, margin_of, measured_checks, reach_of
from chunfen.report.views.items import Line, Spread
from chunfen.report.views.page import Score
from chunfen.report.wording import Words

TONES = {"both": "even", "they": "even", "unmarked": "even", "unparsed": "unread"}
"""The colour of a class that names no group; the groups are day and night."""


def helpers(w: Words) -> dict[str, Any]:
    """What templates may call: phrases and charts with the language filled in, and plain helpers."""
    said = (
        phrases.reads,
        phrases.explained,
        phrases.check_name,
        phrases.source_of,
        phrases.limit,
        phrases.to_aim,
        phrases.p_value,
        line_svg,
        bar,
        slope,
    )
    plain = (
        decimal,
        dumbbell,
        forest,
        tone,
        item_reach,
        template_reach,
        template_strip,
        by_probe,
        measured_checks,
        left_out,
        margin_of,
        reach_of,
    )
    bound = {function.__name__: partial(function, w) for function in said}
    return bound | {function.__name__: function for function in plain}


def tone(label: str, groups: tuple[str, str]) -> str:
    """The colour class of an answer class."""
    return {groups[0]: "day", groups[1]: "night"}.get(label, TONES.get(label, "other"))


def item_reach(line: Line) -> tuple[float, float]:
    """A symmetric domain that holds every item, so that parity is in the middle."""
    far = max((abs(v) for i in line.items for v in (i.before, i.after) if v is not None), default=1.0) or 1.0
    return -far, far


def template_reach(spread: Spread) -> tuple[float, float]:
    """A domain that holds every template's score, before and after, and 0."""
    values = [v for _, *pair in spread.templates for v in pair if known(v)] + [0.0]
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 1, high + 1)


def by_probe(scores: Iterable[Score]) -> list[tuple[str, list[Score]]]:
    """The scores of each probe together, in the log's order."""
    table: dict[str, list[Score]] = {}
    for score in scores:
        table.setdefault(score.probe, []).append(score)
    return list(table.items())


def template_strip(spread: Spread, kind: str, domain: tuple[float, float]) -> Markup:
    place = 1 if kind == "before" else 2
    alone = spread.after is None
    return swarm([each[place] for each in spread.templates], "after" if alone else kind, domain)  # type: ignore[misc]


def slope(w: Words, value: float | None) -> str:
    return w.quantity(value, "nats")


def bar(w: Words, answers: Answers, place: int) -> Markup:
    """One stacked bar; `place` 1 is before, 2 after."""
    parts, said = [], []
    for entry in answers.classes:
        rate = entry[1] if place == 1 else entry[2]
        if rate and rate.share is not None:
            text = w.quantity(rate.share, "share", decimals=0)
            parts.append((tone(entry[0], answers.groups), rate.share, text))
            said.append(f"{w.name('class', entry[0])} {text}")
    return stacked(parts, w("answers.bar", when=w("before" if place == 1 else "after"), parts=w("comma").join(said)))


def line_svg(w: Words, line: Line) -> Markup:
    positive, negative = line.groups
    slopes = {"before": slope(w, line.slopes[0]), "after": slope(w, line.slopes[1])}
    describe = "line.describe" if line.repaired else "line.describe.audit"
    text = LineText(
        title=w("line.chart", positive=w.name("groups", positive), language=w.name("language", line.language)),
        description=w(describe, count=len(line.items), **slopes),
        x_axis=w("line.x", positive=w.name("groups", positive)),
        up=w("line.up", group=w.name("groups", positive)),
        down=w("line.down", group=w.name("groups", negative)),
        percent=w("unit.share", n="{n}"),
    )
    return line_chart(line, text, WIDE) + line_chart(line, text, NARROW, outliers=4)
