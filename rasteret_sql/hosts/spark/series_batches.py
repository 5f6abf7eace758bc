"""Makes series of zones: reads pairs and sends them to those who have the zone, and puts these together by period."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions.calls.rows import named_arguments
from rasteret_sql.functions.calls.series import FUNCTION, periods_sql
from rasteret_sql.hosts.spark.frame_call import FrameCall
from rasteret_sql.hosts.spark.pair_batches import read_pairs
from rasteret_sql.session.session import Session

ZONE, ROW, GEOMETRY = "__rasteret_zone", "__rasteret_row", "geometry"
"""Columns of zones on their way: a number of each, a STRUCT of its own columns, its geometry."""


def sent_series(
    session: Session, call: FrameCall, batches: Iterator[pa.RecordBatch], parts: int
) -> Iterator[pa.RecordBatch]:
    """Read pairs: columns part, `ZONE`, `ROW`, `GEOMETRY`, band, datetime and statistics.

    The columns of a zone come with the first row of it alone. At the end each part is told the first and the last time
    of all rows, in rows without a zone: the periods of a series are those of all zones.
    """
    seen = set[int]()
    times = []
    schema: pa.Schema | None = None
    for batch in read_pairs(session, call, batches):
        zones = batch.column(ZONE).to_numpy()
        _, first = np.unique(zones, return_index=True)
        new = [at for at in first.tolist() if int(zones[at]) not in seen]
        seen.update(zones[new].tolist())
        shown = np.zeros(len(zones), bool)
        shown[new] = True
        places = pa.array(np.arange(len(zones)), mask=~shown)
        sent = {"part": pa.array(zones % parts, pa.int32()), ZONE: batch.column(ZONE)}
        sent |= {name: batch.column(name).take(places) for name in (ROW, GEOMETRY)}
        sent |= {name: batch.column(name) for name in ("band", "datetime", *call.after)}
        made = pa.RecordBatch.from_arrays([*sent.values()], names=[*sent])
        schema = made.schema
        times += [value for value in pc.min_max(batch.column("datetime")).values() if value.is_valid]
        yield made
    if schema is not None and times:
        ends = [min(times, key=lambda time: time.value), max(times, key=lambda time: time.value)]
        told = {
            "part": pa.array(np.repeat(np.arange(parts), 2), pa.int32()),
            "datetime": pa.array([one.as_py() for one in ends] * parts, schema.field("datetime").type),
        }
        columns = [told[field.name] if field.name in told else pa.nulls(2 * parts, field.type) for field in schema]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def zonal_series(
    session: Session,  # noqa: ARG001 - as tasks are called
    call: FrameCall,
    batches: Iterator[pa.RecordBatch],
    series: str,
    zones: Sequence[str],
) -> Iterator[pa.RecordBatch]:
    """The series of the zones of one part, by the SQL that DuckDB has for it.

    Args:
        session: What it works with.
        call: What was read.
        batches: As `sent_series` gives them.
        series: JSON of the named arguments of the call of zonal_series.
        zones: Names of their columns.

    Raises:
        InvalidArgumentError: a scene has no time.
    """
    given = [*batches]
    rows = pa.Table.from_batches(given) if given else None
    if rows is None or not rows.num_rows:
        return
    ends = rows.filter(pc.is_null(rows.column(ZONE))).select(["datetime"])
    measured = rows.filter(pc.is_valid(rows.column(ZONE)))
    owners = measured.filter(pc.is_valid(measured.column(ROW))).combine_chunks()
    shown = "zone, band, period, scenes, count, value"
    text = f"WITH {periods_sql(named_arguments(FUNCTION, series), '__ends')} SELECT {shown} FROM __filled"  # noqa: S608
    with duckdb.connect(config={"threads": 1}) as con:
        con.register("__ends", ends)
        con.register("__measured", measured.select([ZONE, "band", "datetime", *call.after]))
        try:
            found = con.sql(f"{text} ORDER BY zone, band, period").to_arrow_table()
        except duckdb.Error as error:
            raise InvalidArgumentError(str(error).partition(": ")[2] or str(error)) from None
    # Several tasks may have sent the columns of a zone.
    numbers, first = np.unique(owners.column(ZONE).to_numpy(), return_index=True)
    places = pa.array(first[np.searchsorted(numbers, found.column("zone").to_numpy())])
    own = {name: _column(owners, name).take(places) for name in zones}
    columns = [*own.values(), *(found.column(name) for name in ("band", "period", "scenes", "count", "value"))]
    table = pa.Table.from_arrays(columns, names=[*own, "band", "period", "scenes", "count", "value"])
    yield from table.combine_chunks().to_batches(max_chunksize=1 << 16)


def _column(owners: pa.Table, name: str) -> pa.ChunkedArray:
    """A column of zones: one of `ROW`, or the geometry."""
    kind = owners.schema.field(ROW).type
    if kind.get_field_index(name) < 0:
        return owners.column(GEOMETRY)
    return pc.struct_field(owners.column(ROW), name)
