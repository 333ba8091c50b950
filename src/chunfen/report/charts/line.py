"""The occupation line: where each item stands, how the model leans on it, and the fit with its band."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from chunfen.report.charts.labels import Box, place
from chunfen.report.charts.svg import chart, element, path, scale, ticks
from chunfen.report.numbers import decimal
from chunfen.report.views.fit import Fit
from chunfen.report.views.items import Line

Map = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class LineText:
    """The words of the chart."""

    title: str
    description: str
    x_axis: str
    up: str
    down: str
    percent: str


@dataclass(frozen=True, slots=True)
class Frame:
    """Size and margins in CSS pixels."""

    width: float
    height: float
    left: float = 40
    right: float = 14
    top: float = 14
    bottom: float = 44


WIDE = Frame(760, 460)
NARROW = Frame(350, 380, left=34, right=8)


def line_chart(line: Line, text: LineText, frame: Frame = WIDE, outliers: int = 8) -> Markup:
    """Draw the line. Hollow and dashed is before, solid is after; a lone audit is solid."""
    low, high = _reach(line)
    x = scale((0.0, 1.0), (frame.left, frame.width - frame.right))
    y = scale((low, high), (frame.height - frame.bottom, frame.top))
    series = [("before", line.before), ("after", line.after)] if line.repaired else [("after", line.before)]
    marks = [_fitted(fit, line, x, y, kind) for kind, fit in series if fit]
    dots = [_dots(line, when, kind, x, y) for when, kind in _series(line)]
    ground = (_halves(frame, x, y), _grid(frame, x, y, (low, high), text))
    return chart(
        *ground,
        *marks,
        *dots,
        _names(line, x, y, frame, outliers),
        title=text.title,
        description=text.description,
        width=frame.width,
        height=frame.height,
        class_="chart wide" if frame is WIDE else "chart narrow",
    )


def _series(line: Line) -> Sequence[tuple[str, str]]:
    return (("before", "before"), ("after", "after")) if line.repaired else (("before", "after"),)


def _reach(line: Line) -> tuple[float, float]:
    """The y range: all points, parity always inside, as much above it as needed and no more."""
    values = [v for item in line.items for v in (item.before, item.after) if v is not None] + [0.0]
    low, high = min(values), max(values)
    room = 0.06 * (high - low or 1.0)
    return low - room, high + room


def _halves(frame: Frame, x: Map, y: Map) -> Markup:
    """Day above parity, night below."""
    wide = x(1) - x(0)
    day = element("rect", x=x(0), y=frame.top, width=wide, height=y(0) - frame.top, class_="day-half")
    base = frame.height - frame.bottom
    night = element("rect", x=x(0), y=y(0), width=wide, height=base - y(0), class_="night-half")
    return day + night


def _grid(frame: Frame, x: Map, y: Map, reach: tuple[float, float], text: LineText) -> Markup:
    base = frame.height - frame.bottom
    parts = []
    for value in ticks(*reach, 6):
        kind = "parity" if value == 0 else "grid"
        parts.append(element("line", x1=x(0), x2=x(1), y1=y(value), y2=y(value), class_=kind))
        label = decimal(value, 1, signed=True)
        parts.append(element("text", label, x=x(0) - 6, y=y(value) + 4, text_anchor="end", class_="tick"))
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        anchor = {0.0: "start", 1.0: "end"}.get(value, "middle")
        label = text.percent.format(n=f"{value * 100:g}")
        parts.append(element("text", label, x=x(value), y=base + 17, text_anchor=anchor, class_="tick"))
    parts.append(element("line", x1=x(0.5), x2=x(0.5), y1=frame.top, y2=base, class_="grid"))
    parts.append(element("text", text.x_axis, x=(x(0) + x(1)) / 2, y=base + 36, text_anchor="middle", class_="axis"))
    parts.append(element("text", "▲ " + text.up, x=x(0) + 8, y=frame.top + 16, class_="axis day"))
    parts.append(element("text", "▼ " + text.down, x=x(1) - 8, y=base - 8, text_anchor="end", class_="axis night"))
    return Markup("").join(parts)


def _fitted(fit: Fit, line: Line, x: Map, y: Map, kind: str) -> Markup:
    xs = [item.x for item in line.items]
    steps = [min(xs) + (max(xs) - min(xs)) * k / 40 for k in range(41)]
    above = [(x(s), y(fit.band(s)[1])) for s in steps]
    below = [(x(s), y(fit.band(s)[0])) for s in reversed(steps)]
    band = element("path", d=path([*above, *below], closed=True), class_=f"band {kind}")
    ends = [(x(s), y(fit.at(s))) for s in (steps[0], steps[-1])]
    return band + element("path", d=path(ends), class_=f"fit {kind}")


def _dots(line: Line, when: str, kind: str, x: Map, y: Map) -> Markup:
    dots = []
    for item in line.items:
        value = getattr(item, when)
        if value is not None:
            name = element("title", f"{item.item} · {decimal(value, 2, signed=True)}")
            dots.append(element("circle", name, cx=x(item.x), cy=y(value), r=3.4, class_=f"dot {kind}"))
    return Markup("").join(dots)


def _names(line: Line, x: Map, y: Map, frame: Frame, count: int) -> Markup:
    """Name the items that are furthest from the fitted line, where there is room."""
    when, fit = ("before", line.before) if line.before else ("after", line.after)
    known = [(item, value) for item in line.items if (value := getattr(item, when)) is not None]
    if not fit or not known:
        return Markup("")
    far = sorted(known, key=lambda pair: -abs(pair[1] - fit.at(pair[0].x)))
    busy = [Box.around(x(i.x), y(v), 4.5) for i in line.items for v in (i.before, i.after) if v is not None]
    inside = Box(x(0), frame.top + 22, x(1), frame.height - frame.bottom - 22)
    wanted = [(x(item.x), y(value), item.item) for item, value in far[: 3 * count]]
    return Markup("").join(
        element("text", name, x=px, y=py, text_anchor=anchor, class_="name")
        for px, py, anchor, name in place(wanted, busy, inside, count)
    )
