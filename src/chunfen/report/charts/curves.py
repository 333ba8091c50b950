"""The numbers of a training by step, one small panel for each, as one picture that stands alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from chunfen.report.charts.svg import chart, element, path, scale, ticks

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT, COLUMNS = 380.0, 200.0, 2
LEFT, RIGHT, TOP, BOTTOM = 52.0, 12.0, 30.0, 24.0
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #333 } .name { font-weight: 600 } .grid { stroke: #e4e4e4 }
.train { stroke: #2a6f4e; fill: none; stroke-width: 1.6 } .eval { stroke: #c8553d; fill: none; stroke-width: 1.6 }
.dot { fill: #c8553d } .paper { fill: #fff }
"""
HIDDEN = frozenset({"time", "step", "epoch", "total_flos"})


def series(lines: Iterable[Mapping[str, Any]]) -> dict[str, tuple[Points, Points]]:
    """Metric → its (step, value) points in training and in evaluations, out of the lines of metrics.jsonl.

    >>> series([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.5}, {"step": 2, "eval_loss": 1.7}])
    {'loss': ([(1, 2.0), (2, 1.5)], [(2, 1.7)])}
    """
    found: dict[str, tuple[list[tuple[float, float]], list[tuple[float, float]]]] = {}
    for line in lines:
        for name, value in line.items():
            if name in HIDDEN or name.startswith("train_") or not isinstance(value, int | float):
                continue
            plain = name.removeprefix("eval_")
            found.setdefault(plain, ([], []))[name != plain].append((line["step"], value))
    return {name: (trained, evaluated) for name, (trained, evaluated) in found.items()}


def curves(lines: Iterable[Mapping[str, Any]], title: str) -> Markup:
    """All panels in one SVG; green: training, red: evaluation."""
    found = series(lines)
    panels = [
        element("g", _panel(name, *points), transform=f"translate({k % COLUMNS * WIDTH:g} {k // COLUMNS * HEIGHT:g})")
        for k, (name, points) in enumerate(found.items())
    ]
    width, height = WIDTH * COLUMNS, HEIGHT * max(1, -(-len(panels) // COLUMNS))
    paper = element("rect", class_="paper", width=width, height=height)
    said = f"Metrics by step: {', '.join(found)}."
    drawn = chart(
        element("style", Markup(STYLE)), paper, *panels, title=title, description=said, width=width, height=height
    )
    return Markup(str(drawn).replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1))


def _panel(name: str, trained: Points, evaluated: Points) -> Markup:
    values = [value for _, value in (*trained, *evaluated)]
    steps = [step for step, _ in (*trained, *evaluated)]
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    x = scale((min(steps), max(steps) + (max(steps) == min(steps))), (LEFT, WIDTH - RIGHT))
    y = scale((low - room, high + room), (HEIGHT - BOTTOM, TOP))
    grid = [
        element("g", element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(t), y2=y(t), class_="grid"), _tick(t, y(t)))
        for t in ticks(low - room, high + room, 4)
    ]
    ends = [
        element("text", f"{step:g}", x=x(step), y=HEIGHT - 8, text_anchor="middle")
        for step in {*steps[:1], *steps[-1:]}
    ]
    lines = [
        element("path", d=path((x(step), y(value)) for step, value in points), class_=kind)
        for kind, points in (("train", trained), ("eval", evaluated))
        if points
    ]
    dots = [element("circle", cx=x(step), cy=y(value), r=2.5, class_="dot") for step, value in evaluated]
    return Markup("").join((element("text", name, x=LEFT, y=18.0, class_="name"), *grid, *ends, *lines, *dots))


def _tick(value: float, y: float) -> Markup:
    return element("text", f"{value:.3g}", x=LEFT - 6, y=y + 4, text_anchor="end")
