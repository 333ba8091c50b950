"""Readings as arrays: what metrics and statistics compute on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from chunfen.measure.types import Reading, Table


def to_table(readings: Iterable[Reading]) -> Table:
    """One row per reading, in the order given; what could not be read is NaN.

    Items and templates are numbered in alphabetical order, so that the numbers (and with them every resample)
    do not depend on the order in which the readings came.

    >>> table = to_table([Reading("nurse", "t1", x=0.9, value=1.5), Reading("baker", "t1", x=0.6)])
    >>> table.items, table.item.tolist(), table.value.tolist()
    (('baker', 'nurse'), [1, 0], [1.5, nan])
    """
    rows = list(readings)
    items = tuple(sorted({r.item for r in rows}))
    templates = tuple(sorted({r.template for r in rows}))
    item_number = {name: n for n, name in enumerate(items)}
    template_number = {name: n for n, name in enumerate(templates)}
    return Table(
        value=np.array([np.nan if r.value is None else r.value for r in rows], dtype=float),
        x=np.array([np.nan if r.x is None else r.x for r in rows], dtype=float),
        item=np.array([item_number[r.item] for r in rows], dtype=int),
        template=np.array([template_number[r.template] for r in rows], dtype=int),
        label=np.array([r.label for r in rows], dtype=np.str_),
        variant=np.array([r.variant for r in rows], dtype=np.str_),
        items=items,
        templates=templates,
    )


def concatenate(tables: Sequence[tuple[str, Table]]) -> Table:
    """Pool tables of different probes into one; ``name/`` goes before each one's items and templates.

    >>> one = to_table([Reading("a", "t", value=1.0)])
    >>> concatenate([("p", one), ("q", one)]).items
    ('p/a', 'q/a')
    """
    if len(tables) == 1:
        return tables[0][1]
    return to_table(
        replace(r, item=f"{name}/{r.item}", template=f"{name}/{r.template}")
        for name, table in tables
        for r in to_readings(table)
    )


def to_readings(table: Table) -> list[Reading]:
    """The readings of a table, without their texts."""
    maybe: Callable[[float], float | None] = lambda number: None if np.isnan(number) else float(number)  # noqa: E731
    return [
        Reading(
            item=table.items[table.item[n]],
            template=table.templates[table.template[n]],
            variant=str(table.variant[n]),
            x=maybe(table.x[n]),
            value=maybe(table.value[n]),
            label=str(table.label[n]),
        )
        for n in range(len(table.value))
    ]


def is_read(table: Table) -> NDArray[np.bool_]:
    """Which rows [rows] could be read: they have a class other than "unparsed", or a value and no class.

    >>> rows = [Reading("a", "t", value=0.2), Reading("a", "t"), Reading("a", "t", label="unparsed")]
    >>> is_read(to_table([*rows, Reading("a", "t", label="refusal")])).tolist()
    [True, False, False, True]
    """
    read: NDArray[np.bool_] = np.where(table.label == "", ~np.isnan(table.value), table.label != "unparsed")
    return read
