"""The two-way cluster bootstrap: which rows are drawn together, and what the draws say about an estimate.

Occupations and templates are both samples from larger populations, and every reading shares its occupation
with some readings and its template with others. Each resample therefore draws items and templates
independently, with replacement, and weighs a row by the product of how often its item and its template were
drawn (the pigeonhole bootstrap; Owen 2007, Ann. Appl. Stat. 1:386; Owen & Eckles 2012, same, 6:895).
Where the two are not crossed (every item has one template, or every template one item) only the items are
drawn: the other names strata, or the same thing again.

Intervals are bias-corrected and accelerated (BCa; Efron 1987, JASA 82:171). The acceleration is
a = Σ d³ / (6 (Σ d²)^1.5) over the deviations d = mean − θ₍₋ᵢ₎ of both leave-one-cluster-out jackknives
together: the skewness of a sum of independent item and template effects. Two known faults of the plain
bootstrap are mended:

* It is too narrow for few clusters (8 templates!): its variance is short by (n − 1)/n, and its quantiles are
  normal where Student's t with few degrees of freedom is due (Hesterberg 2015, Am. Stat. 69:371).
* Product weights count the variance of single readings three times (Owen 2007): too wide for sampled replies.

So the normal quantile in BCa is replaced by t·f: t with ν degrees of freedom (Satterthwaite), f² the ratio of
the two-way variance V = V_items + V_templates − V_cells (Cameron, Gelbach & Miller 2011, JBES 29:238;
jackknife, unbiased in each part) to the variance that the draws have,
(n − 1)/n·V_items + (m − 1)/m·V_templates + V_cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chunfen.measure.types import Table

Floats = NDArray[np.float64]
Evaluate = Callable[[Floats], Floats]
"""Weights [resamples, rows] → the statistic [resamples]."""

_CHUNK = 4_000_000
"""Weights held at once (8 bytes each)."""


class Clusters(NamedTuple):
    """One way of grouping the rows: `of` [rows] is the cluster of each row, 0 … size − 1."""

    of: NDArray[np.int64]
    size: int


def clusterings(table: Table) -> list[Clusters]:
    """The groupings to draw: items and templates where they are crossed, else items, else templates.

    >>> from chunfen.measure.table import to_table
    >>> from chunfen.measure.types import Reading
    >>> crossed = to_table([Reading(i, t) for i in "ab" for t in "xyz"])
    >>> [c.size for c in clusterings(crossed)]
    [2, 3]
    >>> [c.size for c in clusterings(to_table([Reading("a", "x"), Reading("b", "x"), Reading("c", "y")]))]
    [3]
    """
    items, templates = len(table.items), len(table.templates)
    cells = np.unique(table.item * max(templates, 1) + table.template)
    by_item, by_template = Clusters(table.item, items), Clusters(table.template, templates)
    crossed = len(cells) > max(items, templates)
    if crossed and items > 1 and templates > 1:
        return [by_item, by_template]
    return [by_item] if items > 1 else [by_template] if templates > 1 else []


def _evaluate(weights: Callable[[slice], Floats], total: int, rows: int, evaluate: Evaluate) -> Floats:
    """The statistic under `total` sets of weights, as many at a time as fit in memory."""
    step = max(1, _CHUNK // max(rows, 1))
    return np.concatenate([evaluate(weights(slice(n, min(n + step, total)))) for n in range(0, total, step)])


def _replicates(clusters: list[Clusters], evaluate: Evaluate, resamples: int, seed: int) -> Floats:
    """The statistic of each draw [resamples]."""
    rng = np.random.default_rng(seed)
    counts = [rng.multinomial(c.size, np.full(c.size, 1 / c.size), size=resamples) for c in clusters]

    def weights(chunk: slice) -> Floats:
        product = counts[0][chunk, clusters[0].of].astype(float)
        for drawn, cluster in zip(counts[1:], clusters[1:], strict=True):
            product *= drawn[chunk, cluster.of]
        return product

    return _evaluate(weights, resamples, len(clusters[0].of), evaluate)


def _deviations(cluster: Clusters, evaluate: Evaluate) -> Floats:
    """Jackknife deviations [clusters]: mean − the statistic without that cluster; 0 where it is undefined."""

    def weights(chunk: slice) -> Floats:
        left_out = np.arange(cluster.size)[chunk, None]
        return np.where(cluster.of == left_out, 0.0, 1.0)

    without = _evaluate(weights, cluster.size, len(cluster.of), evaluate)
    known = np.isfinite(without)
    return np.where(known, without[known].mean() - without, 0.0) if known.any() else np.zeros(cluster.size)


def _variance(deviations: Floats) -> float:
    """Jackknife variance, (n − 1)/n · Σ d²."""
    n = len(deviations)
    return float((n - 1) / n * np.sum(deviations**2))


def _cell_variance(items: Clusters, templates: Clusters, evaluate: Evaluate) -> tuple[float, int]:
    """(variance, degrees of freedom) of what is left in the cells after item and template effects."""
    keys, cell = np.unique(items.of * templates.size + templates.of, return_inverse=True)
    freedom = len(keys) - items.size - templates.size + 1
    if freedom < 1:
        return 0.0, 1
    left = _deviations(Clusters(cell, len(keys)), evaluate)
    for groups in (keys // templates.size, keys % templates.size):
        left = left - (np.bincount(groups, left) / np.maximum(np.bincount(groups), 1))[groups]
    return float(np.sum(left**2) * len(keys) / freedom), freedom


@dataclass(frozen=True)
class Distribution:
    """An estimate and its sampling distribution.

    replicates [resamples]: the statistic of each draw (draws in which it is undefined are left out).
    acceleration: of BCa. stretch, freedom: the factor f and the degrees of freedom ν of the module's text.
    standard_error: root of the two-way jackknife variance.
    """

    estimate: float
    replicates: Floats
    acceleration: float
    stretch: float
    freedom: float
    standard_error: float

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """The BCa interval with the corrections above; None where too few draws were defined to give one."""
        from scipy.stats import norm, t

        if len(self.replicates) < 100:
            return None
        u = self.stretch * t.ppf(np.array([(1 - level) / 2, (1 + level) / 2]), self.freedom)
        shifted = self._bias + u
        bend = np.maximum(1 - self.acceleration * shifted, 0.1)
        low, high = np.quantile(self.replicates, norm.cdf(self._bias + shifted / bend))
        return float(low), float(high)

    def p_value(self, null: float = 0.0) -> float | None:
        """Two-sided p that the true value is `null`: 1 − the level of the interval that just touches it."""
        from scipy.stats import norm, t

        if len(self.replicates) < 100:
            return None
        w = norm.ppf(self._below(null)) - self._bias
        u = w / max(1 + self.acceleration * w, 0.1) - self._bias
        return float(2 * t.sf(abs(u) / self.stretch, self.freedom))

    @property
    def _bias(self) -> float:
        """z₀: how far the median of the draws lies from the estimate, in standard deviations."""
        from scipy.stats import norm

        return float(norm.ppf(self._below(self.estimate)))

    def _below(self, value: float) -> float:
        """Share of the draws below a value, ties counted half, kept off 0 and 1."""
        n = len(self.replicates)
        below = np.sum(self.replicates < value) + 0.5 * np.sum(self.replicates == value)
        return float(np.clip(below / n, 0.5 / n, 1 - 0.5 / n))


def distribution(clusters: list[Clusters], rows: int, evaluate: Evaluate, resamples: int, seed: int) -> Distribution:
    """Bootstrap a statistic of `rows` rows over their clusterings. A seed gives the same draws, always."""
    estimate = float(evaluate(np.ones((1, rows)))[0]) if rows else float("nan")
    if np.isnan(estimate) or not clusters:
        return Distribution(estimate, np.zeros(0), 0.0, 1.0, 1.0, float("nan"))
    replicates = _replicates(clusters, evaluate, resamples, seed)
    deviations = [_deviations(c, evaluate) for c in clusters]
    parts = [(_variance(d), max(len(d) - 1, 1)) for d in deviations]
    drawn = sum(v * n / (n + 1) for v, n in parts)
    variance = sum(v for v, _ in parts)
    if len(clusters) == 2:
        cells, freedom = _cell_variance(clusters[0], clusters[1], evaluate)
        drawn += cells
        variance = max(variance - cells, *(v for v, _ in parts))
        parts.append((cells, freedom))
    uncertainty = sum(v**2 / n for v, n in parts)
    pooled = np.concatenate(deviations)
    squares = float(np.sum(pooled**2))
    return Distribution(
        estimate=estimate,
        replicates=replicates[np.isfinite(replicates)],
        acceleration=float(np.sum(pooled**3)) / (6 * squares**1.5) if squares > 0 else 0.0,
        stretch=float(np.sqrt(variance / drawn)) if drawn > 0 else 1.0,
        freedom=variance**2 / uncertainty if uncertainty > 0 else 1.0,
        standard_error=float(np.sqrt(variance)),
    )
