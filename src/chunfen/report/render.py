"""The page: one self-contained HTML file, a pure function of the documents."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from chunfen.measure.log import AuditLog, Verdict
from chunfen.report import phrases
from chunfen.report.helpers import helpers
from chunfen.report.views.page import Page, page_of
from chunfen.report.wording import Words, words

KEPT = ("versions", "settings", "machine", "code", "git", "facts")
"""Parts of a manifest that help to repeat a run; the process and its host are nobody's business."""


def render_html(
    before: AuditLog,
    after: AuditLog | None = None,
    verdict: Verdict | None = None,
    manifest: Mapping[str, Any] | None = None,
    lang: str = "en",
) -> str:
    """The report as one HTML document that loads nothing from anywhere.

    Raises SettingError for a language without words.
    """
    w = words(lang)
    page = page_of(before, after, verdict, manifest or {}, lang)
    script = _file("sort.js").strip()
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            lang=w("lang"),
            page=page,
            w=w,
            t=w.html,
            style=Markup(_file("style.css").strip()),
            script=Markup(script),
            script_hash=script_hash(script),
            headline=phrases.headline(w, page),
            dek=phrases.dek(w, page),
            verdict_text=phrases.verdict(w, page),
            meta=_meta(w, page),
            meta_detail=_detail(w, page),
            sections=list(_sections(page)),
            facts=list(_facts(w, page)),
            command=command_of(page.manifest),
            **helpers(w),
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("chunfen.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _file(name: str) -> str:
    return resources.files("chunfen.report").joinpath("templates", name).read_text(encoding="utf-8")


def script_hash(script: str) -> str:
    """The source expression by which the page's policy allows its one script and no other."""
    digest = hashlib.sha256(f"\n{script}\n".encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode()


def _meta(w: Words, page: Page) -> str:
    return w("meta.repair" if page.after else "meta.audit", target=page.before.target)


def _detail(w: Words, page: Page) -> str:
    split = w.name("split", page.before.split)
    return w("meta.detail", split=split, seed=page.before.seed, date=page.before.started[:10])


def _sections(page: Page) -> Iterator[str]:
    """The sections that this page has, in order."""
    has = {
        "figures": True,
        "line": page.lines,
        "answers": page.answers,
        "samples": page.samples,
        "checks": page.checks,
        "guards": page.guards,
        "templates": page.spreads,
        "items": page.lines,
        "results": True,
        "coverage": True,
        "method": True,
        "repeat": True,
    }
    return (name for name, there in has.items() if there)


def command_of(manifest: Mapping[str, Any]) -> str:
    """The command line as it can be pasted into a shell; empty if the manifest has none.

    >>> command_of({"command": ["/usr/bin/chunfen", "audit", "--model", "my model"]})
    "chunfen audit --model 'my model'"
    """
    command = manifest.get("command", "")
    if isinstance(command, str):
        return command
    words_ = [str(word) for word in command]
    return shlex.join([words_[0].replace("\\", "/").rsplit("/", 1)[-1], *words_[1:]]) if words_ else ""


def _facts(w: Words, page: Page) -> Iterator[tuple[str, Any]]:
    """What it takes to repeat the run: (key of a word, value or mapping)."""
    log, late = page.before, page.after
    yield from (("target", log.target), ("fingerprint", log.fingerprint))
    if late:
        yield from (("target_after", late.target), ("fingerprint_after", late.fingerprint))
    yield from (("seed", log.seed), ("started", log.started), ("seconds", w.quantity(log.seconds, "seconds")))
    known_parts: dict[str, Any] = {"versions": log.versions, "settings": log.settings}
    known_parts |= {key: page.manifest[key] for key in KEPT if page.manifest.get(key)}
    for key in KEPT:
        value = known_parts.get(key)
        if value:
            yield key, flat(value) if isinstance(value, Mapping) else value
    yield "probes", {probe.probe: probe.version for probe in log.probes}


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested facts as one level; nothing, None and empty, is left out.

    >>> flat({"a": {"b": 1, "c": None}, "d": ["x", "y"]})
    {'a.b': '1', 'd': 'x, y'}
    """
    table: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            table |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            table |= {f"{prefix}{key}": ", ".join(map(str, value))} if value else {}
        elif value is not None:
            table[f"{prefix}{key}"] = str(value)
    return table
