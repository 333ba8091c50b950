"""Simulated measurements: a table whose truth is known, and a model that answers as it is told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from chunfen.engines.base import Reply, Request, Sampling, Score
from chunfen.measure.metrics import function
from chunfen.measure.table import to_table
from chunfen.measure.types import Case, Metric, Reading, Role, Split, Table

Simulate = Callable[..., Table]


@pytest.fixture
def simulate() -> Simulate:
    """A function that makes tables of crossed random effects, one row per item and template.

    value = a + (b + slopes·N)(x − 0.5) + item·N + template·N + cell·N; with ``classes=True`` the value is +1
    with probability σ(that), else −1.
    """

    def make(
        rng: np.random.Generator,
        items: int = 40,
        templates: int = 8,
        b: float = 2.0,
        a: float = -0.5,
        item: float = 0.5,
        template: float = 0.4,
        slopes: float = 0.5,
        cell: float = 0.5,
        classes: bool = False,
    ) -> Table:
        x = (np.arange(items) + 0.5) / items
        i, t = np.repeat(np.arange(items), templates), np.tile(np.arange(templates), items)
        value = a + (b + slopes * rng.normal(size=templates)[t]) * (x[i] - 0.5)
        value += item * rng.normal(size=items)[i] + template * rng.normal(size=templates)[t]
        value += cell * rng.normal(size=len(i))
        if classes:
            value = np.where(rng.random(len(i)) < 1 / (1 + np.exp(-value)), 1.0, -1.0)
        names = tuple(f"i{n:03}" for n in range(items)), tuple(f"t{n}" for n in range(templates))
        nothing = np.full(len(i), "")
        return Table(value, x[i], i, t, nothing, nothing, *names)

    return make


Answer = Callable[[Case], str]
OCCUPATIONS = (
    ("plumber", 0.04),
    ("pilot", 0.1),
    ("baker", 0.6),
    ("nurse", 0.9),
    ("maid", 0.95),
    ("welder", 0.06),
)


def reading(case: Case, label: str) -> Reading:
    value = {"female": 1.0, "male": -1.0, "both": 0.0}.get(label)
    return Reading(case.item, case.template, case.variant, case.x, value, label)


@pytest.fixture
def answered() -> Callable[[Answer], Table]:
    """A responder, (case → class of its reply), asked about every occupation, template and order."""

    def ask(answer: Answer) -> Table:
        return to_table(reading(case, answer(case)) for case in Questions("gender.reply.en").cases("test"))

    return ask


@dataclass
class Questions:
    """A probe: who suits the job? Options are "female" and "male", in both orders."""

    name: str
    role: Role = "endpoint"
    kind: str = "generate"
    templates: int = 8
    groups: tuple[str, str] = ("female", "male")
    scores: tuple[tuple[str, str, float | None], ...] = (
        ("picking", "share", 0.0),
        ("stereotyping", "ratio", 0.0),
        ("share:both", "share", 1.0),
    )

    @property
    def endpoint(self) -> str:
        return self.name.split(".")[1]

    @property
    def language(self) -> str:
        return self.name.split(".")[2]

    def cases(self, split: Split) -> list[Case]:
        return [
            Case(
                Request(f"{self.name} {job} {t} {order}", options=tuple(order.split("/")), sampling=Sampling()),
                item=job,
                template=f"t{t}",
                variant=order,
                x=x,
            )
            for job, x in OCCUPATIONS
            for t in range(self.templates)
            for order in ("female/male", "male/female")
        ]

    def read(self, case: Case, reply: Reply) -> list[Reading]:
        if self.kind == "loglikelihood":
            by_option = dict(zip(case.request.options, reply.scores, strict=True))
            value = by_option["female"].logprob - by_option["male"].logprob
            return [Reading(case.item, case.template, case.variant, case.x, value)]
        return [reading(case, text) for text in reply.texts]

    def metrics(self) -> list[Metric]:
        return [Metric(name, function(name), unit, ideal) for name, unit, ideal in self.scores]


@dataclass
class Scripted:
    """An engine that says what a function of the prompt says, and counts what it was asked."""

    say: Callable[[str], str | float]
    name: str = "scripted"
    asked: list[str] = field(default_factory=list)
    seeds: set[int] = field(default_factory=set)

    def generate(self, requests: Sequence[Request]) -> list[Reply]:
        self.asked += [str(r.prompt) for r in requests]
        self.seeds |= {r.sampling.seed for r in requests if r.sampling}
        return [Reply(texts=(str(self.say(str(r.prompt))),)) for r in requests]

    def loglikelihood(self, requests: Sequence[Request]) -> list[Reply]:
        """The lead of "female" over "male" is what the function says, in nats."""
        self.asked += [str(r.prompt) for r in requests]
        return [
            Reply(tuple(Score(float(self.say(str(r.prompt))) if o == "female" else 0.0, 1) for o in r.options))
            for r in requests
        ]

    def fingerprint(self) -> str:
        return self.name


@pytest.fixture
def questions() -> type[Questions]:
    return Questions


@pytest.fixture
def scripted() -> type[Scripted]:
    return Scripted
