"""The pre-registered floors and aims of a repair, read from `criteria.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from chunfen.errors import DataError
from chunfen.measure.criterion import Criterion

CRITERIA = Path(__file__).with_name("criteria.yaml")
LARGE = 1000.0
"""From so many million parameters on, a model is judged as a large one."""


def load_criteria(millions: float | None = None, path: Path = CRITERIA) -> tuple[Criterion, ...]:
    """All criteria, with the limits for a model of this size (unknown: a small one, the stricter).

    Raises `DataError`, naming the criterion and the field, for a file that cannot be used.

    >>> slope = load_criteria(millions=135)[0]
    >>> slope.id, slope.floor, load_criteria(millions=7000)[0].floor
    ('P1.slope', -0.8, -0.6)
    """
    size = "large" if millions is not None and millions >= LARGE else "small"
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))["criteria"]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a list of `criteria`: {error}") from error
    return tuple(_criterion(row, size, path) for row in rows)


def _criterion(row: Mapping[str, Any], size: str, path: Path) -> Criterion:
    sized = {key: value.get(size, value) if isinstance(value, dict) else value for key, value in row.items()}
    try:
        return Criterion.model_validate(sized)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: criterion {row.get('id', '?')}: {field}: {first['msg']}") from error
