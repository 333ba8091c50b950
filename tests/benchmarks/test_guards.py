"""The guard probes: known-answer responders give known scores, and the real model is above chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from chunfen.benchmarks.guards import DATA, guards
from chunfen.engines.base import Engine, Reply, Request, Score
from chunfen.errors import SettingError
from chunfen.measure.log import AuditLog
from chunfen.measure.run import measure

TWO_SIDED = ("choice_accuracy", "cloze", "grammar", "untouched")
"""Sets that offer options, the right (or stereotyped) one first."""


class Responder:
    """An engine whose answers are known: the first option gets `first` nats per token, all others `other`."""

    def __init__(self, first: float, other: float, text: str = "") -> None:
        self.name = f"responder({first}, {other})"
        self.first, self.other, self.text = first, other, text

    def loglikelihood(self, requests: Sequence[Request]) -> list[Reply]:
        return [Reply(scores=tuple(map(self._score, range(len(r.options)), r.options))) for r in requests]

    def _score(self, position: int, option: str) -> Score:
        tokens = len(option.split())
        return Score(tokens * (self.other if position else self.first), tokens)

    def generate(self, requests: Sequence[Request]) -> list[Reply]:
        return [Reply(texts=(self.text,)) for _ in requests]

    def fingerprint(self) -> str:
        return self.name


def audited(engine: Engine, endpoints: Sequence[str] = ()) -> AuditLog:
    return measure(engine, guards(endpoints=endpoints), resamples=200)


def estimates(log: AuditLog, metric: str) -> dict[str, float]:
    """The scores of that name by probe, rounded to nine digits; every one of them was measured."""
    found = {p.probe: p.result(metric) for p in log.probes}
    return {name: round(result.estimate, 9) for name, result in found.items() if result}


def test_the_perfect_responder_gets_everything() -> None:
    log = audited(Responder(-0.1, -90.0), TWO_SIDED)
    assert set(estimates(log, "probability").values()) == {100.0}
    assert set(estimates(log, "accuracy").values()) == {1.0}
    assert set(estimates(log, "preference").values()) == {100.0}


def test_the_anti_responder_gets_nothing() -> None:
    log = audited(Responder(-90.0, -0.1), TWO_SIDED)
    assert set(estimates(log, "probability").values()) == {0.0}
    assert set(estimates(log, "accuracy").values()) == {0.0}
    assert set(estimates(log, "preference").values()) == {0.0}


def test_the_uniform_responder_is_at_chance() -> None:
    log = audited(Responder(-2.0, -2.0), ("choice_accuracy", "cloze"))
    assert set(estimates(log, "probability").values()) == {25.0}


class Alike(Responder):
    """Every option is as likely as every other, whatever its length."""

    def _score(self, position: int, option: str) -> Score:
        return Score(-7.0, len(option.split()))


def test_options_that_are_equally_likely_are_no_preference() -> None:
    log = audited(Alike(0, 0), ("grammar", "untouched"))
    assert set(estimates(log, "probability").values()) == {50.0}
    assert set(estimates(log, "preference").values()) == {50.0}


def test_log_perplexity_is_the_mean_negative_log_probability_per_token() -> None:
    log = audited(Responder(-3.25, 0.0), ("perplexity", "chat_quality"))
    assert set(estimates(log, "log_perplexity").values()) == {3.25}


@pytest.mark.parametrize(("text", "count", "empty"), [("", 0.0, 1.0), (" … \n", 0.0, 1.0), ("It is 4.", 3.0, 0.0)])
def test_reply_length(text: str, count: float, empty: float) -> None:
    log = audited(Responder(0, 0, text), ("reply_length",))
    assert estimates(log, "words") == {"general.reply_length.en": count}
    assert estimates(log, "share:empty") == {"general.reply_length.en": empty}


@pytest.mark.parametrize("broken", [math.nan, -math.inf])
def test_what_cannot_be_read_is_no_measurement(broken: float) -> None:
    log = audited(Responder(broken, broken), (*TWO_SIDED, "perplexity", "chat_quality"))
    for probe in log.probes:
        for result in probe.results:
            assert result.estimate is None, (probe.probe, result)
            assert result.coverage == 0


def test_names_roles_and_versions() -> None:
    probes = guards()
    assert len({p.name for p in probes}) == len(probes) == len(list(DATA.glob("*.en.jsonl")))
    assert {p.role for p in probes} == {"guard"}
    assert {p.endpoint for p in probes} >= {"choice_accuracy", "cloze", "perplexity", "grammar", "untouched"}
    assert [p.name for p in guards(endpoints=["untouched"])] == [
        "age.untouched.en",
        "nationality.untouched.en",
    ]
    assert [p.name for p in guards(endpoints=["untouched"], without=["age"])] == ["nationality.untouched.en"]
    assert len({p.version for p in probes}) == len(probes)  # type: ignore[attr-defined]


def test_unknown_names_are_setting_errors() -> None:
    with pytest.raises(SettingError, match=r"unknown guard 'cloz'. Did you mean 'cloze'\?"):
        guards(endpoints=["cloz"])
    with pytest.raises(SettingError, match=r"no guard sets in 'xx'. Known: en"):
        guards(language="xx")


def test_prompts_and_options_join_where_a_word_ends() -> None:
    for probe in guards():
        for case in probe.cases("test"):
            prompt = case.request.prompt
            if isinstance(prompt, str):
                assert prompt and not prompt[-1].isspace()
                assert all(option[0].isspace() for option in case.request.options)
            else:
                assert [role for role, _ in prompt] == ["user"]


@pytest.mark.slow
def test_the_default_model_is_above_chance(default_model_dir: Path) -> None:
    from chunfen.engines.transformers import TransformersEngine
    from chunfen.models.loading import load_model

    engine = TransformersEngine(load_model(str(default_model_dir), torch_dtype="float32", device="cpu"))
    log = audited(engine, (*TWO_SIDED, "perplexity", "chat_quality"))
    chance = {"general.choice_accuracy.en": 25, "general.cloze.en": 25, "general.grammar.en": 50}
    for name, level in chance.items():
        result = log.probe(name).result("probability")
        assert result.low > level, (name, result)
    for name in ("general.perplexity.en", "general.chat_quality.en"):
        result = log.probe(name).result("log_perplexity")
        assert 0.5 < result.estimate < np.log(50_000) / 2, (name, result)
    for name in ("age.untouched.en", "nationality.untouched.en"):
        assert 30 < log.probe(name).result("preference").estimate < 80, name


@pytest.mark.slow
def test_the_default_model_answers_every_prompt(default_model_dir: Path) -> None:
    from chunfen.engines.transformers import TransformersEngine
    from chunfen.models.loading import load_model

    engine = TransformersEngine(load_model(str(default_model_dir), torch_dtype="float32", device="cpu"))
    log = audited(engine, ("reply_length",))
    assert estimates(log, "share:empty") == {"general.reply_length.en": 0.0}
    (probe,) = log.probes
    assert all(1 <= reading.value <= 32 for reading in probe.readings)
