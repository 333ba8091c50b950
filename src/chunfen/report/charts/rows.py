"""Charts that are one table row high: fluid, without text, so that they fit any screen and break over pages.

Positions are percentages of the cell's width; the numbers stand beside them in the table.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from chunfen.report.charts.svg import element, scale
from chunfen.report.numbers import known

INSET = 3.0
"""Free per cent at both ends, so that a dot on the border is whole."""


def strip(*children: object, height: int = 18, label: str = "") -> Markup:
    """A fluid picture; hidden from readers of text unless it has a label."""
    access = {"role": "img", "aria_label": label} if label else {"aria_hidden": "true"}
    return element("svg", *children, width="100%", height=height, class_="strip", **access)


def percent(value: float, domain: tuple[float, float]) -> str:
    """Where a value lies, as a percentage of the width; beyond the domain it is held at the border.

    >>> percent(0, (-1, 1)), percent(9, (-1, 1))
    ('50.00%', '97.00%')
    """
    held = min(max(value, domain[0]), domain[1])
    return f"{scale(domain, (INSET, 100 - INSET))(held):.2f}%"


def _rule(value: float, domain: tuple[float, float], class_: str) -> Markup:
    spot = percent(value, domain)
    return element("line", x1=spot, x2=spot, y1="0", y2="100%", class_=class_)


def _dot(value: float | None, domain: tuple[float, float], kind: str, radius: float = 4.2) -> Markup:
    if not known(value):
        return Markup("")
    return element("circle", cx=percent(value, domain), cy="50%", r=radius, class_=f"dot {kind}")


def _bar(low: float | None, high: float | None, domain: tuple[float, float], class_: str) -> Markup:
    if not (known(low) and known(high)):
        return Markup("")
    return element("line", x1=percent(low, domain), x2=percent(high, domain), y1="50%", y2="50%", class_=class_)


def dumbbell(before: float | None, after: float | None, domain: tuple[float, float], *, repaired: bool) -> Markup:
    """Before (hollow) to after (solid) around parity; a lone audit is one solid dot."""
    if not repaired:
        return strip(_rule(0, domain, "parity"), _bar(0, before, domain, "stem"), _dot(before, domain, "after"))
    stem = _bar(before, after, domain, "stem")
    return strip(_rule(0, domain, "parity"), stem, _dot(before, domain, "before"), _dot(after, domain, "after"))


def forest(
    position: float,
    low: float | None,
    high: float | None,
    *,
    outcome: str,
    two_sided: bool,
    reach: float = 2.0,
) -> Markup:
    """A change in multiples of its margin, with its interval; the margin is at −1 (two-sided: and +1)."""
    domain = (-reach, reach)
    parts = [_rule(-1, domain, "margin"), _rule(0, domain, "parity")]
    if two_sided:
        parts.append(_rule(1, domain, "margin"))
    parts += [_bar(low, high, domain, f"whisker {outcome}"), _dot(position, domain, outcome, 4.6)]
    return strip(*parts, *_beyond(low, high, domain), height=22)


def _beyond(low: float | None, high: float | None, domain: tuple[float, float]) -> list[Markup]:
    """Arrow heads where an interval runs out of the picture."""
    heads = []
    if known(low) and low < domain[0]:
        heads.append(element("text", "‹", x="0%", y="16", class_="tick"))
    if known(high) and high > domain[1]:
        heads.append(element("text", "›", x="100%", y="16", text_anchor="end", class_="tick"))
    return heads


def swarm(values: Sequence[float | None], kind: str, domain: tuple[float, float]) -> Markup:
    """One tick for each template's score."""
    marks = []
    for value in values:
        if known(value):
            spot = percent(value, domain)
            marks.append(element("line", x1=spot, x2=spot, y1="15%", y2="85%", class_=f"template {kind}"))
    zero = [_rule(0, domain, "parity")] if domain[0] <= 0 <= domain[1] else []
    return strip(*zero, *marks, height=16)


def stacked(parts: Sequence[tuple[str, float, str]], label: str) -> Markup:
    """A bar of shares: (class, share, text); the text is written where there is room for it."""
    left, children = 0.0, []
    for name, share, text in parts:
        if share <= 0:
            continue
        children.append(
            element(
                "rect",
                x=f"{left * 100:.2f}%",
                y="0",
                width=f"{share * 100:.2f}%",
                height="100%",
                class_=f"part {name}",
            )
        )
        if share >= 0.09:
            middle = f"{(left + share / 2) * 100:.2f}%"
            children.append(
                element("text", text, x=middle, y="50%", dy="0.36em", text_anchor="middle", class_=f"on {name}")
            )
        left += share
    return strip(*children, height=30, label=label)
