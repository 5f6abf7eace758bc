"""Finds the scenes near a geometry, and makes the composites of periods."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions.calls.mosaics import lacking_time, method_of
from rasteret_sql.functions.calls.pixel_request import one_geometry
from rasteret_sql.functions.calls.relation_sql import named_error
from rasteret_sql.functions.calls.relations import reading_of
from rasteret_sql.geo.lonlat_cells import geometry_boxes, may_meet
from rasteret_sql.hosts.spark.frame_call import FrameCall
from rasteret_sql.hosts.spark.pair_batches import LOOKED_UP, distinct_geometries, image_boxes, scenes_of, take
from rasteret_sql.hosts.spark.parcels import opened
from rasteret_sql.hosts.spark.periods import periods_of
from rasteret_sql.hosts.spark.spark_types import as_spark_takes
from rasteret_sql.reading.composites import composite_rows, read_composites
from rasteret_sql.reading.mosaic import Group, Mosaic
from rasteret_sql.reading.relation import Relation
from rasteret_sql.reading.relation_geometries import Shapes
from rasteret_sql.reading.request import Scene
from rasteret_sql.result_types import COMPOSITE
from rasteret_sql.session.session import Session

INSTANT = pa.timestamp("us", "UTC")
_found: dict[str, tuple[Mosaic, list[Group]]] = {}
"""The mosaic of the last call: each of its periods comes as a row of its own."""
_lock = threading.Lock()


def _relation(session: Session, call: FrameCall, geometry: str) -> Relation:
    """The relation of the one geometry of a call."""
    relation = call.relation(session.settings.of_calls())
    form = {"kind": "VARCHAR", "wkb": None, "text": geometry}
    shape, crs = one_geometry(form, call.given.get("geom_crs"))
    column = np.empty(1, object)
    column[0] = shape
    relation.geometries = Shapes(column, [crs])
    return relation


def near_scenes(
    session: Session, call: FrameCall, batches: Iterator[pa.RecordBatch], geometry: str
) -> Iterator[pa.RecordBatch]:
    """The scenes that may meet a geometry, with the column `period`."""

    def place(_: Cancelled) -> tuple[Relation, np.ndarray]:
        with named_error(call.function):
            relation = _relation(session, call, geometry)
            (shape,) = relation.geometries.of([0])
            return relation, geometry_boxes(shapely.bounds(shape).reshape(1, 4), relation.geometries.crs[0])

    relation, area = session.engine.call(place)
    for batch in batches:
        for begin in range(0, batch.num_rows, LOOKED_UP):
            some = batch.slice(begin, LOOKED_UP)
            scenes = scenes_of(some.column("scene"))

            def work(_: Cancelled, scenes: Sequence[Scene] = scenes) -> np.ndarray:
                with named_error(call.function):
                    return image_boxes(relation, scenes, reading_of(session, relation))

            near = some.filter(pa.array(may_meet(session.engine.call(work), area)))
            periods = _periods(call, near.column("scene").field("datetime"))
            yield pa.RecordBatch.from_arrays([*near.columns, periods], names=[*near.schema.names, "period"])


def _periods(call: FrameCall, instants: pa.Array) -> pa.Array:
    every = call.given.get("every")
    if every is None:
        return pa.nulls(len(instants), INSTANT)
    if instants.null_count:
        raise InvalidArgumentError(f"{call.function}: {lacking_time(every)}")
    return periods_of(instants, every)


def scene_periods(
    session: Session,  # noqa: ARG001 - as tasks are called
    call: FrameCall,
    batches: Iterator[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """Add the column `period` to scenes."""
    for batch in batches:
        periods = _periods(call, batch.column("scene").field("datetime"))
        yield pa.RecordBatch.from_arrays([*batch.columns, periods], names=[*batch.schema.names, "period"])


def read_mosaics(session: Session, call: FrameCall, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The composites of parcels: columns parcel, and scenes, those of all periods in their order."""
    for batch in batches:
        for row in range(batch.num_rows):
            rows = opened([batch.column("parcel").field("rows")[row].as_buffer()])
            yield from _of_zones(session, call, rows, batch.column("scenes")[row].as_py())


def _of_zones(
    session: Session, call: FrameCall, rows: pa.RecordBatch, listed: Sequence[Mapping[str, Any]]
) -> Iterator[pa.RecordBatch]:
    """The composites of some zones, made as they come in DuckDB: all of a period after those of the one before."""
    periods: dict[Any, list[Scene]] = {}
    for one in listed:
        periods.setdefault(one["period"], []).append(Scene(one["id"], one["collection"]))
    begins = [*periods]

    def find(_: Cancelled) -> tuple[Mosaic, list[Group], dict[int, list[int]]]:
        with named_error(call.function):
            relation = call.relation(session.settings.of_calls())
            distinct, codes = distinct_geometries([rows.column(name) for name in call.geometry])
            take(relation, call, distinct)
            mosaic = Mosaic(relation, method_of(call.given))
            of_zone: dict[int, list[int]] = {}
            for at, zone in enumerate(codes.tolist()):
                of_zone.setdefault(zone, []).append(at)
            return mosaic, mosaic.find([*periods.values()], reading_of(session, relation)), of_zone

    mosaic, groups, of_zone = session.engine.call(find)
    for group in groups:

        def make(cancelled: Cancelled, numbers: Sequence[int] = group.numbers) -> pa.Array:
            with named_error(call.function):
                made = read_composites(mosaic, numbers, reading_of(session, mosaic.relation), cancelled)
                return composite_rows(mosaic, list(numbers), made)

        made = session.engine.call(make)
        # The number of the composite of each, and the row of its zone: of equal zones each has its own.
        there = [zone for zone, count in zip(group.zones, pc.list_value_length(made).to_pylist(), strict=True) if count]
        numbers = pa.array([at for at, zone in enumerate(there) for _ in of_zone[zone]], pa.int64())
        owners = pa.array([row for zone in there for row in of_zone[zone]], pa.int64())
        found = as_spark_takes(made.flatten().take(numbers), COMPOSITE, large=False)
        columns = [*rows.take(owners).columns, pa.array([begins[group.period]] * len(found), INSTANT), *found.flatten()]
        yield pa.RecordBatch.from_arrays(columns, names=[*rows.schema.names, *call.after])


def read_mosaic(
    session: Session, call: FrameCall, batches: Iterator[pa.RecordBatch], geometry: str
) -> Iterator[pa.RecordBatch]:
    """The composite of each row: columns all, the scenes of all periods, and at, the number of the row's own."""
    for batch in batches:
        for row in range(batch.num_rows):
            at, listed = batch.column("at")[row].as_py(), batch.column("all")[row]
            yield from _composites(session, call, geometry, listed, at)


def mosaic_of(
    session: Session, call: FrameCall, geometry: str, periods: Sequence[Mapping[str, Any]]
) -> tuple[Mosaic, list[Group]]:
    """The composites of a geometry, for the scenes of all periods."""
    mosaic = Mosaic(_relation(session, call, geometry), method_of(call.given))
    scenes = [[Scene(one["id"], one["collection"]) for one in period["scenes"]] for period in periods]
    return mosaic, mosaic.find(scenes, reading_of(session, mosaic.relation))


def _composites(
    session: Session, call: FrameCall, geometry: str, listed: pa.ListScalar, at: int
) -> Iterator[pa.RecordBatch]:
    periods = listed.as_py()

    def find(_: Cancelled) -> tuple[Mosaic, list[Group]]:
        with named_error(call.function):
            return mosaic_of(session, call, geometry, periods)

    key = f"{session.key} {call} {geometry} {hash(str(periods))}"
    with _lock:
        if key not in _found:
            _found.clear()
            _found[key] = session.engine.call(find)
        mosaic, groups = _found[key]
    for group in groups:
        if group.period != at:
            continue

        def make(cancelled: Cancelled, numbers: Sequence[int] = group.numbers) -> pa.Array:
            with named_error(call.function):
                made = read_composites(mosaic, numbers, reading_of(session, mosaic.relation), cancelled)
                return composite_rows(mosaic, list(numbers), made).flatten()

        found = as_spark_takes(session.engine.call(make), COMPOSITE, large=False)
        begin = pa.array([periods[at]["period"]] * len(found), INSTANT)
        yield pa.RecordBatch.from_arrays([begin, *found.flatten()], names=["period", *(one.name for one in COMPOSITE)])
