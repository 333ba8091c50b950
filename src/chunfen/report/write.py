"""The report's files in a run folder."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from chunfen.measure.log import AuditLog, Verdict
from chunfen.report import phrases
from chunfen.report.card import model_card
from chunfen.report.junit import junit
from chunfen.report.render import render_html
from chunfen.report.views.page import page_of
from chunfen.report.wording import words
from chunfen.runs.files import write_text

FORMAT = 1
"""Number of report.json's shape."""


def write_report(
    folder: Path,
    before: AuditLog,
    after: AuditLog | None = None,
    verdict: Verdict | None = None,
    manifest: Mapping[str, Any] | None = None,
    lang: str = "en",
) -> Path:
    """Write report.html, report.json, model_card.md and junit.xml, each whole or not at all.

    Returns the path of report.html. Everything is rendered before anything is written.
    Raises SettingError for a language without words.
    """
    files = {
        "report.json": report_json(before, after, verdict, manifest, lang),
        "model_card.md": model_card(before, after, verdict, manifest, lang),
        "junit.xml": junit(before, after, verdict, lang),
        "report.html": render_html(before, after, verdict, manifest, lang),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        write_text(folder / name, text)
    return folder / "report.html"


def report_json(
    before: AuditLog,
    after: AuditLog | None = None,
    verdict: Verdict | None = None,
    manifest: Mapping[str, Any] | None = None,
    lang: str = "en",
) -> str:
    """What the page shows, as JSON: the same numbers, unrounded; a number that is not there is null.

    The logs themselves are not repeated, only what they are of.
    """
    w = words(lang)
    page = page_of(before, after, verdict, manifest or {}, lang)
    shown = {field.name: getattr(page, field.name) for field in dataclasses.fields(page)}
    shown |= {"before": _identity(before), "after": _identity(after)}
    sentence = phrases.headline(w, page).striptags()
    document = {
        "format": FORMAT,
        "lang": lang,
        "sentence": sentence,
        "verdict": phrases.verdict(w, page),
        **shown,
    }
    return json.dumps(tree(document), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _identity(log: AuditLog | None) -> dict[str, Any] | None:
    return None if log is None else log.model_dump(mode="json", exclude={"probes"})


def tree(value: Any) -> Any:
    """Plain JSON values out of dataclasses and documents; NaN and infinity become null.

    >>> tree({"a": (1, float("nan")), "b": Path("x")})
    {'a': [1, None], 'b': 'x'}
    """
    if isinstance(value, BaseModel):
        return tree({name: getattr(value, name) for name in type(value).model_fields})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: tree(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): tree(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [tree(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)
