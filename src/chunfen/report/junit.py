"""The verdict as JUnit XML, so that a build server shows each check as a test."""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree

from chunfen.measure.log import AuditLog, Check, Verdict
from chunfen.report import phrases
from chunfen.report.views.checks import outcome
from chunfen.report.views.page import readable
from chunfen.report.wording import Words, words

FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold."""


def junit(before: AuditLog, after: AuditLog | None = None, verdict: Verdict | None = None, lang: str = "en") -> str:
    """One test case per check: a miss fails, what was not measured is skipped with its reason.

    A check that is only reported never fails the build; its miss is told as the reason of a skip. An audit
    without a verdict has one case per endpoint, skipped where it was not measurable.
    """
    w = words(lang)
    seconds = before.seconds + (after.seconds if after else 0.0)
    suites = ElementTree.Element("testsuites")
    name = w("junit.suite") if verdict else w("junit.audit_suite")
    suite = ElementTree.SubElement(
        suites, "testsuite", name=clean(name), time=f"{seconds:.3f}", timestamp=before.started
    )
    cases = [_check_case(w, c) for c in verdict.checks] if verdict else list(_audit_cases(w, before))
    suite.extend(cases)
    for element in (suites, suite):
        element.set("tests", str(len(cases)))
        element.set("failures", str(sum(case.find("failure") is not None for case in cases)))
        element.set("errors", "0")
        element.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _check_case(w: Words, check: Check) -> ElementTree.Element:
    probe = check.metric.rpartition("/")[0]
    name = f"{check.id} [{probe}]" if probe else check.id  # one criterion has a check for each language
    case = ElementTree.Element("testcase", classname=f"chunfen.{check.group}", name=clean(name), time="0")
    bounds = w.interval(check.change_low, check.change_high, check.unit, signed=True)
    change = w.quantity(check.change, check.unit, signed=True)
    told = w("junit.missed", change=change, interval=bounds, floor=phrases.limit(w, check, check.floor))
    match outcome(check):
        case "miss" if check.required:
            failure = ElementTree.SubElement(case, "failure", message=clean(told), type=check.sense)
            failure.text = clean(f"{phrases.check_name(w, check)}\n{check.metric}\n{check.reason}".strip())
        case "miss":
            ElementTree.SubElement(case, "skipped", message=clean(f"{w('checks.optional')}; {told}"))
        case "unmeasured" | "reported" as kind:
            reason = check.reason or w("gaps.no_reason")
            ElementTree.SubElement(case, "skipped", message=clean(w(f"junit.{kind}", reason=reason, change=change)))
    return case


def _audit_cases(w: Words, log: AuditLog) -> Iterable[ElementTree.Element]:
    for probe in log.probes:
        if probe.role != "endpoint":
            continue
        case = ElementTree.Element("testcase", classname=f"chunfen.{probe.axis}", name=clean(probe.probe), time="0")
        if not readable(probe):
            reason = next((r.reason for r in probe.results if r.reason), w("gaps.no_reason"))
            ElementTree.SubElement(case, "skipped", message=clean(w("junit.unmeasured", reason=reason)))
        yield case


def clean(text: str) -> str:
    """Text without the characters that XML cannot hold.

    >>> clean("a" + chr(0) + "b")
    'a\\ufffdb'
    """
    return FORBIDDEN.sub("\ufffd", text)
