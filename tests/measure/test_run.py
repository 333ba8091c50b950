"""Measuring through an engine: order, gates, seeds, limits, and going on after a kill."""

from __future__ import annotations

import logging

import pytest

from chunfen.errors import RunError
from chunfen.measure.log import AuditLog
from chunfen.measure.run import measure

COMPETENCE = (("accuracy", "share", None),)
LINE = (("slope", "nats", 0.0), ("intercept", "nats", 0.0))


@pytest.fixture
def probes(questions):
    """Three probes in each of two languages: the gate, one by likelihood, one by generation."""
    return [
        questions(f"gender.{endpoint}.{language}", role, kind, scores=scores)
        for language in ("en", "zh")
        for endpoint, role, kind, scores in (
            ("line", "endpoint", "loglikelihood", LINE),
            ("reply", "endpoint", "generate", questions("a.b.c").scores),
            ("competence", "competence", "loglikelihood", COMPETENCE),
        )
    ]


def speaks_english(prompt: str) -> str | float:
    """Right on English competence, at chance on Chinese; a nat for women at every job; says "female"."""
    if "reply" in prompt:
        return "female"
    if "competence.zh" in prompt:
        return 1.0 if "t0" in prompt or "t1" in prompt or "t2" in prompt or "t3" in prompt else -1.0
    return 1.0


def test_a_log_holds_everything_in_the_order_asked_for(probes, scripted, tmp_path):
    log = measure(scripted(lambda _: 1.0), probes, seed=7, resamples=200, settings={"temperature": 1.0}, quick=True)
    assert [p.probe for p in log.probes] == [p.name for p in probes]
    assert (log.target, log.fingerprint, log.split, log.seed, log.quick) == (
        "scripted",
        "scripted",
        "test",
        7,
        True,
    )
    assert log.settings == {"temperature": 1.0, "resamples": 200, "limit": None}
    assert log.versions["python"]
    assert log.probe("gender.line.en").result("slope").items == 6
    assert AuditLog.load(log.save(tmp_path / "log.json")) == log


def test_a_language_the_model_does_not_speak_is_not_measurable_and_asked_nothing_else(probes, scripted):
    engine = scripted(speaks_english)
    log = measure(engine, probes, resamples=200)
    assert log.probe("gender.line.en").results[0].measurable
    line, reply = log.probe("gender.line.zh"), log.probe("gender.reply.zh")
    assert not any(r.measurable for r in (*line.results, *reply.results))
    assert "gender.competence.zh" in line.results[0].reason
    assert not line.readings
    assert not reply.readings
    assert {r.estimate for r in (*line.results, *reply.results)} == {None}
    assert not any("reply.zh" in prompt for prompt in engine.asked)
    assert any("reply.en" in prompt for prompt in engine.asked)


def test_the_seed_reaches_the_sampling(probes, scripted):
    engine = scripted(speaks_english)
    measure(engine, probes[:3], seed=13, resamples=200)
    assert engine.seeds == {13}


def test_a_limit_takes_the_same_items_spread_over_x_and_spares_competence(probes, scripted):
    log = measure(scripted(lambda _: 1.0), probes[:3], limit=3, resamples=200)
    assert {r.item for r in log.probe("gender.line.en").readings} == {"plumber", "pilot", "maid"}
    assert len({r.item for r in log.probe("gender.competence.en").readings}) == 6


def test_progress_is_told_from_nothing_to_all(probes, scripted, tmp_path):
    told = []

    def ask():
        told.clear()
        tell = lambda *a: told.append(a)  # noqa: E731
        measure(scripted(lambda _: 1.0), probes[:1], resamples=200, progress=tell, cache=tmp_path)
        return told

    assert ask() == [("gender.line.en", 0, 96), ("gender.line.en", 96, 96)]
    assert ask() == [("gender.line.en", 96, 96)]  # from the cache


class KilledError(Exception):
    pass


def test_a_killed_measurement_goes_on_where_it_was(probes, scripted, tmp_path):
    def dies(prompt):
        if "reply.en" in prompt:
            raise KilledError
        return speaks_english(prompt)

    with pytest.raises(KilledError):
        measure(scripted(dies), probes, resamples=200, cache=tmp_path / "readings")
    again = scripted(speaks_english)
    resumed = measure(again, probes, resamples=200, cache=tmp_path / "readings")
    assert not any("line.en" in p or "competence" in p for p in again.asked)
    whole = measure(scripted(speaks_english), probes, resamples=200)
    assert resumed.probes == whole.probes


def test_a_damaged_cache_file_is_measured_again_with_a_warning(probes, scripted, tmp_path, caplog):
    whole = measure(scripted(speaks_english), probes[:2], resamples=200, cache=tmp_path)
    (line,) = tmp_path.glob("gender.line.en-*.json")
    line.write_bytes(line.read_bytes()[:100])
    again = scripted(speaks_english)
    with caplog.at_level(logging.WARNING):
        assert measure(again, probes[:2], resamples=200, cache=tmp_path).probes == whole.probes
    assert line.name in caplog.text
    assert all("line.en" in prompt for prompt in again.asked)
    assert len(again.asked) == 96


@pytest.mark.parametrize("change", ["seed", "model", "content"])
def test_a_cache_never_answers_another_question(probes, questions, scripted, tmp_path, change):
    measure(scripted(speaks_english), probes[1:2], resamples=200, cache=tmp_path)
    engine = scripted(speaks_english, name="other" if change == "model" else "scripted")
    fewer = questions(probes[1].name, templates=5 if change == "content" else 8)
    measure(engine, [fewer], resamples=200, cache=tmp_path, seed=1 if change == "seed" else 42)
    assert engine.asked


def test_a_cache_folder_that_cannot_be_written_is_one_clear_error(probes, scripted, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match=r"cannot write .*file"):
        measure(scripted(speaks_english), probes[:1], resamples=200, cache=tmp_path / "file")


def test_a_model_whose_replies_cannot_be_read_has_no_score(probes, scripted):
    log = measure(scripted(lambda p: "unparsed" if "reply" in p else 1.0), probes[:3], resamples=200)
    result = log.probe("gender.reply.en").result("picking")
    assert (result.estimate, result.coverage, result.measurable) == (None, 0.0, True)
    assert "no measurement" in result.reason
