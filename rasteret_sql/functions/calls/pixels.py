"""Runs the functions that read pixels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.functions.calls.meeting_rows import FEWEST, Columns, Meeting, meeting_rows
from rasteret_sql.functions.calls.pixel_request import pixel_request
from rasteret_sql.functions.calls.zone_rows import knows_zones, measure_rows
from rasteret_sql.functions.spec import Function
from rasteret_sql.reading.arrow_types import spread
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.known_rows import KnownRows
from rasteret_sql.reading.points_together import sample_together
from rasteret_sql.reading.request import Request
from rasteret_sql.reading.run_rows import Kernel, run_rows
from rasteret_sql.session.session import Session

_PLACED = ("scene_id", "band", "geom")
"""Columns that make a request; others are further arguments of the kernel."""
_ZONES = (int(shapely.GeometryType.POLYGON), int(shapely.GeometryType.MULTIPOLYGON))
_TAKEN: dict[str, Collection[int] | None] = {
    "read_chip": None,
    "zonal_stats": _ZONES,
    "zonal_stat": _ZONES,
    "zonal_hist": _ZONES,
    "sample_point": (int(shapely.GeometryType.POINT),),
}
"""Functions of which rows that miss their image are NULL, and the types of geometries that they take; None: all."""


def over_rows(function: Function, kernel: Kernel) -> Callable[..., pa.Array]:
    """A kernel of `reading` over the rows of a request, as the code of a function over columns."""

    def run(session: Session, cancelled: Cancelled, *columns: Any) -> pa.Array:
        given, others = _columns(function, *columns)
        context, defaults = session.reading(function.name), session.settings.of_calls()
        are_known = knows_zones(function, given, others, session)
        meeting = None if are_known else _to_read(function, given, others, context, defaults)
        known = _read_together(function, given, others, meeting, session, cancelled)
        if are_known and known is None:
            meeting = _to_read(function, given, others, context, defaults)
        if meeting is None and known is None:
            request = pixel_request(function, *given, defaults)
            values = run_rows(kernel, request, context, cancelled, *(column.to_pylist() for column in others))
        else:
            count = len(given.ids)
            rows = np.arange(count) if meeting is None else meeting.rows
            rows = rows if known is None else np.setdiff1d(rows, known.rows)
            context.plan_pairs(0, seen=count - len(rows) - (0 if known is None else len(known.rows)))
            values = pa.nulls(count, function.returns)
            if len(rows):
                given, others = given.take(pa.array(rows)), [column.take(pa.array(rows)) for column in others]
                parsed = None if meeting is None else meeting.shapes
                shapes = None if parsed is None else [parsed[row] for row in rows.tolist()]
                request = pixel_request(function, *given, defaults, shapes)
                read = run_rows(kernel, request, context, cancelled, *(column.to_pylist() for column in others))
                values = spread(read, rows, count)
            values = values if known is None else known.put_into(values)
        return _field(values) if function.body == "field" else values

    return run


def _to_read(
    function: Function,
    given: Columns,
    others: Sequence[pa.Array],
    context: ReadContext,
    defaults: Mapping[str, str],
) -> Meeting | None:
    """The rows that may meet their image; None: all are to be read, each by itself."""
    if function.name not in _TAKEN or len(given.ids) < FEWEST:
        return None
    meeting = meeting_rows(function.name, given, _TAKEN[function.name], context, defaults)
    if meeting is None or not others:
        return meeting
    # Whatever is wrong with another argument is said although no row meets its image.
    return meeting._replace(rows=np.unique(np.concatenate([meeting.rows, *map(_first_of_each, others)])))


def _read_together(  # noqa: PLR0917 - columns
    function: Function,
    given: Columns,
    others: Sequence[pa.Array],
    meeting: Meeting | None,
    session: Session,
    cancelled: Cancelled,
) -> KnownRows | None:
    """The rows of points or zones that are read together, as arrays; None where all are to be read one by one."""
    if function.name == "sample_point":
        points = [] if meeting is None else meeting.points
        return sample_together(points, session.reading(function.name), cancelled) if points else None
    if function.name not in {"zonal_stat", "zonal_stats"} or len(given.ids) < FEWEST:
        return None
    return measure_rows(function, given, others, None if meeting is None else meeting.rows, session, cancelled)


def _first_of_each(column: pa.Array) -> np.ndarray:
    """The first row of each distinct value."""
    codes = column.dictionary_encode().indices.fill_null(-1).to_numpy()
    return np.asarray(np.unique(codes, return_index=True)[1])


def planned(function: Function, kernel: Callable[[Request, ReadContext], pa.Array]) -> Callable[..., pa.Array]:
    """A kernel of `reading` that fetches nothing, as the code of a function over columns."""

    def run(session: Session, _cancelled: Cancelled, *columns: Any) -> pa.Array:
        given, _ = _columns(function, *columns)
        request = pixel_request(function, *given, session.settings.of_calls())
        return kernel(request, session.reading(function.name))

    return run


def _columns(function: Function, *columns: Any) -> tuple[Columns, list[pa.Array]]:
    """The columns that make a request, and the others."""
    by_name = dict(zip((one.name for one in function.columns), columns[:-1], strict=True))
    ids, bands, geometries = (by_name.pop(name) for name in _PLACED)
    return Columns(ids, bands, geometries, columns[-1]), [*by_name.values()]


def _field(values: pa.Array) -> pa.StructArray:
    """Values as STRUCT(value), which the macros take apart.

    A function that gives a plain value is one that DuckDB 1.5 calls for every entry of a dictionary-encoded column of
    scene ids, also those of rows that a filter or LIMIT left out: it would read all scenes of a Parquet file, and fail
    for any of them. So it is with a MAP; not with a STRUCT.
    """
    return pa.StructArray.from_arrays([values], names=["value"])
