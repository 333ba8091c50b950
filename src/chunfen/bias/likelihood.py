"""Instruments read by likelihood: which of some given texts a model finds likelier, and by how much."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chunfen.bias.axis import Item, Pair, Template
from chunfen.bias.design import crossed, spread
from chunfen.bias.filling import answer_texts, fill, pair_texts
from chunfen.bias.instrument import CueQuestions, Instrument, QuestionProbe, Scores, reading, user
from chunfen.bias.wording import split_pair
from chunfen.engines.base import Reply, Request, Score
from chunfen.measure.types import Case, Reading, Role, Split


def class_score(scores: Sequence[Score]) -> float:
    """How likely a class of answers is, nats per token: log-mean-exp over its phrasings' mean token log-prob.

    >>> class_score([Score(-6.0, 6), Score(-6.0, 6)])
    -1.0
    """
    means = [s.logprob / max(s.tokens, 1) for s in scores]
    top = max(means)
    return top + math.log(sum(math.exp(m - top) for m in means) / len(means)) if math.isfinite(top) else top


class MinimalPairProbe(Instrument):
    """Two texts that differ in the words of the group. value = log p(positive) − log p(negative)."""

    scores: Scores = (
        ("slope", "nats", 0.0),
        ("intercept", "nats", 0.0),
        ("mean_abs_item", "nats", 0.0),
        ("abs_item_mean", "nats", 0.0),
        ("pearson", "ratio", 0.0),
        ("amplification", "ratio", 0.0),
        ("probability_at:0.05", "share", 0.5),
        ("probability_at:0.5", "share", 0.5),
        ("probability_at:0.95", "share", 0.5),
    )

    def cases(self, split: Split) -> list[Case]:
        cells = self._templates(self.endpoint, split)
        return [self._case(i, t) for i, t in crossed(self._items(split), cells, self.thin.per_item)]

    def _case(self, item: Item, template: Template) -> Case:
        prompt, positive, negative = split_pair(*pair_texts(self.source, template, item))
        return Case(Request(prompt, options=(positive, negative)), item.text, template.id, x=item.x)

    def read(self, case: Case, reply: Reply) -> list[Reading]:
        positive, negative = reply.scores
        return [reading(case, positive.logprob - negative.logprob)]


class ReverseProbe(MinimalPairProbe):
    """The reverse line. Its level holds how likely either group word opens a text: only slopes count."""

    scores: Scores = (("slope", "nats", 0.0), ("intercept", "nats", None), ("pearson", "ratio", 0.0))


class ChoiceProbe(QuestionProbe):
    """Suitability by likelihood: label is the likeliest class, value = score(positive) − score(negative)."""

    scores: Scores = (
        ("picking", "share", 0.0),
        ("stereotyping", "ratio", 0.0),
        ("leaning", "ratio", 0.0),
        ("slope", "nats", 0.0),
        ("intercept", "nats", 0.0),
    )

    def cases(self, split: Split) -> list[Case]:
        found = []
        for item, template, order in self._questions(split):
            answers = answer_texts(self.source, item, split)
            classes = tuple(label for label, texts in answers.items() for _ in texts)
            options = tuple(text for texts in answers.values() for text in texts)
            found.append(self._case(item, template, order, options=options, facts={"classes": classes}))
        return found

    def read(self, case: Case, reply: Reply) -> list[Reading]:
        by_class: dict[str, list[Score]] = {}
        for label, score in zip(case.facts["classes"], reply.scores, strict=True):
            by_class.setdefault(label, []).append(score)
        totals = {label: class_score(found) for label, found in by_class.items()}
        positive, negative = (totals[group] for group in self.groups)
        return [reading(case, positive - negative, label=max(totals, key=totals.__getitem__))]


class CueChoiceProbe(CueQuestions):
    """Cue questions by likelihood: value = the right answer's lead over the wrong one, nats per token."""

    scores: Scores = (("accuracy", "share", None), ("mean_value", "nats", None))

    def cases(self, split: Split) -> list[Case]:
        return [
            Case(Request(user(text), options=tuple(answers.values())), name, "cue", item)
            for name, text, item, answers in self._asked(split)
        ]

    def read(self, case: Case, reply: Reply) -> list[Reading]:
        right, wrong = (class_score([score]) for score in reply.scores)
        return [reading(case, right - wrong, label="right" if right > wrong else "wrong")]


class AgreementProbe(Instrument):
    """Two texts of which one contradicts itself: value = log p(right) − log p(wrong), nats."""

    role: Role = "guard"
    scores: Scores = (("accuracy", "share", None), ("mean_value", "nats", None))

    def cases(self, split: Split) -> list[Case]:
        pairs = enumerate(self._templates(self.endpoint, split))
        return [self._case(pair, spread(self._items(split), number, 1)) for number, pair in pairs]

    def _case(self, pair: Pair, items: Sequence[Item]) -> Case:
        """items: the one that fills the pair's placeholders, if it has any; else unused."""
        item = items[0] if items else None
        texts = (fill(text, item, language=self.language) for text in (pair.right, pair.wrong))
        prompt, right, wrong = split_pair(*texts)
        return Case(Request(prompt, options=(right, wrong)), pair.id, self.endpoint, pair.kind)

    def read(self, case: Case, reply: Reply) -> list[Reading]:
        right, wrong = reply.scores
        return [reading(case, right.logprob - wrong.logprob)]


class CompetenceProbe(AgreementProbe):
    """Plain cloze in the language: a model that fails it has no measurable bias in it."""

    role: Role = "competence"
