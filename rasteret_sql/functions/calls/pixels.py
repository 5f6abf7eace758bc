"""Runs the functions that read pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.functions.calls.pixel_request import pixel_request
from rasteret_sql.functions.spec import Function
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.request import Request
from rasteret_sql.reading.run_rows import Kernel, run_rows
from rasteret_sql.session.session import Session

_PLACED = ("scene_id", "band", "geom")
"""Columns that make a request; others are further arguments of the kernel."""


def over_rows(function: Function, kernel: Kernel) -> Callable[..., pa.Array]:
    """A kernel of `reading` over the rows of a request, as the code of a function over columns."""

    def run(session: Session, cancelled: Cancelled, *columns: Any) -> pa.Array:
        request, others = _request(session, function, *columns)
        values = run_rows(kernel, request, session.reading(function.name), cancelled, *others)
        return _field(values) if function.body == "field" else values

    return run


def planned(function: Function, kernel: Callable[[Request, ReadContext], pa.Array]) -> Callable[..., pa.Array]:
    """A kernel of `reading` that fetches nothing, as the code of a function over columns."""

    def run(session: Session, _cancelled: Cancelled, *columns: Any) -> pa.Array:
        request, _ = _request(session, function, *columns)
        return kernel(request, session.reading(function.name))

    return run


def _request(session: Session, function: Function, *columns: Any) -> tuple[Request, list[list[Any]]]:
    """The request that the columns make, and the other columns' values."""
    by_name = dict(zip((one.name for one in function.columns), columns[:-1], strict=True))
    ids, bands, geometries = (by_name.pop(name) for name in _PLACED)
    request = pixel_request(function, ids, bands, geometries, columns[-1], session.settings.of_calls())
    return request, [column.to_pylist() for column in by_name.values()]


def _field(values: pa.Array) -> pa.StructArray:
    """Values as STRUCT(value), which the macros take apart.

    A function that gives a plain value is one that DuckDB 1.5 calls for every entry of a dictionary-encoded column of
    scene ids, also those of rows that a filter or LIMIT left out: it would read all scenes of a Parquet file, and fail
    for any of them. So it is with a MAP; not with a STRUCT.
    """
    return pa.StructArray.from_arrays([values], names=["value"])
