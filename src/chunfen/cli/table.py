"""Plain tables, aligned for people and stable for other programs."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence


def width(text: str) -> int:
    """Columns that a text takes on a terminal; Chinese characters take two.

    >>> width("abc"), width("推理")
    (3, 4)
    """
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows under a header, columns two spaces apart.

    >>> print(table(("model", "size"), [("a-model", 135), ("推理", 7)]))
    model    size
    a-model  135
    推理     7
    """
    lines = [tuple(header), *(tuple(map(str, row)) for row in rows)]
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(_padded, line, widths)).rstrip() for line in lines)


def _padded(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))
