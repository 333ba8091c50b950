"""Where to write names beside points so that nothing covers anything."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def around(cls, x: float, y: float, radius: float) -> Box:
        return cls(x - radius, y - radius, x + radius, y + radius)

    def meets(self, other: Box) -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def holds(self, other: Box) -> bool:
        across = self.left <= other.left and other.right <= self.right
        return across and self.top <= other.top and other.bottom <= self.bottom


def width_of(text: str, size: float = 11.5) -> float:
    """About how wide a text is, in pixels; a wide (CJK) character takes a whole em.

    >>> width_of("ab", 10), width_of("护士", 10)
    (11.0, 20)
    """
    return sum(size if unicodedata.east_asian_width(c) in "WF" else size * 0.55 for c in text)


def place(
    wanted: Sequence[tuple[float, float, str]],
    busy: Sequence[Box],
    inside: Box,
    count: int,
    size: float = 11.5,
) -> list[tuple[float, float, str, str]]:
    """Put up to `count` names right, left, above or below their points: (x, baseline, anchor, name).

    Greedy in the given order; a name that fits nowhere is left out.

    >>> place([(50, 50, "ab")], [], Box(0, 0, 100, 100), 1)
    [(57, 54, 'start', 'ab')]
    """
    taken = list(busy)
    done: list[tuple[float, float, str, str]] = []
    for x, y, name in wanted:
        wide = width_of(name, size)
        spots = (
            (x + 7, y + 4, "start", x + 7),
            (x - 7, y + 4, "end", x - 7 - wide),
            (x, y - 8, "middle", x - wide / 2),
            (x, y + 16, "middle", x - wide / 2),
        )
        for px, py, anchor, left in spots:
            box = Box(left - 1, py - size, left + wide + 1, py + 3)
            if inside.holds(box) and not any(box.meets(other) for other in taken):
                taken.append(box)
                done.append((px, py, anchor, name))
                break
        if len(done) == count:
            break
    return done
