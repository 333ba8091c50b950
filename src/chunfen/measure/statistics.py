"""Error bars and tests: bootstrap intervals of any metric, alone or paired, and exact tests beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from chunfen.measure.metrics import Floats
from chunfen.measure.resampling import Distribution, clusterings, distribution
from chunfen.measure.types import MetricFunction, Table

Change = Callable[[Floats, Floats], Floats]
"""(before [resamples], after [resamples]) → the change [resamples]."""


class Interval(NamedTuple):
    """An estimate with its 95 % interval; None where there is none."""

    estimate: float | None
    low: float | None
    high: float | None


def ratio(before: Floats, after: Floats) -> Floats:
    """after/before: below 0 after a change of sign; NaN where before is 0.

    >>> ratio(np.array([2.0]), np.array([-0.1]))
    array([-0.05])
    """
    return np.where(before != 0, after / np.where(before != 0, before, 1.0), np.nan)


def relative(before: Floats, after: Floats) -> Floats:
    """after/before − 1: −0.8 is a reduction by 80 %, below −1 a change of sign.

    >>> relative(np.array([2.3]), np.array([0.23])).round(3)
    array([-0.9])
    """
    return ratio(before, after) - 1.0


def difference(before: Floats, after: Floats) -> Floats:
    """after − before."""
    return after - before


def growth(before: Floats, after: Floats) -> Floats:
    """Relative change of a quantity whose logarithm is measured, e^(after − before) − 1: of a perplexity.

    >>> growth(np.array([3.0]), np.array([3.01])).round(4)
    array([0.0101])
    """
    return np.expm1(after - before)


def level(before: Floats, after: Floats) -> Floats:
    """after: a level to be reached, wherever it was before."""
    return after


def toward_half(before: Floats, after: Floats) -> Floats:
    """|before − 0.5| − |after − 0.5|: how much nearer to one half a share came.

    >>> toward_half(np.array([0.62]), np.array([0.47])).round(3)
    array([0.09])
    """
    return np.abs(before - 0.5) - np.abs(after - 0.5)


CHANGES: dict[str, Change] = {
    change.__name__: change for change in (ratio, relative, difference, growth, level, toward_half)
}
"""Ways to compare a score before and after, by name."""


def bootstrap(table: Table, metric: MetricFunction, resamples: int = 2000, seed: int = 42) -> Interval:
    """A metric with its 95 % interval by the two-way cluster bootstrap (see `measure.resampling`).

    None three times where nothing could be measured; bounds None where there is but one item and template.

    >>> from chunfen.measure.metrics import slope
    >>> from chunfen.measure.table import to_table
    >>> from chunfen.measure.types import Reading
    >>> noise = np.random.default_rng(0).normal(0, 0.3, (20, 8))
    >>> rows = [Reading(f"i{i}", f"t{t}", x=i / 20, value=2 * i / 20 + noise[i, t])
    ...         for i in range(20) for t in range(8)]
    >>> [round(number, 1) for number in bootstrap(to_table(rows), slope)]
    [1.9, 1.7, 2.2]
    """
    return interval_of(metric_distribution(table, metric, resamples, seed))


def metric_distribution(table: Table, metric: MetricFunction, resamples: int, seed: int) -> Distribution:
    """The sampling distribution behind `bootstrap`."""
    return distribution(clusterings(table), len(table.value), lambda w: metric(table, w), resamples, seed)


def paired_bootstrap(
    before: Table,
    after: Table,
    metric: MetricFunction,
    change: Change,
    resamples: int = 2000,
    seed: int = 42,
) -> Distribution:
    """The distribution of a change of a metric: both tables under the same draws of items and templates.

    Row n of both tables must be the same item, template and variant (see `pairing.paired_tables`).
    """
    return distribution(
        clusterings(before),
        len(before.value),
        lambda w: change(metric(before, w), metric(after, w)),
        resamples,
        seed,
    )


def interval_of(found: Distribution) -> Interval:
    """Estimate and bounds of a distribution, NaN turned into None."""
    if np.isnan(found.estimate):
        return Interval(None, None, None)
    bounds = found.interval()
    return Interval(found.estimate, *bounds) if bounds else Interval(found.estimate, None, None)


def wilson(successes: float, n: float, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share (Wilson 1927, JASA 22:209).

    >>> [round(bound, 4) for bound in wilson(0, 10)]
    [0.0, 0.0, 0.2775]
    """
    from scipy.stats import norm

    if n <= 0:
        return Interval(None, None, None)
    p, z = successes / n, float(norm.ppf((1 + level) / 2))
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return Interval(p, min(max(0.0, float(middle - half)), p), max(min(1.0, float(middle + half)), p))


def mcnemar_exact(lost: int, gained: int) -> float:
    """Exact two-sided McNemar p-value: of the flips, `lost` went from right to wrong and `gained` back.

    >>> mcnemar_exact(1, 9).__round__(4)
    0.0215
    """
    from scipy.stats import binomtest

    return float(binomtest(lost, lost + gained, 0.5).pvalue) if lost + gained else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values (family-wise error), in the order given.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return _in_order(np.minimum(steps, 1.0), order)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Benjamini–Hochberg adjusted p-values (false discovery rate), in the order given.

    >>> [round(p, 3) for p in benjamini_hochberg([0.01, 0.04, 0.03])]
    [0.03, 0.04, 0.04]
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    steps = p[order] * len(p) / np.arange(1, len(p) + 1)
    return _in_order(np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0), order)


def _in_order(values: Floats, order: np.ndarray) -> list[float]:
    """Undo a sort."""
    back = np.empty_like(values)
    back[order] = values
    return [float(v) for v in back]


def cohens_h(before: float, after: float) -> float:
    """Cohen's h, the effect size of two shares: 2·asin√after − 2·asin√before (0.2 small, 0.8 large).

    >>> round(cohens_h(0.87, 0.12), 2)
    -1.7
    """
    return float(2 * np.arcsin(np.sqrt(after)) - 2 * np.arcsin(np.sqrt(before)))


def non_inferior(interval: Interval, margin: float) -> bool | None:
    """Whether the whole interval lies above −margin; None without one. For scores where more is better."""
    return None if interval.low is None else interval.low > -margin


def equivalent(interval: Interval, margin: float) -> bool | None:
    """Two one-sided tests (TOST): whether the whole interval lies within ±margin; None without one.

    With a 95 % interval each side is tested at 2.5 %, stricter than the usual 5 %.
    """
    if interval.low is None or interval.high is None:
        return None
    return -margin < interval.low and interval.high < margin


def minimum_detectable(standard_error: float, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest true difference that a two-sided test at `alpha` finds with this power.

    >>> round(minimum_detectable(0.1), 3)
    0.28
    """
    from scipy.stats import norm

    return float((norm.ppf(1 - alpha / 2) + norm.ppf(power)) * standard_error)


def power(difference: float, standard_error: float, alpha: float = 0.05) -> float:
    """How often a two-sided test at `alpha` finds a true difference of this size.

    >>> round(power(0.28, 0.1), 2)
    0.8
    """
    from scipy.stats import norm

    z, critical = abs(difference) / standard_error, norm.ppf(1 - alpha / 2)
    return float(norm.cdf(z - critical) + norm.cdf(-z - critical))
