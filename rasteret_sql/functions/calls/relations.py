"""Runs the functions over relations: writes their SQL, and does the parts of it that DuckDB asks for.

The SQL of a call does this, and DuckDB plans it as any other: one call keeps the relation of zones or points under a
token, a second says which of them each scene meets, and a third reads pairs of a scene and a zone or point, up to 2048
at a time. So rows stream, LIMIT ends the reading, and conditions on scenes reach their scan.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.engine.forecast import Forecast
from rasteret_sql.errors import InvalidArgumentError, InvalidGeometryError
from rasteret_sql.functions.calls.pixel_request import (
    band_request,
    geometries_with_crs,
    options_of,
    point_crs,
    points_with_crs,
)
from rasteret_sql.functions.calls.relation_sql import (
    count_columns,
    features_sql,
    found_column,
    found_columns,
    named_error,
    require_one_geometry,
    scenes_of,
    scenes_sql,
    texts_of,
)
from rasteret_sql.functions.calls.rows import named_arguments
from rasteret_sql.functions.explain_table import EXPLAINED
from rasteret_sql.functions.registry import geometry_sql
from rasteret_sql.functions.relations import (
    CHIP_OF,
    HISTOGRAM_OF,
    KEEP,
    MET,
    PAIRS,
    SAMPLES_OF,
    STATISTICS_OF,
)
from rasteret_sql.functions.spec import STATEMENT, Udf
from rasteret_sql.geo.geometry import GEOMETRY_COLUMNS
from rasteret_sql.quoting import quote_name, quote_text
from rasteret_sql.raster.statistic_names import STATS
from rasteret_sql.raster.stats import check_statistic
from rasteret_sql.reading.byte_limit import refuse
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.explain_pairs import PairPlanner
from rasteret_sql.reading.pairs import PairReader, PointReader, ZoneReader, chips_of, histograms_of, samples_of
from rasteret_sql.reading.relation import Met, Relation
from rasteret_sql.reading.relation_geometries import Geometries, Numbers, Points, Shapes
from rasteret_sql.reading.zonal import POLYGONAL
from rasteret_sql.result_types import CHIP
from rasteret_sql.session.kept_relations import Kept
from rasteret_sql.session.session import Session

HIST = "hist"
"""Among the statistics of a call: the MAP of zonal_hist."""
READERS: dict[str, type[ZoneReader | PointReader]] = {
    "zonal_stats_table": ZoneReader,
    "sample_points": PointReader,
}
Read = Callable[[Kept, Numbers, Numbers], pa.Array]
"""(relation, part and number from 0 of each pair) → a value each."""
POINT_COLUMNS = ("lon", "longitude", "x"), ("lat", "latitude", "y")
"""Names of the columns of points without a geometry."""
_X, _Y = POINT_COLUMNS


def zonal_stats_table(
    _session: Session, _cancelled: Cancelled, scenes: pa.Array, zones: pa.Array, bands: pa.Array, texts: pa.Array
) -> pa.Array:
    """The SQL of each call of zonal_stats_table."""
    return texts_of(("scenes", "zones", "band"), zonal_stats_sql, scenes, zones, bands, texts)


def zonal_stats_sql(scene: str, zone: str, band: str, text: str) -> str:
    """The SQL of a call of zonal_stats_table, by the names of its relations and the JSON of its other arguments."""
    names = asked_statistics(named_arguments("zonal_stats_table", text))
    places = {name: at for at, name in enumerate((name for name in names if name != HIST), 1)}
    columns = [
        f"counted.value AS {HIST}" if name == HIST else f"got[{places[name]}] AS {quote_name(name)}" for name in names
    ]
    works = {"got": STATISTICS_OF} if places else {}
    if HIST in names:
        works["counted"] = HISTOGRAM_OF
    return _sql("zonal_stats_table", (scene, zone, band, text), works, ["band"], columns)


def sample_points(
    _session: Session, _cancelled: Cancelled, scenes: pa.Array, points: pa.Array, bands: pa.Array, texts: pa.Array
) -> pa.Array:
    """The SQL of each call of sample_points."""

    def one(scene: str, point: str, band: str, text: str) -> str:
        columns = [f"got[{at}] AS {quote_name(str(name))}" for at, name in enumerate(band_request(band), 1)]
        return _sql("sample_points", (scene, point, band, text), {"got": SAMPLES_OF}, [], columns)

    return texts_of(("scenes", "points", "band"), one, scenes, points, bands, texts)


def read_chips(
    _session: Session, _cancelled: Cancelled, scenes: pa.Array, zones: pa.Array, bands: pa.Array, texts: pa.Array
) -> pa.Array:
    """The SQL of each call of read_chips."""

    def one(scene: str, zone: str, band: str, text: str) -> str:
        return _sql("read_chips", (scene, zone, band, text), {"got": CHIP_OF}, [], ["got AS chip"])

    return texts_of(("scenes", "zones", "band"), one, scenes, zones, bands, texts)


def explained_call(given: dict[str, Any]) -> str:
    """The function of which a call wants to know the cost."""
    return str(given.get("call", EXPLAINED[0]))


def _sql(
    function: str,
    asked: tuple[str, str, str, str],
    works: Mapping[str, Udf],
    before: Sequence[str],
    after: Sequence[str],
) -> str:
    """The SQL of a call that reads pairs.

    Args:
        function: What is called.
        asked: Names of the two relations; JSON of bands and of the named arguments.
        works: What reads the pairs, by the names of the columns that it gives.
        before: Columns before those of zones or points.
        after: Columns after them.
    """
    shown = ", ".join(["id AS scene_id", "datetime", *before, "unnest(row)", *after])
    read = ", ".join(f"{work.name}(token, part, number, {STATEMENT}) AS {name}" for name, work in works.items())
    is_limited = "max_bytes" in named_arguments(function, asked[-1])
    return f"""{kept_sql(function, asked, is_used_twice=is_limited)},
  {_pairs_sql(is_limited=is_limited)},
  __read AS (
    SELECT id, datetime, band, rows[number] AS row, {read} FROM __pairs
  )
SELECT {shown} FROM __read"""  # noqa: S608 - quoted


def _pairs_sql(*, is_limited: bool) -> str:
    """The SQL of the pairs that meet, `__pairs`; with a limit of bytes all are found before the first is read."""
    met = f"{PAIRS.name}(id, collection, token, {STATEMENT})"
    shown = "id, datetime, token, rows"
    pairs = f"__pairs AS (SELECT {shown}, met.part, met.band, unnest(met.numbers) AS number FROM __met)"  # noqa: S608
    if not is_limited:
        return f"""__met AS (SELECT {shown}, unnest({met}) AS met FROM __scenes, __kept),
  {pairs}"""  # noqa: S608 - quoted
    return f"""__all_met AS MATERIALIZED (SELECT id, datetime, {met} AS met FROM __scenes, __kept),
  __met AS (SELECT {shown}, unnest(met) AS met FROM __all_met, __kept),
  {pairs}"""  # noqa: S608 - quoted


def kept_sql(
    function: str,
    asked: tuple[str, str, str, str],
    *,
    is_used_twice: bool = False,
    more: Mapping[str, str] | None = None,
) -> str:
    """The SQL that keeps zones or points and reads the ids of scenes, and `more` columns: `__scenes` and `__kept`.

    What is used once is kept once. Only what is used twice is MATERIALIZED: below that DuckDB reads all columns, also
    those that the statement does not want (2.0: where it counts rows; 1.5: always).
    """
    once = "MATERIALIZED " if is_used_twice else ""
    scenes, others, bands, text = asked
    band_request(bands)
    column = named_arguments(function, text).get("geom_column")
    names = GEOMETRY_COLUMNS if column is None else (column,)
    given = ", ".join(quote_text(each) for each in (function, bands, text))
    # Columns are looked for by patterns, with a NULL after them where there is none. That alone has a type without a
    # comma: a list of millions of NULLs is not made.
    return f"""WITH
  __scenes AS (
    {scenes_sql(function, scenes, more)}
  ),
  __found AS (
    SELECT {found_column(names)} AS geom, typeof({found_columns(names)}) AS columns, __row,
      {found_column(_X)} AS x, typeof({found_columns(_X)}) AS x_columns,
      {found_column(_Y)} AS y, typeof({found_columns(_Y)}) AS y_columns
    FROM (SELECT __rasteret_row AS __row, * FROM {features_sql(others)} AS __rasteret_row),
      (SELECT NULL AS __rasteret_absent)
  ),
  __kept AS {once}(
    SELECT {KEEP.name}({given}, any_value([columns, x_columns, y_columns]), list({geometry_sql("geom")}),
      list(TRY_CAST(x AS DOUBLE)) FILTER (WHERE contains(x_columns, ',')),
      list(TRY_CAST(y AS DOUBLE)) FILTER (WHERE contains(y_columns, ',')), {STATEMENT}) AS token, list(__row) AS rows
    FROM __found
  )"""  # noqa: S608 - quoted


def keep(  # noqa: PLR0917 - columns
    session: Session,
    _cancelled: Cancelled,
    functions: pa.Array,
    bands: pa.Array,
    texts: pa.Array,
    columns: pa.Array,
    geometries: pa.Array,
    xs: pa.Array,
    ys: pa.Array,
) -> pa.Array:
    """Keep the relation of each call; gives its token."""
    tokens = []
    for row in range(len(functions)):
        function = functions[row].as_py()
        with named_error(function):
            shapes = geometries[row].values if geometries[row].is_valid else pa.array([], geometries.type.value_type)
            places = tuple(_numbers(side[row]) for side in (xs, ys))
            relation = relation_of(session.settings.of_calls(), function, bands[row].as_py(), texts[row].as_py())
            if columns[row].is_valid:
                _fill(relation, columns[row].as_py(), shapes, places, texts[row].as_py())
            is_read = relation.function == relation.call
            planner = None
            if relation.max_bytes is not None or not is_read:
                planner = PairPlanner(relation, reader_of(relation), Forecast(session.engine, warm=is_read))
            tokens.append(session.relations.keep(Kept(relation, reader_of(relation), planner)))
    return pa.array(tokens, pa.int64())


def reader_of(relation: Relation) -> PairReader | None:
    """Make what reads the pairs of a relation; None where they are chips."""
    return READERS[relation.call](relation) if relation.call in READERS else None


def _numbers(column: pa.ListScalar) -> npt.NDArray[np.float64]:
    """Values of a list, NaN for NULL; none where the relation has no such column."""
    if not column.is_valid:
        return np.empty(0)
    return np.asarray(column.values.to_numpy(zero_copy_only=False), np.float64)


def relation_of(defaults: Mapping[str, str], function: str, bands: str, text: str) -> Relation:
    """A relation without geometries, as a call describes it.

    Args:
        defaults: Named arguments that a session sets where the call does not say them.
        function: What is called.
        bands: JSON of the bands.
        text: JSON of the named arguments.
    """
    given = dict(defaults) | named_arguments(function, text)
    statistics = tuple(name for name in asked_statistics(given) if name != HIST)
    call = explained_call(given) if function == "rasteret_explain_table" else function
    most = given.pop("max_bytes", None)
    best_by = given.pop("best_by", None)
    for name in ("geom_crs", "geom_column", "stats", "call", "method", "every", "order_by"):
        given.pop(name, None)
    options = options_of(call, given)
    # The band that composites compare is read with the others.
    scores = () if best_by is None else band_request(json.dumps(best_by), options)
    return Relation(
        function,
        call,
        Shapes(np.empty(0, object), ()),
        band_request(bands, options) + scores,
        options,
        statistics,
        apart=call == "zonal_stats_table",
        of_points=call == "sample_points",
        max_bytes=most,
    )


def asked_statistics(given: dict[str, Any]) -> tuple[str, ...]:
    """The statistics that a call asks for, `HIST` among them."""
    names = tuple(dict.fromkeys(given.get("stats") or STATS))
    for name in names:
        check_statistic(name, (HIST,))
    return names


def _fill(relation: Relation, columns: list[str], shapes: pa.StructArray, places: tuple[Any, ...], text: str) -> None:
    """Read the geometries of a relation.

    Args:
        relation: gets them.
        columns: types of the columns that were found: of geometries, x and y, each with one more.
        shapes: STRUCT(kind, wkb, text) of each row.
        places: x and y of each row, NaN where there is none; empty where the relation has no such columns.
        text: JSON of the named arguments.
    """
    given = named_arguments(relation.function, text)
    counts = [count_columns(each) for each in columns]
    what = "points" if relation.of_points else "zones"
    asked = given.get("geom_column")
    crs = given.get("geom_crs")
    has_places = relation.of_points and asked is None
    if has_places and counts == [0, 1, 1]:
        relation.geometries = Points(np.column_stack(places), [point_crs(crs)] * len(shapes))
        return
    if has_places and not counts[0] and min(counts[1:]) > 0:
        raise InvalidArgumentError(
            f"{what} has several columns that may be its places ({', '.join((*_X, *_Y))} are looked for); leave one "
            "pair of them, as in SELECT * EXCLUDE (x, y)"
        )
    other = " or two columns lon and lat, or x and y" if has_places else ""
    require_one_geometry(counts[0], what, asked, other)
    take_geometries(relation, shapes, crs)


def take_geometries(relation: Relation, shapes: pa.StructArray, crs: str | None) -> None:
    """Read the geometries of a relation from a column of them.

    Args:
        relation: gets them.
        shapes: STRUCT(kind, wkb, text) of each row.
        crs: that of the call; None: that of the type, their own, or lon/lat.

    Raises:
        RasteretError: one cannot be read, or is of a kind that the call does not take.
    """
    known: Geometries | None = points_with_crs(shapes, crs) if relation.of_points else None
    if known is None:
        geometries, crs_of_each = geometries_with_crs(shapes, crs)
        _check_kinds(relation, geometries)
        known = (Points.of_geometries if relation.of_points else Shapes)(geometries, crs_of_each)
    relation.geometries = known


def _check_kinds(relation: Relation, geometries: npt.NDArray[np.object_]) -> None:
    kinds = ("Point",) if relation.of_points else POLYGONAL if relation.apart else ()
    there = geometries[~shapely.is_missing(geometries) & ~shapely.is_empty(geometries)]
    names = [shapely.GeometryType[kind.upper()] for kind in kinds]
    others = there[~np.isin(shapely.get_type_id(there), names)]
    if not kinds or not len(others):
        return
    kind = others[0].geom_type
    if relation.of_points:
        raise InvalidGeometryError(f"expected points, not a {kind}; use zonal_stats_table for areas")
    raise InvalidGeometryError(f"a zone is a polygon or multipolygon, not a {kind}; use sample_points for points")


def pairs(session: Session, cancelled: Cancelled, ids: pa.Array, collections: pa.Array, tokens: pa.Array) -> pa.Array:
    """Find what each scene meets."""
    scenes = scenes_of(ids, collections)
    found: list[list[Met]] = [[] for _ in scenes]
    for (relation, _, planner), rows in by_relation(session, tokens):
        asked = {row: scene for row in rows.tolist() if (scene := scenes[row]) is not None}
        with named_error(relation.function):
            context = reading_of(session, relation)
            met = relation.pairs([*asked.values()], context)
            if planner is not None and relation.max_bytes is not None:
                planner.plan([one for of_scene in met for one in of_scene], context, cancelled)
                refuse(planner.forecast, relation.max_bytes)
        for row, of_scene in zip(asked, met, strict=True):
            found[row] = of_scene
    every = [one for of_scene in found for one in of_scene]
    numbers = [(one.numbers + 1).astype(np.int32) for one in every]
    parts = pa.array([one.part for one in every], pa.int64())
    names = pa.array([", ".join(one.names) for one in every], pa.string())
    values = pa.StructArray.from_arrays([parts, names, _in_lists(numbers)], fields=list(MET))
    ends = np.cumsum([0, *map(len, found)])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), values)


def _in_lists(arrays: Sequence[npt.NDArray[np.int32]]) -> pa.ListArray:
    """INTEGER[] of each array."""
    ends = np.cumsum([0, *map(len, arrays)])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), np.concatenate([np.empty(0, np.int32), *arrays]))


def statistics(session: Session, cancelled: Cancelled, *columns: pa.Array) -> pa.Array:
    """Statistics of each pair."""

    def read(kept: Kept, parts: Numbers, numbers: Numbers) -> pa.Array:
        relation, reader, _ = kept
        assert reader is not None
        return _lists(*reader.read(parts, numbers, reading_of(session, relation), cancelled))

    return _of_pairs(session, columns, read, STATISTICS_OF.returns)


def histograms(session: Session, cancelled: Cancelled, *columns: pa.Array) -> pa.Array:
    """Pixels of each value of each pair, as STRUCT(value)."""

    def read(kept: Kept, parts: Numbers, numbers: Numbers) -> pa.Array:
        maps = histograms_of(kept.relation, parts, numbers, reading_of(session, kept.relation), cancelled)
        return pa.StructArray.from_arrays([maps], fields=list(HISTOGRAM_OF.returns))

    return _of_pairs(session, columns, read, HISTOGRAM_OF.returns, counts=lambda relation: not relation.statistics)


def samples(session: Session, cancelled: Cancelled, *columns: pa.Array) -> pa.Array:
    """Values of each pair, one a band."""

    def read(kept: Kept, parts: Numbers, numbers: Numbers) -> pa.Array:
        relation, reader, _ = kept
        assert reader is not None
        return _lists(*samples_of(reader, parts, numbers, reading_of(session, relation), cancelled))

    return _of_pairs(session, columns, read, SAMPLES_OF.returns)


def chips(session: Session, cancelled: Cancelled, *columns: pa.Array) -> pa.Array:
    """The chip of each pair."""

    def read(kept: Kept, parts: Numbers, numbers: Numbers) -> pa.Array:
        return chips_of(kept.relation, parts, numbers, reading_of(session, kept.relation), cancelled)

    return _of_pairs(session, columns, read, CHIP)


def _lists(values: npt.NDArray[np.float64], missing: npt.NDArray[np.bool_]) -> pa.ListArray:
    """DOUBLE[] of each row of an array, with NULL where values are missing."""
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel(), mask=missing.ravel()))


def _of_pairs(
    session: Session,
    columns: Sequence[pa.Array],
    read: Read,
    returns: pa.DataType,
    counts: Callable[[Relation], bool] = lambda _: True,
) -> pa.Array:
    """Read the pairs of each relation.

    Args:
        session: Where relations are kept.
        columns: Token, part, number from 1 of each pair.
        read: Reads pairs of one relation.
        returns: What it gives.
        counts: True for relations of which a pair is done with this.
    """
    tokens, parts, numbers = columns
    part, number = (column.to_numpy(zero_copy_only=False) for column in (parts, numbers))
    results: list[pa.Array] = []
    order: list[Numbers] = []
    for kept, rows in by_relation(session, tokens):
        relation = kept.relation
        with named_error(relation.function):
            results.append(read(kept, part[rows], number[rows] - 1))
        order.append(rows)
        if counts(relation):
            relation.read(len(rows))
            session.progress(relation.done, relation.total, "pairs")
    if not results:
        return pa.nulls(len(tokens), returns)
    if len(results) == 1:
        return results[0]
    return pa.concat_arrays(results).take(pa.array(np.argsort(np.concatenate(order))))


def reading_of(session: Session, relation: Relation) -> ReadContext:
    """The context with which the pairs of a relation are read."""
    context = session.reading(relation.function).through(relation.options.backend)
    return replace(context, progress=relation.counted(context.progress), counts_pairs=False)


def by_relation(session: Session, tokens: pa.Array) -> Iterator[tuple[Kept, Numbers]]:
    """The relations of some rows, and the rows of each; all of one, as a rule."""
    numbers = (tokens.fill_null(-1) if tokens.null_count else tokens).to_numpy(zero_copy_only=False)
    one = len(numbers) > 0 and bool((numbers == numbers[0]).all())
    for token in numbers[:1].tolist() if one else dict.fromkeys(numbers.tolist()):
        if token >= 0:
            yield session.relations.get(token), np.flatnonzero(numbers == token)
