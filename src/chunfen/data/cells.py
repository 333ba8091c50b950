"""Cells of tables that JSON cannot hold: dates, decimal numbers, bytes. Nothing else is touched."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\x1aE\xdf\xa3", "video/webm"),
)
"""How files of pictures, sounds and films begin."""
RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
"""Kinds of RIFF files, by what stands behind the length."""


class CellError(ValueError):
    """Why a cell cannot be used."""


def readable(value: Any) -> Any:
    """A cell as JSON: dates as ISO 8601, decimals as text, NaN as null; pictures and sounds as data addresses.

    Hugging Face keeps a medium as {"bytes": …, "path": …}: that is one address, or the path where there are no bytes.
    Bytes that are UTF-8 are that text. Raises CellError for other bytes.

    >>> from datetime import datetime
    >>> readable({"at": datetime(2024, 3, 20, 3, 6), "cost": Decimal("1.50"), "score": float("nan")})
    {'at': '2024-03-20T03:06:00', 'cost': '1.50', 'score': None}
    >>> readable([{"bytes": b"GIF89a", "path": None}, {"bytes": None, "path": "a.png"}, b"caf\\xc3\\xa9"])
    ['data:image/gif;base64,R0lGODlh', 'a.png', 'café']
    """
    if isinstance(value, Mapping):
        if set(value) == {"bytes", "path"}:
            return _medium(value["bytes"], value["path"])
        return {name: readable(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [readable(inner) for inner in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _bytes(bytes(value))
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, (date, time)):  # a datetime is a date
        return value.isoformat()
    return str(value) if isinstance(value, (Decimal, timedelta)) else value


def _medium(content: bytes | None, path: str | None) -> Any:
    return path if content is None else _bytes(content)


def _bytes(content: bytes) -> str:
    kind = _kind(content)
    if kind:
        return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise CellError(f"{len(content)} bytes that are neither UTF-8 text nor a picture or sound") from None


def _kind(content: bytes) -> str:
    """The MIME type of a medium by how it begins; "" for anything else.

    >>> _kind(b"RIFF\\0\\0\\0\\0WAVEfmt "), _kind(b"\\0\\0\\0\\x18ftypmp42"), _kind(b"text")
    ('audio/wav', 'video/mp4', '')
    """
    if content[4:8] == b"ftyp":
        return "video/mp4"
    if content[:4] == b"RIFF":
        return RIFF.get(content[8:12], "")
    return next((kind for start, kind in SIGNATURES if content.startswith(start)), "")
