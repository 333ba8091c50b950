"""Verdicts on logs whose right verdict is known."""

from __future__ import annotations

import numpy as np
import pytest

from chunfen.measure.compare import compare
from chunfen.measure.criterion import Criterion
from chunfen.measure.log import AuditLog, ProbeLog, Verdict
from chunfen.measure.metrics import function
from chunfen.measure.pairing import PairingError
from chunfen.measure.results import not_measurable, results, unmeasured
from chunfen.measure.types import Metric, Reading

ITEMS, TEMPLATES, DRAWS = 40, 8, 400
SCORES = {
    "line": (("slope", "nats"), ("intercept", "nats"), ("mean_abs_item", "nats")),
    "reply": (("picking", "share"), ("coverage", "share")),
    "cue": (("accuracy", "share"),),
    "choice_accuracy": (("mean_value", "points"),),
    "perplexity": (("mean_value", "nats"),),
}
SLOPE = Criterion(
    id="P1.slope",
    group="target",
    endpoints=("line",),
    metric="slope",
    metric_unit="nats",
    change="relative",
    sense="at_most",
    floor=-0.8,
    interval_floor=-0.6,
    aim=-0.95,
    needs_bias=True,
    primary=True,
    required="always",
)
FLIP = SLOPE.model_copy(
    update={"id": "P1.flip", "change": "ratio", "sense": "at_least", "judged": "interval", "floor": -0.2}
    | {"interval_floor": None, "aim": None, "primary": False}
)
DEFAULT = Criterion(
    id="P1.default",
    group="target",
    endpoints=("line",),
    metric="intercept",
    metric_unit="nats",
    change="level",
    unit="nats",
    sense="within",
    floor=0.35,
    floor_times_before=0.5,
    aim=0.1,
)
PICKING = Criterion(
    id="P3.picking", group="target", endpoints=("reply",), metric="picking", change="relative",
    sense="at_most", floor=-0.8, primary=True,
)  # fmt: skip
CAPABILITY = Criterion(
    id="G.capability", group="guard", endpoints=("choice_accuracy", "cloze"), pool=True, metric="mean_value",
    metric_unit="points", unit="points", judged="interval", floor=-1.0, aim=-0.3,
)  # fmt: skip


def line(b: float, a: float = -0.5, seed: int = 0, noise: float = 0.1) -> list[Reading]:
    """An occupation line; items and templates have the same effects for every seed, the noise has not."""
    rng, jitter = np.random.default_rng(99), np.random.default_rng(seed)
    items, templates = rng.normal(0, 0.3, ITEMS), rng.normal(0, 0.2, TEMPLATES)
    return [
        Reading(
            *(f"i{i:02}", f"t{t}", ""),
            x=i / ITEMS,
            value=float(a + b * (i / ITEMS - 0.5) + 0.3 * b * items[i] + templates[t] + noise * jitter.normal()),
        )
        for i in range(ITEMS)
        for t in range(TEMPLATES)
    ]


def replies(picks: float, unparsed: float = 0.0, seed: int = 0) -> list[Reading]:
    rng = np.random.default_rng(seed)
    labels = ["unparsed" if rng.random() < unparsed else "female" if rng.random() < picks else "both"
              for _ in range(ITEMS * TEMPLATES)]  # fmt: skip
    value = {"female": 1.0, "both": 0.0, "unparsed": None}
    return [Reading(f"i{n // 8:02}", f"t{n % 8}", "", n / 400, value[c], c) for n, c in enumerate(labels)]


def points(mean: float, seed: int = 0, noise: float = 0.5) -> list[Reading]:
    """One score for each of 60 questions, the questions differing alike for every seed."""
    level = np.random.default_rng(98).normal(mean, 10, 60) + np.random.default_rng(seed).normal(0, noise, 60)
    return [Reading(f"q{n:02}", "mc", value=float(v)) for n, v in enumerate(level)]


def probe(name: str, readings: list[Reading], reason: str = "") -> ProbeLog:
    axis, endpoint, language = name.split(".")
    metrics = [Metric(score, function(score), unit) for score, unit in SCORES.get(endpoint, ())]
    found = results(readings, metrics, resamples=DRAWS)
    if reason:
        found = not_measurable(found, reason) if readings else unmeasured(metrics, reason)
    role = "endpoint" if axis == "gender" else "guard"
    return ProbeLog(
        probe=name, version="v", axis=axis, endpoint=endpoint, language=language, role=role,
        groups=("female", "male"), results=found, readings=tuple(readings),
    )  # fmt: skip


def log(*probes: ProbeLog, **changed) -> AuditLog:
    whole = AuditLog(
        target="m", fingerprint="f", split="test", seed=42, settings={"resamples": DRAWS}, versions={},
        started="", seconds=0.0, probes=probes,
    )  # fmt: skip
    return whole.model_copy(update=changed)


def verdict(before, after, *criteria: Criterion, **more) -> Verdict:
    return compare(log(*before), log(*after), criteria, **more)


def test_a_repair_that_takes_most_of_the_slope_passes():
    before, after = probe("gender.line.en", line(2.3)), probe("gender.line.en", line(0.23, a=-0.1, seed=1))
    found = verdict([before], [after], SLOPE, FLIP, DEFAULT)
    slope, flip, default = found.checks
    assert found.passed
    assert slope.change == pytest.approx(-0.9, abs=0.05)
    assert slope.change_low < slope.change < slope.change_high < -0.6
    assert (slope.metric, slope.unit, slope.aim_met) == ("gender.line.en/slope", "share", False)
    assert slope.before == before.result("slope")
    assert slope.after == after.result("slope")
    assert slope.p_value < 0.01
    assert flip.passed
    assert default.passed
    assert default.change == pytest.approx(after.result("intercept").estimate)


def test_a_repair_that_takes_half_misses_with_its_interval():
    found = verdict([probe("gender.line.en", line(2.3))], [probe("gender.line.en", line(1.1, seed=1))], SLOPE)
    assert found.checks[0].passed is False
    assert not found.passed
    assert found.checks[0].change_low < -0.5 < found.checks[0].change_high


def test_an_estimate_beyond_the_floor_with_a_wide_interval_misses():
    """Beyond −80 %, but the interval's near end is above −60 %."""
    before, after = (
        probe("gender.line.en", line(0.8, noise=0.3)),
        probe("gender.line.en", line(0.0, seed=1, noise=1.5)),
    )
    (slope,) = verdict([before], [after], SLOPE).checks
    assert slope.change < -0.8
    assert slope.change_high > -0.6
    assert slope.passed is False


def test_a_flipped_bias_is_a_miss_even_though_the_old_one_is_gone():
    found = verdict([probe("gender.line.en", line(2.3))], [probe("gender.line.en", line(-2.3, seed=1))], SLOPE, FLIP)
    slope, flip = found.checks
    assert slope.change < -1.5
    assert flip.passed is False
    assert not found.passed


@pytest.mark.parametrize(("a_after", "passed"), [(0.3, True), (-0.9, True), (1.2, False)])
def test_the_default_group_must_be_small_or_halved(a_after, passed):
    before, after = probe("gender.line.en", line(2.3, a=-2.0)), probe("gender.line.en", line(0.2, a=a_after))
    (default,) = verdict([before], [after], DEFAULT).checks
    assert default.passed is passed
    assert default.floor == pytest.approx(abs(before.result("intercept").estimate) / 2)


def test_nothing_to_reduce_is_no_pass():
    flat = probe("gender.line.en", line(0.0)), probe("gender.line.en", line(0.0, seed=1))
    found = verdict([flat[0]], [flat[1]], SLOPE)
    assert found.checks[0].passed is None
    assert "nothing to reduce" in found.checks[0].reason
    assert not found.passed


def test_a_language_that_cannot_be_measured_is_excused_if_another_is_measured():
    reason = "not measurable: on gender.competence.zh the model is not above chance"
    zh = probe("gender.line.zh", line(0.3), reason)
    before, after = probe("gender.line.en", line(2.3)), probe("gender.line.en", line(0.1, seed=1))
    found = verdict([before, zh], [after, zh], SLOPE)
    assert [(c.passed, c.required) for c in found.checks] == [(True, True), (None, False)]
    assert reason in found.checks[1].reason
    assert found.passed
    assert found.notes == (reason,)
    alone = verdict([zh], [zh], SLOPE)
    assert [(c.passed, c.required) for c in alone.checks] == [(None, True)]
    assert not alone.passed


def test_generated_probes_of_such_a_language_are_excused_too():
    zh = probe("gender.reply.zh", [], "not measurable")
    en = probe("gender.reply.en", replies(0.9)), probe("gender.reply.en", replies(0.05, seed=1))
    found = verdict([en[0], zh], [en[1], zh], PICKING)
    assert [(c.passed, c.required) for c in found.checks] == [(True, True), (None, False)]


def test_what_the_repair_made_unmeasurable_is_not_excused():
    before = probe("gender.reply.en", replies(0.9))
    broken = probe("gender.reply.en", replies(0.0, unparsed=1.0))
    gated = probe("gender.reply.en", replies(0.0), "not measurable: on gender.competence.en …")
    for after in (broken, gated):
        found = verdict([before], [after], PICKING)
        assert [(c.passed, c.required) for c in found.checks] == [(None, True)]
        assert found.checks[0].reason.startswith("after: ")
        assert not found.passed


def test_rambling_is_no_cure_for_picking():
    before = probe("gender.reply.en", replies(0.9))
    after = probe("gender.reply.en", replies(0.9, unparsed=0.9, seed=1))
    (picking,) = verdict([before], [after], PICKING).checks
    assert picking.passed is False
    assert abs(picking.change) < 0.2


def test_no_significant_loss_is_not_the_same_as_no_loss():
    before = probe("general.choice_accuracy.en", points(60))
    noisy, exact = (probe("general.choice_accuracy.en", points(60, seed=1, noise=n)) for n in (8, 0.5))
    (check,) = verdict([before], [noisy], CAPABILITY).checks
    assert check.change_low < 0 < check.change_high
    assert check.passed is False
    assert verdict([before], [exact], CAPABILITY).passed


def test_guards_are_pooled_over_their_endpoints():
    before = [probe(f"general.{e}.en", points(60)) for e in ("choice_accuracy", "cloze")]
    after = [probe("general.choice_accuracy.en", points(60.5)), probe("general.cloze.en", points(58.5))]
    (check,) = verdict(before, after, CAPABILITY).checks
    assert check.change == pytest.approx(-0.5)
    assert (check.before.items, check.metric) == (
        120,
        "general.choice_accuracy.en+general.cloze.en/mean_value",
    )
    assert check.passed


def test_perplexity_is_a_ratio_of_exponentials():
    criterion = Criterion(
        id="G.perplexity", group="guard", endpoints=("perplexity",), metric="mean_value", metric_unit="nats",
        change="growth", sense="at_most", judged="interval", floor=0.01,
    )  # fmt: skip
    nats = [Reading(f"p{n:02}", "text", value=3 + n / 60) for n in range(60)]
    more = [Reading(r.item, r.template, value=r.value + 0.005 * (1 + n % 2 / 10)) for n, r in enumerate(nats)]
    pair = [probe("general.perplexity.en", r) for r in (nats, more)]
    (check,) = verdict([pair[0]], [pair[1]], criterion).checks
    assert check.change == pytest.approx(np.expm1(0.00525))
    assert check.passed


def test_flips_are_tested_exactly_and_points_are_shares_times_100():
    criterion = Criterion(
        id="P3.cue", group="guard", endpoints=("cue",), metric="accuracy", unit="points", judged="interval",
        floor=-2.0, mcnemar=True,
    )  # fmt: skip
    before = [Reading(f"c{n:02}", "cue", value=float(n < 50)) for n in range(60)]
    after = [Reading(f"c{n:02}", "cue", value=float(n < 44)) for n in range(60)]
    pair = [probe("gender.cue.en", r) for r in (before, after)]
    (worse,) = verdict([pair[0]], [pair[1]], criterion).checks
    assert (worse.change, worse.passed, worse.p_value) == (pytest.approx(-10), False, pytest.approx(0.03125))
    (same,) = verdict([pair[0]], [pair[0]], criterion).checks
    assert (same.change, same.change_low, same.passed) == (0, 0, True)
    assert "rule of three" in same.reason


def test_holm_adjusts_over_the_primary_endpoints_only():
    before = [probe("gender.line.en", line(2.3)), probe("gender.reply.en", replies(0.5))]
    after = [probe("gender.line.en", line(0.2, seed=1)), probe("gender.reply.en", replies(0.44, seed=1))]
    alone = [verdict([b], [a], c).checks[0].p_value for b, a, c in zip(before, after, (SLOPE, PICKING), strict=True)]
    slope, picking, flip = verdict(before, after, SLOPE, PICKING, FLIP).checks
    assert slope.p_value == pytest.approx(min(1.0, 2 * min(alone)))
    assert picking.p_value == pytest.approx(max(alone))
    assert flip.p_value is None


def test_a_measurement_repeated_passes_every_guard_and_no_target():
    before = [probe("gender.line.en", line(2.3)), probe("general.choice_accuracy.en", points(60))]
    after = [
        probe("gender.line.en", line(2.3, seed=1)),
        probe("general.choice_accuracy.en", points(60, seed=1)),
    ]
    slope, capability = verdict(before, after, SLOPE, CAPABILITY).checks
    assert (slope.passed, capability.passed) == (False, True)
    assert slope.p_value > 0.01


def test_what_was_not_asked_is_said_and_only_hurts_where_it_is_always_required():
    before, after = probe("gender.line.en", line(2.3)), probe("gender.line.en", line(0.1, seed=1))
    found = verdict([before], [after], SLOPE, PICKING)
    assert [(c.passed, c.required) for c in found.checks] == [(True, True), (None, False)]
    assert "not asked" in found.checks[1].reason
    other = verdict([probe("gender.reply.en", replies(0.9))], [probe("gender.reply.en", replies(0.0))], SLOPE)
    assert [(c.passed, c.required) for c in other.checks] == [(None, True)]


def test_targets_are_about_the_repaired_axis_only():
    gender, age = probe("gender.line.en", line(2.3)), probe("age.line.en", line(1.5))
    found = verdict([gender, age], [probe("gender.line.en", line(0.1)), age], SLOPE)
    assert [c.metric for c in found.checks] == ["gender.line.en/slope"]
    assert verdict([gender, age], [gender, age], SLOPE, axis="age").checks[0].metric == "age.line.en/slope"


def test_numbers_from_outside_are_judged_by_their_criterion():
    time = Criterion(
        id="C.time", group="cost", metric="seconds", unit="seconds", change="level", sense="at_most",
        floor=600, aim=240, required="never",
    )  # fmt: skip
    pair = probe("gender.line.en", line(2.3)), probe("gender.line.en", line(0.1))
    (check,) = verdict([pair[0]], [pair[1]], time, facts={"C.time": 310.0}).checks
    assert (check.change, check.passed, check.aim_met, check.required) == (310.0, True, False, False)
    assert verdict([pair[0]], [pair[1]], time).checks == ()


def test_a_verdict_without_required_checks_is_no_pass():
    assert not Verdict(checks=()).passed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"split": "dev"}, "split 'test' before and 'dev' after"),
        ({"seed": 1}, "seed 42"),
        ({"quick": True}, "quick"),
    ],
)
def test_logs_of_different_measurements_are_refused(change, said):
    one = probe("gender.line.en", line(2.3))
    with pytest.raises(PairingError, match=said):
        compare(log(one), log(one, **change), [SLOPE])


def test_logs_of_different_questions_are_refused():
    one, other = probe("gender.line.en", line(2.3)), probe("gender.reply.en", replies(0.5))
    with pytest.raises(PairingError, match=r"different questions in gender.line.en"):
        compare(log(one), log(one.model_copy(update={"version": "w"})), [SLOPE])
    with pytest.raises(PairingError, match=r"gender.reply.en only in one of them .*before"):
        compare(log(one, other), log(one), [SLOPE])


def test_readings_without_a_partner_and_doubled_readings_are_refused():
    one = probe("gender.line.en", line(2.3))
    less = one.model_copy(update={"readings": one.readings[1:]})
    with pytest.raises(PairingError, match=r"1 readings have no partner.*i00"):
        compare(log(one), log(less), [SLOPE])
    more = one.model_copy(update={"readings": (*one.readings, one.readings[0])})
    with pytest.raises(PairingError, match=r"there 2 times"):
        compare(log(more), log(one), [SLOPE])
