"""Computes statistics of the zones of a call as arrays, where its rows differ in scene and zone alone."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

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

_FUNCTIONS = {"zonal_stat", "zonal_stats"}


class _Asked(NamedTuple):
    """The question of a call of which the rows differ in scene and zone alone."""

    call: Hashable
    """All that the rows have in common."""
    statistics: tuple[str, ...]
    ids: pa.DictionaryArray
    """Of the scenes."""
    zones: pa.DictionaryArray
    """As they were given."""


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
    asked = _asked(function, given, others, session)
    if asked is None:
        return None
    call, names, ids, zones = asked
    scenes, numbers = (side.indices.fill_null(-1).to_numpy().astype(np.int64) for side in (ids, zones))
    rows = np.arange(len(given.ids)) if rows is None else rows
    rows = rows[(scenes[rows] >= 0) & (numbers[rows] >= 0)]
    if len(rows) < FEWEST * max(1, len(ids.dictionary)):
        return None
    context = session.reading(function.name)
    known = session.recent_zones.get(call, zones.dictionary)
    try:
        if known is None:
            relation = _relation(function, names, given, numbers, session.settings.of_calls())
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


def knows_zones(function: Function, given: Columns, others: Sequence[pa.Array], session: Session) -> bool:
    """True where the zones of rows are those of a call before: which of them meet their images is found as arrays."""
    asked = _asked(function, given, others, session) if function.name in _FUNCTIONS else None
    return asked is not None and session.recent_zones.get(asked.call, asked.zones.dictionary) is not None


def _asked(function: Function, given: Columns, others: Sequence[pa.Array], session: Session) -> _Asked | None:
    """The question of a call; None where its rows differ in more than scene and zone."""
    if len(given.ids) < FEWEST:
        return None
    names = _statistics(function, others)
    common = [_common(column) for column in (given.bands, given.named, given.geometries.field("kind").drop_null())]
    if not names or None in common:
        return None
    # Values of one type are all WKB or all text.
    wkbs, texts = given.geometries.field("wkb"), given.geometries.field("text")
    zones = texts if wkbs.null_count == len(wkbs) else wkbs
    call = (function.name, names, *common, *session.settings.of_calls().items())
    return _Asked(call, names, given.ids.dictionary_encode(), zones.dictionary_encode())


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
