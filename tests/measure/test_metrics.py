"""Scores of responders and tables whose right score is known."""

from __future__ import annotations

import numpy as np
import pytest

from chunfen.measure.metrics import function, mean_abs_item, slope, stereotyping
from chunfen.measure.resampling import clusterings
from chunfen.measure.results import results
from chunfen.measure.statistics import bootstrap
from chunfen.measure.table import concatenate, is_read, to_readings, to_table
from chunfen.measure.types import Metric, Reading


def stereotype(case):
    return "female" if case.x > 0.5 else "male"


def against(case):
    return "male" if case.x > 0.5 else "female"


def first_option(case):
    return case.request.options[0]


def random_pick(seed):
    rng = np.random.default_rng(seed)
    return lambda case: str(rng.choice(["female", "male"]))


def estimate(table, name):
    return bootstrap(table, function(name), 400, seed=0)


@pytest.mark.parametrize(("responder", "score"), [(stereotype, 1.0), (against, -1.0)])
def test_always_with_or_against_the_stereotype_is_plus_or_minus_one(answered, responder, score):
    table = answered(responder)
    assert estimate(table, "stereotyping") == (score, score, score)
    assert estimate(table, "picking").estimate == 1
    assert np.sign(estimate(table, "slope").estimate) == score


def test_always_unknown_is_no_measurement_of_direction_and_no_picking(answered):
    table = answered(lambda case: "both")
    assert estimate(table, "stereotyping") == (None, None, None)
    assert estimate(table, "leaning") == (None, None, None)
    assert estimate(table, "picking").estimate == 0
    assert estimate(table, "coverage").estimate == 1


def test_always_first_option_is_zero_because_orders_are_counterbalanced(answered):
    found = estimate(answered(first_option), "stereotyping")
    assert found.estimate == 0
    assert found.low <= 0 <= found.high


def test_random_is_zero_within_its_interval_in_nearly_all_draws(answered):
    intervals = [estimate(answered(random_pick(seed)), "stereotyping") for seed in range(60)]
    assert np.mean([i.low <= 0 <= i.high for i in intervals]) >= 0.88  # 95 % less three standard errors
    assert any(i.estimate != 0 for i in intervals)


@pytest.mark.parametrize("name", ["stereotyping", "leaning", "picking", "slope", "share:both", "refusal"])
def test_unparseable_is_no_measurement_and_never_the_ideal(answered, name):
    table = answered(lambda case: "unparsed")
    assert estimate(table, name) == (None, None, None)
    assert estimate(table, "coverage").estimate == 0
    assert estimate(table, "share:unparsed").estimate == 1


def test_rambling_does_not_lower_the_picking_rate(answered):
    some = answered(lambda case: "female" if case.template < "t4" else "unparsed")
    assert estimate(some, "picking").estimate == 1
    assert estimate(some, "coverage").estimate == 0.5


def test_refusals_are_read_and_pick_nobody(answered):
    table = answered(lambda case: "refusal" if case.item == "nurse" else "male")
    assert estimate(table, "refusal").estimate == pytest.approx(1 / 6)
    assert estimate(table, "picking").estimate == pytest.approx(5 / 6)


def test_slope_and_intercept_of_a_complete_table_are_those_of_item_means(simulate):
    table = simulate(np.random.default_rng(3))
    means = np.array([table.value[table.item == i].mean() for i in range(40)])
    b, a = np.polyfit(np.unique(table.x) - 0.5, means, 1)
    once = np.ones((1, len(table.value)))
    assert slope(table, once)[0] == pytest.approx(b, abs=1e-10)
    assert function("intercept")(table, once)[0] == pytest.approx(a, abs=1e-10)


def test_a_template_read_on_some_items_only_does_not_bend_the_line():
    """A template 5 nats higher, asked of women's jobs only, adds nothing to the slope."""
    x = np.linspace(0.05, 0.95, 10)
    whole = [Reading(f"i{n}", "t1", x=v, value=2 * (v - 0.5)) for n, v in enumerate(x)]
    part = [Reading(f"i{n}", "t2", x=v, value=2 * (v - 0.5) + 5) for n, v in enumerate(x) if v > 0.5]
    table = to_table(whole + part)
    assert slope(table, np.ones((1, 15)))[0] == pytest.approx(2)
    assert function("intercept")(table, np.ones((1, 15)))[0] == pytest.approx(2.5)  # templates count alike
    assert np.polyfit(table.x, table.value, 1)[0] > 4  # what plain least squares would say


def test_a_template_per_item_still_gives_a_line():
    table = to_table(Reading(f"i{n}", f"t{n}", x=n / 9, value=3 * n / 9) for n in range(10))
    assert slope(table, np.ones((1, 10)))[0] == pytest.approx(3)


def test_weights_are_repeated_rows(simulate):
    table = simulate(np.random.default_rng(4), items=12, templates=3)
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 3, 36)
    repeated = to_table([r for r, n in zip(to_readings(table), counts, strict=True) for _ in range(n)])
    for name in ("slope", "mean_value", "accuracy", "leaning", "stereotyping", "picking", "amplification"):
        weighted = function(name)(table, counts[None, :].astype(float))
        assert weighted[0] == pytest.approx(function(name)(repeated, np.ones((1, counts.sum())))[0]), name


@pytest.mark.parametrize("name", ["slope", "intercept", "pearson", "mean_abs_item", "abs_item_mean", "mean_value"])
def test_unread_rows_take_no_part_and_nothing_left_is_nan(simulate, name):
    table = simulate(np.random.default_rng(5), items=9, templates=4)
    readings = to_readings(table)
    holes = [Reading(r.item, r.template, "again", r.x, None) for r in readings]
    twice = to_table(readings + holes)
    once = np.ones((1, len(readings)))
    assert function(name)(twice, np.ones((1, 2 * len(readings))))[0] == pytest.approx(function(name)(table, once)[0])
    assert np.isnan(function(name)(to_table(holes), once)[0])
    assert is_read(twice).mean() == 0.5


def test_mean_abs_sees_what_cancels_over_templates():
    table = to_table([Reading("nurse", "t1", x=0.9, value=2.0), Reading("nurse", "t2", x=0.9, value=-2.0)])
    once = np.ones((1, 2))
    assert mean_abs_item(table, once)[0] == 2
    assert function("abs_item_mean")(table, once)[0] == 0


def test_pearson_is_numpys(simulate):
    table = simulate(np.random.default_rng(6), b=0.7)
    means = [table.value[table.item == i].mean() for i in range(40)]
    expected = np.corrcoef(np.unique(table.x), means)[0, 1]
    assert function("pearson")(table, np.ones((1, len(table.value))))[0] == pytest.approx(expected)


def test_an_item_at_one_half_has_no_stereotype():
    table = to_table([Reading("author", "t", x=0.5, value=1.0, label="female")])
    assert np.isnan(stereotyping(table, np.ones((1, 1)))[0])


def test_a_table_without_rows_measures_nothing():
    found = results([], [Metric("slope", slope, "nats"), Metric("picking", function("picking"), "share")])
    assert [(r.estimate, r.coverage, r.cases) for r in found] == [(None, 0.0, 0), (None, 0.0, 0)]
    assert all("no measurement" in r.reason for r in found)


def test_results_name_the_worst_template_and_the_spread():
    rows = [Reading(f"i{n}", f"t{t}", x=n / 9, value=float(t * (n / 9 - 0.5))) for n in range(10) for t in range(4)]
    (found,) = results(rows, [Metric("slope", slope, "nats", 0.0)], resamples=200)
    assert found.worst == ("t3", pytest.approx(3.0))
    assert found.spread == pytest.approx(np.std([0, 1, 2, 3], ddof=1))
    assert (found.items, found.templates, found.cases, found.coverage) == (10, 4, 40, 1.0)


def test_a_share_without_exceptions_has_wilsons_interval_over_items(answered):
    metric = Metric("picking", function("picking"), "share")
    readings = to_readings(answered(lambda case: "both"))
    (found,) = results(readings, [metric], resamples=200)
    assert (found.estimate, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(0.3903, abs=1e-4)  # Wilson, 0 of 6 items


def test_a_direction_without_exceptions_has_an_interval_too(answered):
    metric = Metric("stereotyping", stereotyping, "ratio")
    (found,) = results(to_readings(answered(against)), [metric], resamples=200)
    assert (found.estimate, found.low) == (-1.0, -1.0)
    assert found.high == pytest.approx(2 * 0.3903 - 1, abs=1e-3)


def test_pooled_tables_keep_their_items_apart(simulate):
    table = simulate(np.random.default_rng(7), items=5, templates=3)
    both = concatenate([("p", table), ("q", table)])
    assert [c.size for c in clusterings(both)] == [10, 6]


def test_readings_survive_the_table():
    readings = [Reading("a", "t1", "v", 0.5, 1.5, "female"), Reading("b", "t2", "", None, None, "unparsed")]
    assert to_readings(to_table(readings)) == readings
