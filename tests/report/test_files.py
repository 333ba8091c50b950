"""The other three files, and how they are written."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from chunfen.report import junit, model_card, report_json, write_report
from chunfen.report.wording import LANGUAGES

from . import documents


def test_writes_four_whole_files(tmp_path: Path) -> None:
    before, after, verdict = documents.repaired()
    path = write_report(tmp_path / "run", before=before, after=after, verdict=verdict, manifest=documents.manifest())
    assert path == tmp_path / "run" / "report.html"
    names = {"report.html", "report.json", "model_card.md", "junit.xml"}
    assert {p.name for p in path.parent.iterdir()} == names
    again = {p.name: p.read_bytes() for p in path.parent.iterdir()}
    write_report(tmp_path / "run", before=before, after=after, verdict=verdict, manifest=documents.manifest())
    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == again


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = documents.audit_only()
    path = write_report(tmp_path, before=before, manifest={})
    old = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(tmp_path, before=documents.empty_log(), manifest={})
    assert path.read_bytes() == old
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob(".*.part"))


def test_json_holds_the_numbers_and_no_nan() -> None:
    before, after, verdict = documents.repaired()
    text = report_json(before, after, verdict, documents.manifest())
    report = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert report["format"] == 1 and report["status"] == "proven"
    line = before.probe("gender.line.en")
    assert line
    assert report["primary"][0]["before"]["estimate"] == line.results[0].estimate
    assert [c["check"]["id"] for c in report["checks"]] == [c.id for c in verdict.checks]
    assert len(report["lines"][0]["items"]) == 60
    empty = json.loads(report_json(documents.empty_log()))
    broken = [s for s in empty["scores"] if s["before"]["metric"] == "slope" and s["endpoint"] == "reply"]
    assert broken[0]["before"]["estimate"] is None


def test_line_fit_equals_the_slope_of_its_readings() -> None:
    before = documents.audit_only()
    report = json.loads(report_json(before))
    line = before.probe("gender.line.en")
    assert line and line.results[0].estimate is not None
    assert math.isclose(report["lines"][0]["before"]["slope"], line.results[0].estimate, rel_tol=1e-9)


def test_junit_has_a_case_for_each_check() -> None:
    before, after, verdict = documents.repaired(proven=False)
    suites = ElementTree.fromstring(junit(before, after, verdict).encode())
    assert suites.tag == "testsuites"
    cases = list(suites.iter("testcase"))
    assert len(cases) == len(verdict.checks) == len({case.get("name") for case in cases})
    for check, case in zip(verdict.checks, cases, strict=True):
        assert (case.get("name") or "").startswith(check.id)
        kinds = [child.tag for child in case]
        assert kinds == {True: [], False: ["failure"], None: ["skipped"]}[check.passed], check.id
    suite = suites[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("17", "2", "4")
    skipped = cases[1].find("skipped")
    assert skipped is not None and "at chance" in (skipped.get("message") or "")


def test_junit_holds_what_xml_forbids_and_an_optional_miss_does_not_fail() -> None:
    before, after, verdict = documents.repaired(proven=False)
    checks = [
        c.model_copy(update={"required": False, "reason": "\x00<&>"} if c.passed is False else {})
        for c in verdict.checks
    ]
    suites = ElementTree.fromstring(junit(before, after, verdict.model_copy(update={"checks": tuple(checks)})).encode())
    assert suites.get("failures") == "0" and suites.get("skipped") == "6"


def test_junit_of_an_audit_skips_what_was_not_measurable() -> None:
    suites = ElementTree.fromstring(junit(documents.audit_only()).encode())
    skipped = [case.get("name") for case in suites.iter("testcase") if case.find("skipped") is not None]
    assert skipped == ["gender.line.zh"]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_model_card_has_a_metrics_table_of_one_width(lang: str) -> None:
    before, after, verdict = documents.repaired()
    card = model_card(before, after, verdict, documents.manifest(), lang)
    assert card.startswith("## ") and card.endswith("\n") and "\n\n\n" not in card
    blocks = re.findall(r"(?:^\|.*\|\n)+", card, flags=re.MULTILINE)
    assert len(blocks) == 2
    for block in blocks:
        lines = block.splitlines()
        assert re.fullmatch(r"\| :-- \|( --: \|)+", lines[1])
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
        assert len(widths) == 1 and len(lines) > 3
    assert before.probes[0].results[0].estimate is not None
    assert f"{before.probes[0].results[0].estimate:.2f}" in blocks[0]


def test_model_card_escapes_markup() -> None:
    hostile = documents.with_every_name(documents.audit_only(), documents.HOSTILE)
    card = model_card(hostile)
    assert not re.search(r"(?<!\\)<script", card)
