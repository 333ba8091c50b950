"""The model card's section in Markdown, for a README.md on a hub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chunfen.measure.log import AuditLog, Verdict
from chunfen.measure.types import Result
from chunfen.report import phrases
from chunfen.report.views.page import Page, page_of
from chunfen.report.wording import Words, words

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")
LIMITS = ("scope", "binary", "statistics", "reader", "deploy")


def model_card(
    before: AuditLog,
    after: AuditLog | None = None,
    verdict: Verdict | None = None,
    manifest: Mapping[str, Any] | None = None,
    lang: str = "en",
) -> str:
    """A section of a model card: headline, verdict, scores, checks, what was not measurable, limits."""
    w = words(lang)
    page = page_of(before, after, verdict, manifest or {}, lang)
    return "\n".join(_lines(w, page)).strip() + "\n"


def _lines(w: Words, page: Page) -> Iterator[str]:
    log, when = page.before, "repair" if page.after else "audit"
    yield f"## {w('card.title') if page.after else w('card.title.audit')}\n"
    if page.quick:
        yield f"**{plain(w('quick.mark'))}** {plain(w('quick.text'))}\n"
    yield plain(phrases.headline(w, page).striptags()) + "\n"
    for sentence in phrases.dek(w, page):
        yield plain(sentence) + "\n"
    version = log.versions.get("chunfen", "")
    yield (plain(w(f"card.intro.{when}", version=version, split=w.name("split", log.split), seed=log.seed)) + "\n")
    stamp = w("verdict.quick") if page.quick else w(f"verdict.{page.status}")
    yield f"**{plain(stamp)}** — {plain(' '.join(phrases.verdict(w, page)))}\n"
    yield from _scores(w, page)
    yield from _checks(w, page)
    if page.gaps:
        yield f"### {w('card.gaps')}\n"
        yield from (f"- {plain(gap.probe)}: {plain(gap.reason or w('gaps.no_reason'))}" for gap in page.gaps)
        yield ""
    yield f"### {w('card.limits')}\n"
    yield from (f"- {plain(w(f'method.limit.{name}'))}" for name in LIMITS)


def _scores(w: Words, page: Page) -> Iterator[str]:
    if not page.primary:
        return
    yield f"### {w('card.metrics')}\n"
    times = [w("before"), w("after")] if page.after else [w("measured")]
    rows = [
        [phrases.described(w, f"{s.probe}/{s.before.metric}"), _number(w, s.before, s.before.unit)]
        + ([_number(w, s.after, s.before.unit)] if page.after else [])
        for s in page.primary
    ]
    yield from table([w("figures.column.score"), *times], rows)


def _number(w: Words, result: Result | None, unit: str) -> str:
    if result is None:
        return w.quantity(None, unit)
    return f"{w.quantity(result.estimate, unit)} {w.interval(result.low, result.high, unit)}".strip()


def _checks(w: Words, page: Page) -> Iterator[str]:
    if not page.checks:
        return
    yield f"### {w('card.checks')}\n"
    heads = [w(f"checks.column.{name}") for name in ("check", "change", "floor", "aim", "result")]
    rows = []
    for row in page.checks:
        c = row.check
        bounds = w.interval(c.change_low, c.change_high, c.unit, signed=True)
        change = f"{w.quantity(c.change, c.unit, signed=c.group != 'cost')} {bounds}".strip()
        result = w(f"checks.{row.outcome}") + ("" if c.required else f" ({w('checks.optional')})")
        source = phrases.source_of(w, c.metric)
        name = phrases.check_name(w, c) + (f" ({source})" if source else "")
        limits = [phrases.limit(w, c, value) for value in (c.floor, c.aim)]
        rows.append([name, change, *limits, result])
    yield from table(heads, rows)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A Markdown table; the first column is left, the others right.

    >>> print(*table(["a", "b"], [["x|y", "1"]]), sep=chr(10))
    | a | b |
    | :-- | --: |
    | x\\|y | 1 |
    <BLANKLINE>
    """
    yield "| " + " | ".join(map(plain, heads)) + " |"
    yield "| :-- |" + " --: |" * (len(heads) - 1)
    for row in rows:
        yield "| " + " | ".join(map(plain, row)) + " |"
    yield ""


def plain(text: str) -> str:
    """Text that Markdown shows as it is: on one line, with its marks escaped.

    >>> print(plain("a*b" + chr(10) + "<i>"))
    a\\*b \\<i\\>
    """
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))
