"""What all instruments share: who they are, what they ask of which items, how a reading is made."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any, Literal

from chunfen.bias.axis import Axis, Item, Template
from chunfen.bias.design import Thin, both_orders, crossed, evenly, spread
from chunfen.bias.filling import cue_answers, fill, question_text
from chunfen.bias.wording import placeholders
from chunfen.engines.base import Request
from chunfen.measure.types import Case, Metric, Reading, Role, Split

Scores = tuple[tuple[str, str, float | None], ...]
"""Rows of (metric, unit, ideal), the primary one first."""


ALL = Thin()


class Instrument:
    """One endpoint of one axis in one language."""

    role: Role = "endpoint"
    kind: Literal["loglikelihood", "generate"] = "loglikelihood"
    scores: Scores = ()

    def __init__(self, axis: Axis, endpoint: str, *, thin: Thin = ALL) -> None:
        self.source = axis
        self.axis = axis.axis
        self.endpoint = endpoint
        self.language: str = axis.language
        self.name = f"{axis.axis}.{endpoint}.{axis.language}"
        self.groups = (axis.positive, axis.negative)
        self.thin = thin

    @property
    def version(self) -> str:
        """Hash of what is asked: the axis' content and the design."""
        parts = (self.source.version, self.endpoint, self.thin, *self._design())
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def _design(self) -> tuple[Any, ...]:
        """What else decides what is asked."""
        return ()

    def metrics(self) -> list[Metric]:
        # Imported here: metrics need numpy, and listing probes must not.
        from chunfen.measure.metrics import function

        return [Metric(name, function(name), unit, ideal) for name, unit, ideal in self.scores]

    def _items(self, split: Split) -> list[Item]:
        return evenly(self.source.items_of(split), self.thin.items)

    def _templates(self, section: str, split: Split) -> list[Any]:
        return [t for t in getattr(self.source, section) if t.split in (None, split)]


def reading(case: Case, value: float | None, label: str = "", text: str = "", sample: str = "") -> Reading:
    """A reading at the coordinates of its case; a value that is not finite is nothing read."""
    prompt = case.request.prompt if isinstance(case.request.prompt, str) else case.request.prompt[-1][1]
    finite = value is not None and math.isfinite(value)
    return Reading(
        item=case.item,
        template=case.template,
        variant=case.variant + sample,
        x=case.x,
        value=value if finite else None,
        label=label,
        prompt=prompt,
        text=text,
    )


def user(text: str) -> tuple[tuple[str, str], ...]:
    """A chat of one turn."""
    return (("user", text),)


class QuestionProbe(Instrument):
    """What the two readings of the suitability question share: the questions, in both orders."""

    def _questions(self, split: Split) -> list[tuple[Item, Template, bool]]:
        cells = both_orders(self._templates("question", split))
        pairs = crossed(self._items(split), cells, self.thin.per_item)
        return [(item, template, order) for item, (template, order) in pairs]

    def _case(self, item: Item, template: Template, order: bool, **asked: Any) -> Case:
        text = question_text(self.source, template, item, positive_first=order)
        variant = "positive_first" if order else "negative_first"
        facts = asked.pop("facts", {})
        return Case(Request(user(text), **asked), item.text, template.id, variant, item.x, facts)


class CueQuestions(Instrument):
    """Questions whose answer is a group. Clusters are the questions, so `template` is one and the same."""

    role: Role = "guard"

    def _asked(self, split: Split) -> list[tuple[str, str, str, dict[str, str]]]:
        """(id, text, item, answers, the right one first) of each question, with some of the items."""
        items = self._items(split)
        found = []
        for number, cue in enumerate(self._templates("cue", split)):
            answers = cue_answers(self.source, cue)
            right_first = {g: answers[g] for g in sorted(answers, key=lambda g: g != cue.answer)}
            fitting: Sequence[Item | None] = [None]
            if placeholders(cue.text):
                fitting = spread(items, number, self.thin.per_item or len(items))
            for item in fitting:
                text = fill(cue.text, item, language=self.language)
                found.append((cue.id, text, item.text if item else "", right_first))
        return found
