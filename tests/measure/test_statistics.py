"""Exact tests against values that statsmodels 0.15 computes."""

from __future__ import annotations

import pytest

from chunfen.measure.statistics import (
    Interval,
    benjamini_hochberg,
    cohens_h,
    equivalent,
    holm,
    mcnemar_exact,
    minimum_detectable,
    non_inferior,
    power,
    wilson,
)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.2775328),
        (3, 10, 0.10779127, 0.60322185),
        (10, 10, 0.7224672, 1.0),
        (87, 240, 0.30428964, 0.42504269),
        (1, 400, 0.00044145, 0.01402329),
    ],
)
def test_wilson(k, n, low, high):
    found = wilson(k, n)
    assert found == (k / n, pytest.approx(low, abs=1e-8), pytest.approx(high, abs=1e-8))
    assert found.low <= found.estimate <= found.high


def test_wilson_of_nothing_is_nothing():
    assert wilson(0, 0) == (None, None, None)


@pytest.mark.parametrize(
    ("lost", "gained", "p"),
    [(1, 9, 0.02148438), (5, 5, 1.0), (0, 6, 0.03125), (12, 3, 0.03515625), (0, 0, 1.0)],
)
def test_mcnemar_exact(lost, gained, p):
    assert mcnemar_exact(lost, gained) == pytest.approx(p, abs=1e-8)


P = [0.011, 0.02, 0.003, 0.6, 0.04, 0.04]


def test_holm():
    assert holm(P) == pytest.approx([0.055, 0.08, 0.018, 0.6, 0.12, 0.12])
    assert holm([]) == []


def test_benjamini_hochberg():
    assert benjamini_hochberg(P) == pytest.approx([0.033, 0.04, 0.018, 0.6, 0.048, 0.048])


def test_cohens_h():
    assert cohens_h(0.87, 0.12) == pytest.approx(-1.69638347)
    assert cohens_h(0, 1) == pytest.approx(3.14159265)


def test_power_and_the_minimum_detectable_difference_are_inverse():
    assert power(minimum_detectable(0.37, power=0.9), 0.37) == pytest.approx(0.9, abs=1e-6)
    assert power(0.0, 1.0) == pytest.approx(0.05)


def test_did_not_get_worse_is_a_claim_about_the_interval():
    noisy, exact = Interval(0.1, -2.0, 2.2), Interval(-0.4, -0.7, -0.1)
    assert non_inferior(noisy, margin=1.0) is False  # no significant difference, and no proof either
    assert non_inferior(exact, margin=1.0) is True  # worse for sure, but by less than the margin
    assert equivalent(exact, margin=2.0) is True
    assert equivalent(noisy, margin=2.0) is False
    assert non_inferior(Interval(0.0, None, None), 1.0) is None
    assert equivalent(Interval(None, None, None), 1.0) is None
