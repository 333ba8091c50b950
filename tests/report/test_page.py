"""The page: complete in both languages, true to the documents, safe, and alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser

import pytest

from chunfen.benchmarks.guards import guards
from chunfen.bias.axis import load_axis
from chunfen.bias.criteria import load_criteria
from chunfen.bias.instruments import build_probes
from chunfen.errors import SettingError
from chunfen.measure.compare import compare
from chunfen.measure.log import AuditLog, Verdict
from chunfen.report import render_html
from chunfen.report.numbers import DASH
from chunfen.report.wording import LANGUAGES, words

from . import documents

Documents = tuple[AuditLog, AuditLog | None, Verdict | None]

CASES: dict[str, Callable[[], Documents]] = {
    "proven": lambda: documents.repaired(),
    "missed": lambda: documents.repaired(proven=False),
    "quick": lambda: documents.repaired(quick=True),
    "audit": lambda: (documents.audit_only(), None, None),
    "empty": lambda: (documents.empty_log(), None, None),
    "no probes": lambda: (documents.audit_only().model_copy(update={"probes": ()}), None, None),
}


def text_of(html: str) -> str:
    """What a reader sees, without style and script, in one line."""
    body = re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.DOTALL)
    return re.sub(r"[ \n]+", " ", unescape(re.sub(r"<[^>]+>", " ", body)))


def section(html: str, name: str) -> str:
    """The text of one section."""
    return text_of(html.partition(f'<section id="{name}"')[2].partition("</section>")[0])


@pytest.fixture(scope="module", params=[(case, lang) for case in CASES for lang in LANGUAGES], ids="-".join)
def page(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    """(case, language, HTML) of every made-up set of documents."""
    case, lang = request.param
    before, after, verdict = CASES[case]()
    return case, lang, render_html(before, after, verdict, documents.manifest(), lang)


def test_both_languages_have_the_same_keys_and_placeholders() -> None:
    tables = [words(lang).table for lang in LANGUAGES]
    assert set(tables[0]) == set(tables[1])
    allowed = {"n", "comma"}
    for key in tables[0]:
        fields = [set(re.findall(r"{(\w+)}", table[key])) for table in tables]
        assert fields[0] == fields[1] or allowed & fields[0], key


def test_every_word_in_the_templates_and_the_code_is_defined() -> None:
    from importlib import resources

    root = resources.files("chunfen.report")
    files = [f for f in root.rglob("*") if f.suffix in (".j2", ".py")]  # type: ignore[attr-defined]
    used = {
        key for f in files for key in re.findall(r"""\b(?:t|w|w\.html)\(\s*["']([\w.]+\w)["']""", f.read_text("utf-8"))
    }
    assert len(used) > 100
    assert used <= set(words("en").table), used - set(words("en").table)


def test_everything_the_probes_and_criteria_name_has_words() -> None:
    probes = [p for lang in LANGUAGES for p in build_probes(load_axis("gender", lang))] + list(guards())
    for lang in LANGUAGES:
        w = words(lang)
        for probe in probes:
            assert w.has(f"endpoint.{probe.endpoint}"), probe.endpoint
            assert w.has(f"axis.{probe.axis}"), probe.axis
            for metric in probe.metrics():
                assert w.has(f"metric.{metric.name}"), metric.name
                assert w.has(f"unit.{metric.unit}"), metric.unit
        for criterion in load_criteria():
            assert w.has(f"check.{criterion.id}"), criterion.id
            assert w.has(f"unit.{criterion.unit}"), criterion.unit
            assert all(w.has(f"endpoint.{endpoint}") for endpoint in criterion.endpoints), criterion.id


def test_a_verdict_of_the_real_criteria_renders() -> None:
    before, after, _ = documents.repaired()
    before, after = (documents.comparable(log) for log in (before, after))
    verdict = compare(before, after, load_criteria(135), resamples=200, facts={"C.time": 402.0, "C.memory": 2.1e9})
    html = render_html(before, after, verdict)
    assert '<p class="stamp">' in html
    assert all(f"check.{c.id}" in words("en").table for c in verdict.checks)
    seen = section(html, "checks")
    for check in verdict.checks:
        if check.change is not None:
            assert words("en").quantity(check.change, check.unit, signed=check.group != "cost") in seen, check.id


def test_page_is_well_formed_and_says_its_language(page: tuple[str, str, str]) -> None:
    _, lang, html = page
    checker = Balance()
    checker.feed(html)
    assert checker.open == [] and checker.wrong == []
    assert f'<html lang="{lang}">' in html
    assert not re.search(r"\b(None|nan|NaN|Undefined)\b", text_of(html))
    assert "{" not in text_of(html)


def test_page_loads_nothing(page: tuple[str, str, str]) -> None:
    html = page[2].replace("http://www.w3.org/2000/svg", "")
    assert "http://" not in html and "https://" not in html and "//fonts" not in html
    assert not re.search(r"<(link|img|iframe|object|embed)\b(?![^>]*data:)", html)
    assert "url(" not in html.replace("url(#hatch)", "") and "@import" not in html


def test_tables_have_scopes_and_pictures_have_names(page: tuple[str, str, str]) -> None:
    html = page[2]
    assert all("scope=" in head for head in re.findall(r"<th\b[^>]*>", html))
    for picture in re.findall(r"<svg\b[^>]*>", html):
        assert "aria-label=" in picture or 'aria-hidden="true"' in picture
    assert html.count("<h1>") == 1


def test_a_hostile_reply_stays_text() -> None:
    before, after, verdict = documents.repaired()
    hostile = documents.with_every_text(before, documents.HOSTILE)
    html = render_html(hostile, after, verdict, documents.manifest() | {"command": documents.HOSTILE})
    assert "<script>alert(1)" not in html and "<img" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert len(re.findall(r"<script\b", html)) == 1


def test_hostile_names_stay_text() -> None:
    hostile = documents.with_every_name(documents.audit_only(), documents.HOSTILE)
    html = render_html(hostile)
    assert "<script>alert(1)" not in html and "<img" not in html


@pytest.mark.parametrize("lang", LANGUAGES)
def test_numbers_on_the_page_are_those_of_the_log(lang: str) -> None:
    before, after, verdict = documents.repaired()
    seen = text_of(render_html(before, after, verdict, lang=lang))
    w = words(lang)
    for log in (before, after):
        for probe in log.probes:
            for result in probe.results:
                if result.estimate is not None:
                    assert w.quantity(result.estimate, result.unit) in seen, (probe.probe, result.metric)
                    assert w.interval(result.low, result.high, result.unit) in seen
    for check in verdict.checks:
        if check.change is not None:
            assert w.quantity(check.change, check.unit, signed=check.group != "cost") in seen, check.id


def test_headline_counts_what_the_log_holds() -> None:
    before, after, verdict = documents.repaired()
    seen = text_of(render_html(before, after, verdict))
    said = re.search(r"jobs such as (.+?) and (.+?) ?, (\d+)\u202f% → (\d+)\u202f% answered a woman", seen)
    assert said
    share = dict(documents.occupations("en"))
    assert share[said[1]] >= 0.7 and share[said[2]] >= 0.7
    for log, percent in ((before, said[3]), (after, said[4])):
        probe = log.probe("gender.reply.en")
        assert probe
        labels = [r.label for r in probe.readings if (r.x or 0) >= 0.7 and r.label != "unparsed"]
        assert f"{100 * labels.count('female') / len(labels):.0f}" == percent
        assert f"{labels.count('female')} of {len(labels)}" in seen


def test_headline_rests_on_enough_replies_and_a_majority() -> None:
    whole = documents.audit_only()
    few = documents.with_readings(whole, "reply", lambda r: 0.3 < (r.x or 0) < 0.7)
    said = text_of(render_html(few)).partition("Measured only")[0]
    assert "jobs such as" not in said and "Asked who suits a job" in said
    none = documents.with_readings(whole, "reply", lambda r: r.item == "librarian")
    assert "Occupation line: the stereotype slope is" in text_of(render_html(none))


def test_a_verdict_on_the_development_split_is_no_proof() -> None:
    before, after, verdict = documents.repaired()
    before, after = (log.model_copy(update={"split": "dev"}) for log in (before, after))
    html = render_html(before, after, verdict)
    assert '<p class="stamp">Holds, but no proof</p>' in html
    assert "Proven" not in section(html, "checks")


def test_headline_items_do_not_depend_on_the_repair() -> None:
    before, after, verdict = documents.repaired()
    sentences = [
        re.search(r"jobs such as (.+?),", text_of(render_html(before, late, verdict)))
        for late in (after, documents.audit_log(repaired=True, seed=7))
    ]
    assert sentences[0] and sentences[1] and sentences[0][1] == sentences[1][1]


def test_answer_classes_count_every_reply() -> None:
    before = documents.audit_only()
    probe = before.probe("gender.reply.en")
    assert probe
    seen = section(render_html(before), "answers")
    labels = [r.label for r in probe.readings]
    for label, name in (("female", "a woman"), ("unparsed", "not readable")):
        share = 100 * labels.count(label) / len(labels)
        assert f"{name} {share:.1f}\u202f%" in seen


def test_nothing_measured_is_never_a_zero() -> None:
    html = render_html(documents.empty_log())
    assert "Nothing could be measured" in html
    assert "No reply could be read." in section(html, "figures")
    scores = section(html, "results")
    assert DASH in scores and "not measurable" in scores
    assert not re.search(r"\d+\.\d", scores)


def test_unmeasurable_language_is_listed_with_its_reason_and_never_called_fair() -> None:
    gaps = section(render_html(documents.audit_only()), "figures").partition("Not measurable")[2]
    assert documents.UNREADABLE in gaps
    assert "occupation line Chinese" in gaps


@pytest.mark.parametrize(
    ("proven", "quick", "stamp"),
    [(True, False, "Proven"), (False, False, "Not proven"), (True, True, "Quick run, no proof")],
)
def test_verdict_stamp(proven: bool, quick: bool, stamp: str) -> None:
    html = render_html(*documents.repaired(proven=proven, quick=quick))
    assert f'<p class="stamp">{stamp}</p>' in html
    assert ("QUICK RUN" in html) is quick


def test_a_required_check_that_was_not_measured_is_no_proof() -> None:
    before, after, verdict = documents.repaired()
    checks = [
        c.model_copy(update={"passed": None, "reason": "why"} if c.id == "G.agreement" else {}) for c in verdict.checks
    ]
    html = render_html(before, after, verdict.model_copy(update={"checks": tuple(checks)}))
    assert '<p class="stamp">Not proven</p>' in html
    assert "Gender agreement" in html.partition('class="stamp"')[2].partition("</section>")[0]


def test_an_axis_of_the_users_own_needs_no_words() -> None:
    seen = text_of(render_html(documents.own_axis()))
    assert "Asked about" in seen and "answered an elder" not in seen
    assert "toward elder" in seen


def test_a_language_without_words_is_refused() -> None:
    with pytest.raises(SettingError, match="lang: there is no report in 'fr'; use one of en, zh"):
        render_html(documents.audit_only(), lang="fr")


class Balance(HTMLParser):
    """Which elements were left open or closed in the wrong order."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.wrong.append(tag)
