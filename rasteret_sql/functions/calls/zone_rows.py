"""Computes statistics of the zones of a call as arrays, where its rows differ in scene and zone alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InterruptedQueryError, RasteretError
from rasteret_sql.functions.calls.meeting_rows import FEWEST, Columns
from rasteret_sql.functions.calls.pixel_request import band_request, geometries_with_crs, row_options
from rasteret_sql.functions.spec import Function
from rasteret_sql.raster.statistic_names import STATS, is_statistic
from rasteret_sql.reading.known_rows import KnownRows
from rasteret_sql.reading.relation import Relation
from rasteret_sql.reading.relation_geometries import Numbers, Shapes
from rasteret_sql.reading.zones_of_rows import ZonesOfRows
from rasteret_sql.result_types import STATISTICS
from rasteret_sql.session.session import Session


def measure_rows(  # noqa: PLR0917 - columns
    function: Function,
    given: Columns,
    others: Sequence[pa.Array],
    rows: Numbers | None,
    session: Session,
    cancelled: Cancelled,
) -> KnownRows | None:
    """Statistics of zones that are read together.

    Rows are left to be read one by one where zones are large, NULL or none, where a tile cannot be had, and wherever
    something is wrong: that says with which of them.

    Args:
        function: what is called.
        given: the columns that place the rows.
        others: the name of the statistic, where one is asked for.
        rows: those that may meet their image; None: all.
        session: with what they are read.
        cancelled: polled while waiting.

    Returns:
        None where all are left.
    """
    count = len(given.ids) if rows is None else len(rows)
    if count < FEWEST:
        return None
    names = _statistics(function, others)
    wkbs = given.geometries.field("wkb")
    common = [_common(column) for column in (given.bands, given.named, given.geometries.field("kind").drop_null())]
    if not names or None in common:
        return None
    ids, zones = given.ids.dictionary_encode(), wkbs.dictionary_encode()
    scenes, numbers = (side.indices.fill_null(-1).to_numpy().astype(np.int64) for side in (ids, zones))
    rows = np.arange(len(given.ids)) if rows is None else rows
    rows = rows[(scenes[rows] >= 0) & (numbers[rows] >= 0)]
    if not len(rows) or len(rows) < FEWEST * len(ids.dictionary):
        return None
    defaults = session.settings.of_calls()
    call = (function.name, names, *common, *defaults.items())
    context = session.reading(function.name)
    known = session.recent_zones.get(call, zones.dictionary)
    try:
        if known is None:
            relation = _relation(function, names, given, numbers, defaults)
            if relation is None:
                return None
            known = ZonesOfRows(zones.dictionary, relation)
        every = ids.dictionary.to_pylist()
        found, met = known.measure(every, scenes[rows], numbers[rows], context, cancelled)
    except InterruptedQueryError:
        raise
    except RasteretError:
        return None
    if not met:  # perhaps their axes are swapped: that is looked into row by row
        return None
    session.recent_zones.keep(call, known)
    context.plan_pairs(met, seen=int(found.known.sum()))
    there = found.known
    return KnownRows(rows[there], _arrow(function, found.values[there], found.missing[there]))


def _statistics(function: Function, others: Sequence[pa.Array]) -> tuple[str, ...]:
    """The statistics of all rows; none where they differ."""
    if function.name == "zonal_stats":
        return STATS
    name = _common(others[0]) if function.name == "zonal_stat" else None
    return (name,) if name is not None and is_statistic(name) else ()


def _common(column: pa.Array) -> str | None:
    """The value of all rows; None where they differ, or it is NULL."""
    values = column.unique()
    value: str | None = values[0].as_py() if len(values) == 1 else None
    return value


def _relation(
    function: Function,
    names: tuple[str, ...],
    given: Columns,
    zones: Numbers,
    defaults: Mapping[str, str],
) -> Relation | None:
    """The zones of a call; None where its rows are to be read one by one."""
    options, crs = row_options(function.name, given.named[0].as_py(), tuple(defaults.items()))
    if options.shape is not None or options.max_bytes is not None or options.backend is not None:
        return None
    bands = band_request(given.bands[0].as_py(), options)
    if len(bands) != 1:
        return None
    there, first = np.unique(zones, return_index=True)
    first = first[there >= 0]
    geometries, crs_of_each = geometries_with_crs(given.geometries.take(pa.array(first)), crs)
    shapes = Shapes(geometries, crs_of_each)
    return Relation(function.name, function.name, shapes, bands, replace(options, on_error="raise"), names, apart=True)


def _arrow(function: Function, values: np.ndarray, missing: np.ndarray) -> pa.Array:
    """The values of rows, shape (n, statistics), as the function gives them."""
    fields = [pa.array(values[:, at], mask=missing[:, at]) for at in range(values.shape[1])]
    if function.name == "zonal_stat":
        return fields[0]
    # A zone that misses its image has no count either.
    count = missing[:, STATS.index("count")]
    return pa.StructArray.from_arrays(fields, fields=list(STATISTICS), mask=pa.array(count))
