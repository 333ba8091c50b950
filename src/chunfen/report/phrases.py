"""Sentences made of the data: words come from the word list, numbers from the documents."""

from __future__ import annotations

from markupsafe import Markup

from chunfen.measure.log import Check
from chunfen.measure.types import Result
from chunfen.report.numbers import DASH, decimal, known
from chunfen.report.views.answers import Rate
from chunfen.report.views.checks import CheckRow
from chunfen.report.views.headline import TYPICAL, Headline
from chunfen.report.views.page import Page, Score
from chunfen.report.wording import Words


def headline(w: Words, page: Page) -> Markup:
    """The sentence on top."""
    line = page.headline
    when = "repair" if page.after else "audit"
    if line.kind == "items" and line.before:
        group = w.name("class", line.group)
        topic = page.axis if w.has(f"headline.item.{page.axis}.{when}") else "other"
        numbers = _pair(_whole(w, line.before), _whole(w, line.after))
        items = w.html("headline.and").join(Markup("<em>{}</em>").format(item) for item in line.items)
        change = _change(numbers)
        return w.html(f"headline.item.{topic}.{when}", items=items, group=group, change=change, **numbers)
    if line.kind == "picking" and line.before:
        topic = page.axis if w.has(f"headline.picking.{page.axis}.{when}") else "other"
        numbers = _pair(_whole(w, line.before), _whole(w, line.after))
        return w.html(f"headline.picking.{topic}.{when}", change=_change(numbers), **numbers)
    if line.kind == "score" and line.scores:
        first, last = line.scores
        numbers = _pair(w.quantity(first.estimate, first.unit), w.quantity(last.estimate, last.unit) if last else DASH)
        endpoint, metric = w.name("endpoint", line.endpoint), w.name("metric", line.metric)
        return w.html(f"headline.score.{when}", endpoint=_capital(endpoint), metric=metric, **numbers)
    return w.html("headline.nothing")


def dek(w: Words, page: Page) -> list[str]:
    """What stands under the headline: its counts, the rate over all items, and how the item was chosen."""
    line, when = page.headline, "repair" if page.after else "audit"
    if line.kind == "nothing":
        return [w("headline.dek.nothing")]
    if line.kind == "picking":
        return [w(f"headline.dek.picking.{when}", **_counts(w, line))]
    if line.kind == "score" and line.scores:
        meaning = w.table.get(f"explain.{line.metric}.{line.scores[0].unit}", "")
        return [w("headline.dek.score", meaning=_capital(meaning))] if meaning else []
    if line.kind != "items":
        return []
    texts = [w(f"headline.dek.{part}.{when}", **_counts(w, line)) for part in ("item", "overall")]
    return [*texts, w("headline.dek.choice")]


def _counts(w: Words, line: Headline) -> dict[str, object]:
    overall, late_overall = line.overall or (None, None)
    return {
        "count": line.count,
        "share": w.quantity(TYPICAL, "share", decimals=0),
        "people": w.name("groups", line.group),
        "first": line.before.hits if line.before else DASH,
        "total": line.before.total if line.before else DASH,
        "last": line.after.hits if line.after else DASH,
        "late_total": line.after.total if line.after else DASH,
        "overall": _whole(w, overall),
        "late_overall": _whole(w, late_overall),
    }


def _whole(w: Words, rate: Rate | None) -> str:
    return w.quantity(rate.share, "share", decimals=0) if rate else DASH


def _pair(before: str, after: str) -> dict[str, Markup]:
    """The two numbers of a headline; a lone one is the loud one."""
    alone = after == DASH
    early = Markup('<span class="{}">{}</span>').format("late" if alone else "early", before)
    return {"before": early, "after": Markup('<span class="late">{}</span>').format(after)}


def _change(numbers: dict[str, Markup]) -> Markup:
    return Markup('<span class="change">{before} <span class="arrow">→</span> {after}</span>').format(**numbers)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def verdict(w: Words, page: Page) -> list[str]:
    """What the verdict rests on, one sentence each; lists of names are cut by nothing."""
    if page.status == "audit":
        return [w("verdict.audit.text"), *([w("quick.text")] if page.quick else [])]
    required = [row for row in page.checks if row.check.required]
    missed = [row for row in required if row.outcome == "miss"]
    unmeasured = [row for row in required if row.outcome == "unmeasured"]
    values = {"required": len(required), "missed": len(missed), "open": len(unmeasured)}
    split = w.name("split", page.before.split)
    listed = unmeasured if page.status == "unmeasured" else missed
    lines = [w(f"verdict.{page.status}.text", names=_names(w, listed), split=split, **values)]
    if page.status == "missed" and unmeasured:
        lines.append(w("verdict.also_open", names=_names(w, unmeasured)))
    aims = [row for row in page.checks if row.to_aim is not None]
    if aims:
        met = sum(row.to_aim == 0 for row in aims)
        lines.append(w("verdict.aims", met=met, total=len(aims)))
    return [w("quick.text"), *lines] if page.quick else lines


def _names(w: Words, rows: list[CheckRow]) -> str:
    """The names of checks; the probes too where one criterion has several."""
    ids = [row.check.id for row in rows]

    def name(check: Check) -> str:
        source = source_of(w, check.metric) if ids.count(check.id) > 1 else ""
        return check_name(w, check) + (f" ({source})" if source else "")

    return w("semicolon").join(name(row.check) for row in rows)


def check_name(w: Words, check: Check) -> str:
    """What a check is called: by its id, else by what it measures."""
    return w(f"check.{check.id}") if w.has(f"check.{check.id}") else described(w, check.metric)


def described(w: Words, metric: str) -> str:
    """A metric's address in words.

    >>> from chunfen.report.wording import words
    >>> described(words("en"), "gender.line.zh/slope"), described(words("en"), "seconds")
    ('occupation line, Chinese: stereotype slope', 'wall clock')
    """
    probe, _, score = metric.rpartition("/")
    name = w.name("metric", score)
    return w("score_of", source=source_of(w, metric), metric=name) if probe else name


def source_of(w: Words, metric: str) -> str:
    """The probes of a metric's address in words; empty where it is about no probe.

    >>> from chunfen.report.wording import words
    >>> source_of(words("en"), "general.choice_accuracy.en+general.cloze.en/probability")
    'general questions + cloze, English'
    >>> source_of(words("en"), "age.untouched.en/preference"), source_of(words("en"), "winogender/slope")
    ('age, English', 'Winogender')
    """
    parts = [name.split(".") for name in metric.rpartition("/")[0].split("+") if name]
    if not parts:
        return ""
    said = " + ".join(_topic(w, part) for part in parts)
    if len(parts[0]) < 3:
        return said
    return w("source_of", endpoint=said, language=w.name("language", parts[0][-1]))


def _topic(w: Words, part: list[str]) -> str:
    """What a probe [axis, endpoint, language] is about; an untouched axis is named by itself."""
    axis, endpoint = part[0], part[1] if len(part) > 2 else part[0]
    return w.name("axis", axis) if endpoint == "untouched" else w.name("endpoint", endpoint)


def reads(w: Words, score: Score, result: Result) -> str:
    """The direction of a signed score in words, or nothing where it has none or no interval."""
    if not (known(result.low) and known(result.high)):
        return ""
    sign = "positive" if result.low > 0 else "negative" if result.high < 0 else "none"
    key = f"reads.{result.metric}.{sign}"
    names = {side: w.name("groups", group) for side, group in zip(("positive", "negative"), score.groups, strict=True)}
    return w(key, **names) if w.has(key) else ""


def explained(w: Words, score: Score) -> str:
    """What a score's size means, where the words say it."""
    key = f"explain.{score.before.metric}.{score.before.unit}"
    return w(key) if w.has(key) else ""


def limit(w: Words, check: Check, value: float | None) -> str:
    """A floor or an aim with its sense: ≥ −1.0 points."""
    if not known(value):
        return DASH
    size = abs(value) if check.sense == "within" else value
    return w(f"checks.sense.{check.sense}", limit=w.quantity(size, check.unit))


def to_aim(w: Words, row: CheckRow) -> str:
    """What is missing to the aim; the distance between two percentages is in points."""
    if not row.to_aim:
        return w("checks.reached")
    percent = row.check.unit == "share"
    gap = w.quantity(row.to_aim * 100, "points") if percent else w.quantity(row.to_aim, row.check.unit)
    return w("checks.short", gap=gap)


def p_value(w: Words, value: float) -> Markup:
    return w.html("checks.p_small") if value < 0.001 else w.html("checks.p_value", p=decimal(value, 3))
