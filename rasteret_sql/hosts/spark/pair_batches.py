"""Places scenes, packs zones and points into parcels, and reads pairs scene by scene."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InvalidCrsError, RasteretError
from rasteret_sql.functions.calls.pixel_request import point_crs
from rasteret_sql.functions.calls.relation_sql import named_error
from rasteret_sql.functions.calls.relations import HIST, asked_statistics, reader_of, reading_of, take_geometries
from rasteret_sql.geo.grid import Grid
from rasteret_sql.geo.lonlat_cells import Boxes, box_of_all, geometry_boxes, grid_box
from rasteret_sql.hosts.spark.argument_columns import geometries
from rasteret_sql.hosts.spark.frame_call import FrameCall
from rasteret_sql.hosts.spark.parcels import opened, packed, place_column
from rasteret_sql.hosts.spark.spark_types import as_spark_takes
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.context import FailedRow, Found, ReadContext
from rasteret_sql.reading.pairs import PairReader, chips_of, histograms_of, samples_of
from rasteret_sql.reading.relation import Met, Relation
from rasteret_sql.reading.relation_geometries import Geometries, Numbers, Points
from rasteret_sql.reading.request import Scene
from rasteret_sql.reading.resolve import unplaced
from rasteret_sql.result_types import CHIP
from rasteret_sql.session.session import Session

LOOKED_UP = 256
"""Scenes whose headers are looked up together."""
_MOST_ROWS = 1 << 16
"""Rows of zones or points that are held together, for one scene or several, at most."""
_MOST_BYTES = 64 * 1024 * 1024
"""Bytes of these, and of the chips that are handed on together."""
_PAIRS_TOGETHER = 2048
"""Pairs of several scenes that are read in one call, as in a call of DuckDB; more only where one scene has more."""
_KEPT = 4
"""Relations that wait for the next scene, which often has the same geometries."""


class _Kept(NamedTuple):
    relation: Relation
    reader: PairReader | None
    rows: pa.RecordBatch
    """Of zones or points, with all their columns."""
    codes: Numbers
    """Geometry of each row in the relation."""
    begins: dict[bytes, int]
    """Parcel → the first of its rows."""


_kept: OrderedDict[tuple[str, str, tuple[bytes, ...]], _Kept] = OrderedDict()
_lock = threading.Lock()


def placed_scenes(
    session: Session, call: FrameCall, batches: Iterator[pa.RecordBatch], parts: int, first: int
) -> Iterator[pa.RecordBatch]:
    """Add to scenes the column `place`, where the image of each lies on the globe, and `part`, which they get in turn.

    Args:
        session: What it works with.
        call: What is asked for.
        batches: Of scenes. One that is not found fails.
        parts: Partitions in which they are read.
        first: That of the first scene.
    """
    relation = call.relation(session.settings.of_calls())
    for batch in dealt_scenes(batches, parts, first):
        for begin in range(0, batch.num_rows, LOOKED_UP):
            some = batch.slice(begin, LOOKED_UP)
            scenes = scenes_of(some.column("scene"))

            def work(_: Cancelled, scenes: Sequence[Scene] = scenes) -> Boxes:
                with named_error(call.function):
                    return image_boxes(relation, scenes, reading_of(session, relation))

            boxes = session.engine.call(work)
            yield pa.RecordBatch.from_arrays(
                [*some.columns, place_column(boxes, images=True)], names=[*some.schema.names, "place"]
            )


def dealt_scenes(batches: Iterator[pa.RecordBatch], parts: int, first: int) -> Iterator[pa.RecordBatch]:
    """Add the column `part` to scenes, as `placed_scenes` does."""
    for batch in batches:
        dealt = pa.array((first + np.arange(batch.num_rows)) % parts, pa.int32())
        first += batch.num_rows
        yield pa.RecordBatch.from_arrays([*batch.columns, dealt], names=[*batch.schema.names, "part"])


def scenes_of(column: pa.StructArray) -> list[Scene]:
    """The scenes of a column; one without an id has an empty one, and is nowhere."""
    ids, collections = (column.field(name).to_pylist() for name in ("id", "collection"))
    return [Scene(one or "", collection) for one, collection in zip(ids, collections, strict=True)]


def image_boxes(relation: Relation, scenes: Sequence[Scene], context: ReadContext) -> Boxes:
    """The box of each scene's images on the globe: of those of all bands together."""
    bands: list[tuple[Asked, ...]] = [(band,) for band in relation.bands] if relation.apart else [relation.bands]
    found = relation.look_up([scene for scene in scenes if scene.id], bands, context)
    boxes = np.full((len(scenes), 4), np.nan)
    for row, scene in enumerate(scenes):
        of_bands = [_image_box(relation, scene, found[scene, band], context) for band in bands if scene.id]
        there = [box for box in of_bands if box is not None]
        if there:
            boxes[row] = box_of_all(np.array(there))
    return boxes


def _image_box(
    relation: Relation, scene: Scene, found: Found, context: ReadContext
) -> tuple[float, float, float, float] | None:
    """The box of an image; None where it cannot be read, and the call asks for no error."""
    error = found if isinstance(found, RasteretError) else unplaced(found)
    if error is not None:
        if not relation.options.tolerates(error):
            raise error
        named = relation.options.of_scene(scene.collection).collection_name
        context.report(FailedRow(named, scene.id, ", ".join(map(str, relation.bands)), error))
        return None
    assert not isinstance(found, RasteretError)
    header = found[0].header
    assert header.crs is not None and header.transform is not None  # noqa: PT018 - it has a place
    return grid_box(header.crs, Grid(header.transform, header.width, header.height))


def parcels(
    session: Session, call: FrameCall, batches: Iterator[pa.RecordBatch], most_rows: int | None = None
) -> Iterator[pa.RecordBatch]:
    """Pack zones or points into parcels of so many rows at most: columns parcel and place.

    Raises:
        RasteretError: a geometry cannot be read, or is of a kind that the call does not take.
    """
    for rows in _gathered(batches):

        def work(_: Cancelled, rows: pa.RecordBatch = rows) -> Boxes:
            with named_error(call.function):
                relation = call.relation(session.settings.of_calls())
                take(relation, call, [rows.column(name) for name in call.geometry])
                return _boxes(relation.geometries)

        made, places = packed(rows, session.engine.call(work), most_rows)
        yield pa.RecordBatch.from_arrays([made, places], names=["parcel", "place"])


def _gathered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows that are packed together: neighbours may be anywhere among them."""
    waiting: list[pa.RecordBatch] = []
    rows = held = 0
    for batch in batches:
        waiting.append(batch)
        rows, held = rows + batch.num_rows, held + batch.nbytes
        if rows >= _MOST_ROWS or held >= _MOST_BYTES:
            yield _joined(waiting)
            waiting, rows, held = [], 0, 0
    if rows:
        yield _joined(waiting)


def _boxes(known: Geometries) -> Boxes:
    """The box of each geometry on the globe; NaN where there is none."""
    boxes = np.full((len(known), 4), np.nan)
    for crs, numbers in known.groups.items():
        bounds = (
            np.tile(known.xy[numbers], 2)
            if isinstance(known, Points)
            else shapely.bounds(np.array(known.of(numbers.tolist()), object)).reshape(-1, 4)
        )
        try:
            boxes[numbers] = geometry_boxes(bounds, crs)
        except InvalidCrsError:  # each scene says so, or gives NULL, as in DuckDB
            boxes[numbers[~np.isnan(bounds[:, 0])]] = (-np.inf, -np.inf, np.inf, np.inf)
    return boxes


def take(relation: Relation, call: FrameCall, columns: Sequence[pa.Array]) -> None:
    """Read the geometries of a relation."""
    crs = call.given.get("geom_crs")
    if len(columns) == 2:
        xy = np.column_stack([column.cast(pa.float64()).to_numpy(zero_copy_only=False) for column in columns])
        relation.geometries = Points(xy, [point_crs(crs)] * len(xy))
    else:
        take_geometries(relation, geometries(columns[0]), crs)


def read_pairs(session: Session, call: FrameCall, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Read scenes, which come one after the other: columns scene and parcel, zones or points that may meet it."""
    for chunk in pair_chunks(batches):
        yield from _read(session, call, chunk)


def pair_chunks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Parcels that are read together: those of some scenes, or a part of those of one."""
    waiting: pa.RecordBatch | None = None
    for batch in batches:
        waiting = batch if waiting is None else _joined([waiting, batch])
        while (cut := _cut(waiting)) is not None:
            yield waiting.slice(0, cut)
            waiting = waiting.slice(cut)
    if waiting is not None and waiting.num_rows:
        yield waiting


def _cut(chunk: pa.RecordBatch) -> int | None:
    """The number of parcels that are read together, where these are too many."""
    parcel = chunk.column("parcel")
    sizes = pc.binary_length(parcel.field("rows")).to_numpy().astype(np.int64)
    rows = np.cumsum(parcel.field("count").to_numpy())
    fit = int(((rows <= _MOST_ROWS) & (np.cumsum(sizes) <= _MOST_BYTES)).sum())
    if fit == len(rows):
        return None
    begins = _begins(chunk.column("scene"))
    fitting = begins[(begins > 0) & (begins <= fit)]
    return int(fitting[-1]) if len(fitting) else max(1, fit)


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def _begins(scenes: pa.StructArray) -> Numbers:
    """The rows with which the scenes begin."""
    changes = np.zeros(len(scenes), bool)
    changes[:1] = True
    for name in ("id", "collection"):
        codes = scenes.field(name).dictionary_encode().indices.fill_null(-1).to_numpy()
        changes[1:] |= codes[1:] != codes[:-1]
    return np.flatnonzero(changes)


class _Rows(NamedTuple):
    """The rows of a scene, or of a band of it, that are read."""

    scene: int
    """The first row of the chunk that is of it."""
    rows: Numbers
    """Of zones or points."""
    numbers: Numbers
    """Geometry of each in the relation."""
    met: Met


class PairsFound(NamedTuple):
    """The pairs of a chunk."""

    kept: _Kept
    scenes: list[Scene]
    begins: Numbers
    """The row of the chunk with which each scene begins."""
    met: list[list[Met]]
    """What each scene meets."""


def find_pairs(session: Session, call: FrameCall, chunk: pa.RecordBatch) -> PairsFound:
    """Find the pairs of a chunk."""
    parcel = chunk.column("parcel")
    begins = _begins(chunk.column("scene"))
    scenes = scenes_of(chunk.column("scene").take(pa.array(begins)))

    def find(_: Cancelled) -> tuple[_Kept, list[list[Met]]]:
        with named_error(call.function):
            kept = _relation(session, call, parcel, parcel.field("name").to_pylist())
            return kept, kept.relation.pairs(scenes, reading_of(session, kept.relation))

    kept, met = session.engine.call(find)
    return PairsFound(kept, scenes, begins, met)


def _read(session: Session, call: FrameCall, chunk: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The results of a chunk."""
    names = chunk.column("parcel").field("name").to_pylist()
    counts = chunk.column("parcel").field("count").to_numpy()
    kept, _, begins, met = find_pairs(session, call, chunk)
    ends = np.append(begins[1:], len(names))
    first = np.array([kept.begins[name] for name in names])
    asked: list[_Rows] = []
    for of_scene, begin, end in zip(met, begins.tolist(), ends.tolist(), strict=True):
        given = np.concatenate([np.arange(first[at], first[at] + counts[at]) for at in range(begin, end)])
        for one in of_scene:
            meets = np.zeros(len(kept.relation.geometries), bool)
            meets[one.numbers] = True
            rows = given[meets[kept.codes[given]]]
            if len(rows):
                asked.append(_Rows(begin, rows, kept.codes[rows], one))
    if kept.reader is not None:
        # One after the other: the reader begins the next scene by itself, and would read it twice beside another call.
        for together in _together(asked):
            values = _values(session, call, kept, together)
            yield _batch(call, chunk, kept.rows, together, values)
        return
    context = reading_of(session, kept.relation)
    for some in asked:
        for begin, chips in _chips(session, call, kept, some, context):
            rows = some.rows[begin : begin + len(chips)]
            yield _batch(call, chunk, kept.rows, [some._replace(rows=rows)], {"chip": chips})


def _together(asked: Sequence[_Rows]) -> Iterator[list[_Rows]]:
    """The rows of scenes that are read in one call."""
    some: list[_Rows] = []
    for one in asked:
        if some and sum(len(each.rows) for each in some) + len(one.rows) > _PAIRS_TOGETHER:
            yield some
            some = []
        some.append(one)
    if some:
        yield some


def distinct_geometries(columns: Sequence[pa.Array]) -> tuple[list[pa.Array], Numbers]:
    """The distinct geometries of rows, and the number of each row's among them."""
    codes = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        parts = column.flatten() if pa.types.is_struct(column.type) else [column]
        for part in parts:
            if pa.types.is_nested(part.type):  # such as [x, y]
                return list(columns), np.arange(len(columns[0]))
            encoded = part.dictionary_encode()
            of_part = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy().astype(np.int64)
            codes = codes * (len(encoded.dictionary) + 1) + of_part
            _, codes = np.unique(codes, return_inverse=True)
    _, first, numbers = np.unique(codes, return_index=True, return_inverse=True)
    # In the order in which they came, so that they are the same for the next scene.
    order = np.argsort(first)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return [column.take(pa.array(first[order])) for column in columns], place[numbers]


def _relation(session: Session, call: FrameCall, parcel: pa.StructArray, names: Sequence[bytes]) -> _Kept:
    """The relation of the rows of parcels, with what reads its pairs; one from before, if it has the same parcels."""
    places = {name: at for at, name in reversed([*enumerate(names)])}
    wanted = sorted(places, key=places.__getitem__)
    key = (session.key, repr(call), tuple(wanted))
    with _lock:
        kept = _kept.get(key)
        if kept is None:
            kept = _new_relation(session, call, parcel.take(pa.array([places[name] for name in wanted])), wanted)
        _kept[key] = kept
        _kept.move_to_end(key)
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
        return kept


def _new_relation(session: Session, call: FrameCall, parcel: pa.StructArray, names: Sequence[bytes]) -> _Kept:
    rows = opened([one.as_buffer() for one in parcel.field("rows")])
    counts = parcel.field("count").to_numpy()
    relation = call.relation(session.settings.of_calls())
    columns = [rows.column(name) for name in call.geometry]
    # A plan counts each row, as it would be read.
    is_read = relation.function == relation.call
    distinct, codes = distinct_geometries(columns) if is_read else (columns, np.arange(rows.num_rows))
    take(relation, call, distinct)
    begins = dict(zip(names, (np.cumsum(counts) - counts).tolist(), strict=True))
    return _Kept(relation, reader_of(relation), rows, codes, begins)


def _values(session: Session, call: FrameCall, kept: _Kept, asked: Sequence[_Rows]) -> dict[str, pa.Array]:
    """The numbers of the rows of some scenes, by name."""
    context = reading_of(session, kept.relation)

    def work(cancelled: Cancelled) -> dict[str, pa.Array]:
        with named_error(call.function):
            return _numbers(call, kept, asked, context, cancelled)

    return session.engine.call(work)


def _numbers(
    call: FrameCall, kept: _Kept, asked: Sequence[_Rows], context: ReadContext, cancelled: Cancelled
) -> dict[str, pa.Array]:
    """The numbers of pairs."""
    relation, reader = kept.relation, kept.reader
    assert reader is not None
    parts = np.concatenate([np.full(len(one.rows), one.met.part) for one in asked])
    numbers = np.concatenate([one.numbers for one in asked])
    found: dict[str, pa.Array] = {}
    if relation.of_points:
        values, missing = samples_of(reader, parts, numbers, context, cancelled)
        return _columns(call.after, values, missing)
    names = asked_statistics(call.given)
    if relation.statistics:
        values, missing = reader.read(parts, numbers, context, cancelled)
        found |= _columns([name for name in names if name != HIST], values, missing)
    if HIST in names:
        found[HIST] = histograms_of(relation, parts, numbers, context, cancelled)
    return found


def _columns(
    names: Sequence[str], values: npt.NDArray[np.float64], missing: npt.NDArray[np.bool_]
) -> dict[str, pa.Array]:
    return {name: pa.array(values[:, at], mask=missing[:, at]) for at, name in enumerate(names)}


def _chips(
    session: Session, call: FrameCall, kept: _Kept, asked: _Rows, context: ReadContext
) -> Iterator[tuple[int, pa.Array]]:
    """The chips of pairs, some at a time, so that they take little memory: the first of the rows, and their chips."""
    begin, step = 0, 16
    while begin < len(asked.rows):
        some = slice(begin, begin + step)

        def work(cancelled: Cancelled, some: slice = some) -> pa.Array:
            numbers = asked.numbers[some]
            with named_error(call.function):
                return chips_of(kept.relation, np.full(len(numbers), asked.met.part), numbers, context, cancelled)

        chips = session.engine.call(work)
        yield begin, as_spark_takes(chips, CHIP, large=False)
        begin += len(chips)
        step = int(min(1024, max(1, len(chips) * _MOST_BYTES // max(chips.nbytes, 1))))


def _batch(
    call: FrameCall,
    chunk: pa.RecordBatch,
    rows: pa.RecordBatch,
    asked: Sequence[_Rows],
    values: Mapping[str, pa.Array],
) -> pa.RecordBatch:
    """Rows of the result."""
    of_each = pa.array(np.repeat(np.arange(len(asked)), [len(one.rows) for one in asked]))
    scene = chunk.column("scene").take(pa.array([one.scene for one in asked]))
    found = {"scene_id": scene.field("id").take(of_each), "datetime": scene.field("datetime").take(of_each)}
    for name in call.before[2:]:
        bands = pa.array([", ".join(one.met.names) for one in asked], pa.string())
        found[name] = bands.take(of_each)
    taken = rows.take(pa.array(np.concatenate([one.rows for one in asked])))
    found |= dict(zip(taken.schema.names, taken.columns, strict=True))
    found |= {name: values[name] for name in call.after}
    return pa.RecordBatch.from_arrays([*found.values()], names=[*found])
