"""Guard sets as probes: how the items of each kind are asked, read and scored."""

from __future__ import annotations

import math
from typing import Any, Literal

from chunfen.benchmarks.items import Chat, Choice, GuardSet, Kind, Paragraph, Prompt, TwoTexts
from chunfen.benchmarks.scoring import cut_opening, cut_pair, pair_share, per_token, right_share, word_count
from chunfen.engines.base import Reply, Request, Sampling
from chunfen.measure.types import Case, Metric, Reading, Role, Split

Scores = tuple[tuple[str, str, str, float | None], ...]
"""Rows of (metric, its function in `measure.metrics`, unit, ideal), the primary one first."""


class Guard:
    """One set. Its items are the clusters of the bootstrap, so `template` is one and the same."""

    role: Role = "guard"
    kind: Literal["loglikelihood", "generate"] = "loglikelihood"
    groups = ("", "")
    scores: Scores = (
        ("probability", "mean_value", "points", None),
        ("accuracy", "share:right", "share", None),
    )

    def __init__(self, source: GuardSet) -> None:
        header = source.header
        self.source = source
        self.axis = header.axis
        self.endpoint = header.endpoint or header.name
        self.language = header.language
        self.name = f"{self.axis}.{self.endpoint}.{self.language}"
        self.version = source.version

    def cases(self, split: Split) -> list[Case]:
        """One case per item of the split."""
        name = self.source.header.name
        return [Case(self.request(item), item.id, name) for item in self.source.of(split)]

    def metrics(self) -> list[Metric]:
        # Imported here: metrics need numpy, and listing probes must not.
        from chunfen.measure.metrics import function

        return [Metric(name, function(how), unit, ideal) for name, how, unit, ideal in self.scores]

    def request(self, item: Any) -> Request:
        """What is asked about an item."""
        raise NotImplementedError

    def read(self, case: Case, reply: Reply) -> list[Reading]:
        """One reading per item (or sample)."""
        raise NotImplementedError


class ChoiceGuard(Guard):
    """Four options after a prompt. value: the right one's share, points. label: whether it beats the rest."""

    def request(self, item: Choice) -> Request:
        prompt = self.source.header.template.replace("{question}", item.question)
        return Request(prompt, options=tuple(f" {option}" for option in (item.right, *item.wrong)))

    def read(self, case: Case, reply: Reply) -> list[Reading]:
        right, *wrong = (per_token(score) for score in reply.scores)
        label = "right" if right > max(wrong) else "wrong"
        return [reading(case, right_share(reply.scores), label)]


class PairGuard(Guard):
    """Two texts, one right. value: the right one's chance against the other, points."""

    def request(self, item: TwoTexts) -> Request:
        prompt, *rests = cut_pair(*item.sides())
        return Request(prompt, options=tuple(rests))

    def read(self, case: Case, reply: Reply) -> list[Reading]:
        first, second = reply.scores
        label = "right" if first.logprob > second.logprob else "wrong"
        return [reading(case, pair_share(first, second), label)]


class PreferenceGuard(PairGuard):
    """Two texts about different groups. value: the stereotype's chance against the other, points."""

    scores: Scores = (("preference", "mean_value", "points", 50.0),)

    def read(self, case: Case, reply: Reply) -> list[Reading]:
        return [reading(case, pair_share(*reply.scores))]


class PerplexityGuard(Guard):
    """One text. value: mean negative log-probability of its tokens, nats."""

    scores: Scores = (("log_perplexity", "mean_value", "nats", None),)

    def read(self, case: Case, reply: Reply) -> list[Reading]:
        (score,) = reply.scores
        return [reading(case, -per_token(score))]


class ParagraphGuard(PerplexityGuard):
    """A paragraph after its first words."""

    def request(self, item: Paragraph) -> Request:
        opening, rest = cut_opening(item.text)
        return Request(opening, options=(rest,))


class ChatGuard(PerplexityGuard):
    """A reference answer under the chat template."""

    def request(self, item: Chat) -> Request:
        return Request((("user", item.prompt),), options=(item.answer,))


class ReplyGuard(Guard):
    """A greedy reply. value: its words. label: "empty" where there are none."""

    kind: Literal["loglikelihood", "generate"] = "generate"
    scores: Scores = (("words", "mean_value", "words", None), ("share:empty", "share:empty", "share", 0.0))

    def request(self, item: Prompt) -> Request:
        greedy = Sampling(max_new_tokens=self.source.header.max_new_tokens, temperature=0.0)
        return Request((("user", item.prompt),), sampling=greedy)

    def read(self, case: Case, reply: Reply) -> list[Reading]:
        (text,) = reply.texts
        words = word_count(text)
        return [reading(case, float(words), "words" if words else "empty", text)]


def reading(case: Case, value: float, label: str = "", text: str = "") -> Reading:
    """A reading at the coordinates of its case; a value that is not finite is nothing read."""
    asked = case.request.prompt
    prompt = asked if isinstance(asked, str) else asked[-1][1]
    if not math.isfinite(value):
        return Reading(case.item, case.template, prompt=prompt, text=text)
    return Reading(case.item, case.template, value=value, label=label, prompt=prompt, text=text)


GUARDS: dict[Kind, type[Guard]] = {
    "choice": ChoiceGuard,
    "text": ParagraphGuard,
    "minimal_pair": PairGuard,
    "preference": PreferenceGuard,
    "chat": ChatGuard,
    "reply": ReplyGuard,
}
"""The kind of a set's items → how they are asked and read."""
