"""Statistics that a picture needs and a log does not store: a line and its band."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fit:
    """A least-squares line y = level + slope·(x − 0.5) with what its confidence band needs.

    level, slope: in the unit of y. error: residual standard deviation. quantile: Student's t, two-sided 95 %.
    """

    level: float
    slope: float
    count: int
    center: float
    squares: float
    error: float
    quantile: float

    def at(self, x: float) -> float:
        return self.level + self.slope * (x - 0.5)

    def band(self, x: float) -> tuple[float, float]:
        """The 95 % confidence band of the line's height at x."""
        half = self.quantile * self.error * math.sqrt(1 / self.count + (x - self.center) ** 2 / self.squares)
        return self.at(x) - half, self.at(x) + half


def fit_line(points: Sequence[tuple[float, float]]) -> Fit | None:
    """Fit y on x; None with fewer than three points or a single x.

    >>> line = fit_line([(0.0, -1.0), (0.5, 0.0), (1.0, 1.0)])
    >>> line.level, line.slope, line.band(0.2) == (line.at(0.2), line.at(0.2))
    (0.0, 2.0, True)
    >>> fit_line([(0.5, 1.0), (0.5, 2.0), (0.5, 3.0)]) is None
    True
    """
    n = len(points)
    if n < 3:
        return None
    x0 = math.fsum(x for x, _ in points) / n
    y0 = math.fsum(y for _, y in points) / n
    squares = math.fsum((x - x0) ** 2 for x, _ in points)
    if squares < 1e-12:
        return None
    slope = math.fsum((x - x0) * (y - y0) for x, y in points) / squares
    rest = math.fsum((y - y0 - slope * (x - x0)) ** 2 for x, y in points)
    return Fit(y0 + slope * (0.5 - x0), slope, n, x0, squares, math.sqrt(rest / (n - 2)), student(n - 2))


def student(freedom: int) -> float:
    """The 97.5 % point of Student's t.

    >>> round(student(58), 3)
    2.002
    """
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))
