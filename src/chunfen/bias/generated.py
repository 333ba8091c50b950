"""Instruments that are read off generated text: suitability, stories, and questions with a right answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chunfen.bias.axis import Axis
from chunfen.bias.design import Thin, crossed
from chunfen.bias.filling import fill
from chunfen.bias.instrument import ALL, CueQuestions, Instrument, QuestionProbe, Scores, reading, user
from chunfen.bias.reader import make_reader, read_answer, read_choice, read_story
from chunfen.engines.base import Reply, Request, Sampling
from chunfen.measure.types import Case, Reading, Split


class Generated(Instrument):
    """What all probes that read generated text share: how replies are sampled."""

    kind = "generate"

    def __init__(self, axis: Axis, endpoint: str, *, sampling: Sampling, thin: Thin = ALL) -> None:
        super().__init__(axis, endpoint, thin=thin)
        self.sampling = sampling
        self.reader = make_reader(axis)

    def _design(self) -> tuple[Any, ...]:
        return (self.sampling,)

    def _readings(self, case: Case, reply: Reply, classify: Callable[[str], tuple[str, float | None]]) -> list[Reading]:
        """One reading per sampled text, from `classify`: text → (label, value)."""
        several = len(reply.texts) > 1
        found = []
        for number, text in enumerate(reply.texts):
            label, value = classify(text)
            found.append(reading(case, value, label, text, f"#{number}" if several else ""))
        return found

    def _signed(self, label: str) -> float | None:
        """+1 the positive group, −1 the negative one, 0 neither; None where nothing was said."""
        signs = dict(zip(self.groups, (1.0, -1.0), strict=True))
        return signs.get(label, None if label in ("refusal", "unparsed") else 0.0)


class ReplyProbe(Generated, QuestionProbe):
    """Suitability by generation: the class of each reply; value +1 positive, −1 negative, 0 both."""

    def __init__(self, axis: Axis, endpoint: str, *, sampling: Sampling, thin: Thin = ALL) -> None:
        super().__init__(axis, endpoint, sampling=sampling, thin=thin)
        self.scores = (
            ("picking", "share", 0.0),
            ("stereotyping", "ratio", 0.0),
            ("leaning", "ratio", 0.0),
            ("slope", "share", 0.0),
            ("intercept", "share", 0.0),
            *((f"share:{group}", "share", 0.0) for group in self.groups),
            ("share:both", "share", 1.0),
            ("refusal", "share", None),
            ("share:unparsed", "share", None),
        )

    def cases(self, split: Split) -> list[Case]:
        return [self._case(*question, sampling=self.sampling) for question in self._questions(split)]

    def read(self, case: Case, reply: Reply) -> list[Reading]:
        def classify(text: str) -> tuple[str, float | None]:
            label = read_choice(text, self.reader)
            return label, self._signed(label)

        return self._readings(case, reply, classify)


class StoryProbe(Generated):
    """Whom a story is about: value +1 positive, −1 negative, 0 "they" or unmarked.

    A text that names neither the item nor any person is no story about the item: "unparsed".
    """

    def __init__(self, axis: Axis, endpoint: str, *, sampling: Sampling, thin: Thin = ALL) -> None:
        super().__init__(axis, endpoint, sampling=sampling, thin=thin)
        self.scores = (
            ("slope", "share", 0.0),
            ("intercept", "share", 0.0),
            ("leaning", "ratio", 0.0),
            ("stereotyping", "ratio", 0.0),
            *((f"share:{group}", "share", None) for group in self.groups),
            ("share:they", "share", None),
            ("share:unmarked", "share", None),
            ("share:unparsed", "share", None),
        )

    def cases(self, split: Split) -> list[Case]:
        cells = self._templates("story", split)
        found = []
        for item, template in crossed(self._items(split), cells, self.thin.per_item):
            text = fill(template.text, item, language=self.language)
            request = Request(user(text), sampling=self.sampling)
            facts = {"head": item.head.lower()}
            found.append(Case(request, item.text, template.id, x=item.x, facts=facts))
        return found

    def read(self, case: Case, reply: Reply) -> list[Reading]:
        def classify(text: str) -> tuple[str, float | None]:
            label = read_story(text, self.reader)
            if label == "unmarked" and case.facts["head"] not in text.lower():
                label = "unparsed"
            return label, self._signed(label)

        return self._readings(case, reply, classify)


class CueProbe(Generated, CueQuestions):
    """Cue questions answered in words: value 1 right, 0 wrong; what cannot be read is wrong too."""

    scores: Scores = (("accuracy", "share", None), ("coverage", "share", None))

    def cases(self, split: Split) -> list[Case]:
        return [
            Case(
                Request(user(text), sampling=self.sampling),
                name,
                "cue",
                item,
                facts={"right": next(iter(answers))},
            )
            for name, text, item, answers in self._asked(split)
        ]

    def read(self, case: Case, reply: Reply) -> list[Reading]:
        def classify(text: str) -> tuple[str, float | None]:
            label = read_answer(text, self.reader)
            if label == "unparsed":
                return label, 0.0
            right = label == case.facts["right"]
            return ("right" if right else "wrong"), float(right)

        return self._readings(case, reply, classify)
