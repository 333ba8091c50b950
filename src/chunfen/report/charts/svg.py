"""The few things that every chart needs: elements, scales, ticks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from markupsafe import Markup, escape


def element(name: str, *children: object, **attributes: object) -> Markup:
    """An SVG element; attribute names take _ for -, a trailing _ is dropped, floats are rounded to a tenth.

    >>> print(element("text", "a<b", x=1.25, text_anchor="end", class_="axis"))
    <text x="1.2" text-anchor="end" class="axis">a&lt;b</text>
    """
    parts = [f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"' for key, value in attributes.items()]
    return Markup(f"<{name}{''.join(parts)}>{''.join(escape(child) for child in children)}</{name}>")


def _plain(value: object) -> object:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value


def chart(
    *children: object, title: str, description: str, width: float, height: float, class_: str = "chart"
) -> Markup:
    """A whole picture with a name and a description for those who cannot see it."""
    return element(
        "svg",
        element("title", title),
        element("desc", description),
        *children,
        class_=class_,
        role="img",
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        aria_label=title,
    )


def scale(domain: tuple[float, float], target: tuple[float, float]) -> Callable[[float], float]:
    """A straight map.

    >>> scale((0, 10), (100, 200))(5)
    150.0
    """
    ratio = (target[1] - target[0]) / (domain[1] - domain[0])
    return lambda value: target[0] + (value - domain[0]) * ratio


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Round positions inside [low, high], about `count` of them.

    >>> ticks(-2.2, 3.1), ticks(0, 1, 4)
    ([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0], [0.0, 0.5, 1.0])
    """
    raw = (high - low) / max(1, count)
    power = 10 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(k * step, 10) + 0.0 for k in range(first, last + 1)]


def path(points: Iterable[tuple[float, float]], *, closed: bool = False) -> str:
    """Path data through points.

    >>> path([(0, 0), (1, 2.25)], closed=True)
    'M0.0 0.0L1.0 2.2Z'
    """
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + ("Z" if closed else "")
