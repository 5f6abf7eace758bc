"""Functions that read pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from rasteret_sql.functions import types
from rasteret_sql.functions.spec import Argument, Function, Udf
from rasteret_sql.kernels.calls import run_rows
from rasteret_sql.kernels.chips import read_chip
from rasteret_sql.kernels.explain import rasteret_explain
from rasteret_sql.kernels.points import sample_point
from rasteret_sql.kernels.rows import Cancelled, PixelArguments
from rasteret_sql.kernels.zonal import zonal_stat, zonal_stats
from rasteret_sql.session import Session

_SCENE = Argument("scene_id", "VARCHAR", "id of a scene; NULL gives NULL")
_BAND = Argument(
    "band", "VARCHAR, VARCHAR[] or INTEGER", "band name, list of names, or number of a band from 1; NULL gives NULL"
)
_ONE_BAND = Argument("band", "VARCHAR or INTEGER", "band name, or number of a band from 1; NULL gives NULL")
_GEOM_DOC = (
    "GEOMETRY, WKT, WKB, GeoJSON or a box of xmin, ymin, xmax, ymax; lon/lat unless its type or geom_crs says "
    "otherwise; NULL gives NULL"
)
_GEOM_TYPE = "GEOMETRY, VARCHAR, BLOB or STRUCT"
_GEOM = Argument("geom", _GEOM_TYPE, _GEOM_DOC)
_GEOM_OR_ALL = Argument("geom", _GEOM_TYPE, _GEOM_DOC, "(whole image)")
_COLLECTION = Argument("collection", "VARCHAR", "where the scene is looked up; not given: all open collections", "NULL")
_GEOM_CRS = Argument("geom_crs", "VARCHAR, INTEGER or PROJJSON", "CRS of the geometry, such as 'EPSG:32632'", "NULL")
_ALL_TOUCHED = Argument(
    "all_touched",
    "BOOLEAN",
    "true: pixels that the geometry touches; false (default): pixels whose centre it holds",
    "NULL",
)
_OVERVIEW = Argument("overview", "INTEGER", "0 (default) full resolution, 1 the first overview, and so on", "NULL")
_ON_ERROR = Argument("on_error", "VARCHAR", "'raise' (default), or 'null': a row that fails gives NULL", "NULL")
_ON_CHANGE = Argument(
    "on_change",
    "VARCHAR",
    "'raise' (default), or 'refresh': read the header again of a file that was changed since it was indexed",
    "NULL",
)
_BACKEND = Argument("backend", "VARCHAR", "name of a backend of rasteret_create_backend, or of a DuckDB secret", "NULL")
_WEIGHTED = Argument(
    "weighted", "BOOLEAN", "true: each pixel counts by the exact fraction that the zone covers", "NULL"
)

_PARAMETERS = ("VARCHAR", "VARCHAR", types.GEOMETRY, "VARCHAR")


def _arguments(
    session: Session, ids: pa.Array, bands: pa.Array, geometries: pa.StructArray, options: pa.Array
) -> PixelArguments:
    kinds, wkbs, texts = geometries.flatten()
    given = PixelArguments(
        ids.to_pylist(), bands.to_pylist(), kinds.to_pylist(), wkbs.to_pylist(), texts.to_pylist(), options.to_pylist()
    )
    return given.with_defaults(session.settings.of_calls())


def _reader(kernel: Callable[..., pa.Array]) -> Callable[..., pa.Array]:
    """A kernel over rows as a UDF over columns."""

    def run(session: Session, cancelled: Cancelled, *columns: Any) -> pa.Array:
        called = session.called(kernel.__name__)
        return run_rows(kernel, _arguments(session, *columns), called, session.engine, cancelled)

    return run


def _explain(session: Session, _cancelled: Cancelled, *columns: Any) -> pa.Array:
    return rasteret_explain(_arguments(session, *columns), session.called("rasteret_explain"))


def _numbers(values: pa.Array) -> pa.StructArray:
    """Numbers as STRUCT(value DOUBLE), which the macros take apart.

    A function that gives a plain value is one that DuckDB 1.5 calls for every entry of a dictionary-encoded column of
    scene ids, also those of rows that a filter or LIMIT left out: it would read all scenes of a Parquet file, and fail
    for any of them. It does not so for a STRUCT.
    """
    return pa.StructArray.from_arrays([values], names=["value"])


def _stat(session: Session, cancelled: Cancelled, *columns: Any) -> pa.Array:
    names = columns[4].to_pylist()
    called = session.called("zonal_stat")
    return _numbers(run_rows(zonal_stat, _arguments(session, *columns[:4]), called, session.engine, cancelled, names))


def _sample(session: Session, cancelled: Cancelled, *columns: Any) -> pa.Array:
    called = session.called("sample_point")
    return _numbers(run_rows(sample_point, _arguments(session, *columns), called, session.engine, cancelled))


PIXEL_FUNCTIONS = (
    Function(
        name="read_chip",
        family="pixels",
        table=False,
        arguments=(
            _SCENE,
            _BAND,
            _GEOM_OR_ALL,
            _COLLECTION,
            _GEOM_CRS,
            _ALL_TOUCHED,
            Argument("clip", "BOOLEAN", "true (default): fill what lies outside the geometry; false: keep it", "NULL"),
            Argument("fill", "DOUBLE", "value outside the geometry; not given: the file's nodata, else 0", "NULL"),
            _OVERVIEW,
            _ON_ERROR,
            _ON_CHANGE,
            _BACKEND,
        ),
        returns="CHIP",
        doc="Pixels of the geometry's window, in the file's dtype and grid; without geom the whole image. "
        "NULL where the geometry misses the scene.",
        example="SELECT read_chip('S2A_29RKH_20200219_0_L2A', 'B04', "
        "'POLYGON ((-11.5 24.8, -11.4 24.8, -11.4 24.9, -11.5 24.9, -11.5 24.8))').width",
        udfs=(Udf("__rasteret_read_chip", _PARAMETERS, types.CHIP, pure=True, run=_reader(read_chip)),),
    ),
    Function(
        name="zonal_stats",
        family="pixels",
        table=False,
        arguments=(
            _SCENE,
            _ONE_BAND,
            _GEOM,
            _WEIGHTED,
            _COLLECTION,
            _GEOM_CRS,
            _ALL_TOUCHED,
            _OVERVIEW,
            _ON_ERROR,
            _ON_CHANGE,
            _BACKEND,
        ),
        returns=types.STATISTICS,
        doc="Statistics of the valid pixels of a zone, without keeping a chip. stddev is the sample one; percentiles "
        "interpolate as quantile_cont. NULL where the zone misses the scene; count 0 where it holds no valid pixel.",
        example="SELECT zonal_stats('S2A_29RKH_20200219_0_L2A', 'B04', "
        "'POLYGON ((-11.5 24.8, -11.4 24.8, -11.4 24.9, -11.5 24.9, -11.5 24.8))').mean",
        udfs=(Udf("__rasteret_zonal_stats", _PARAMETERS, types.STATISTICS, pure=True, run=_reader(zonal_stats)),),
    ),
    Function(
        name="zonal_stat",
        family="pixels",
        table=False,
        arguments=(
            _SCENE,
            _ONE_BAND,
            _GEOM,
            Argument("stat", "VARCHAR", "a field of zonal_stats, such as 'mean'; NULL gives NULL"),
            _WEIGHTED,
            _COLLECTION,
            _GEOM_CRS,
            _ALL_TOUCHED,
            _OVERVIEW,
            _ON_ERROR,
            _ON_CHANGE,
            _BACKEND,
        ),
        returns="DOUBLE",
        doc="One statistic of zonal_stats.",
        example="SELECT zonal_stat('S2A_29RKH_20200219_0_L2A', 'B04', "
        "'POLYGON ((-11.5 24.8, -11.4 24.8, -11.4 24.9, -11.5 24.9, -11.5 24.8))', 'max')",
        udfs=(Udf("__rasteret_zonal_stat", (*_PARAMETERS, "VARCHAR"), types.NUMBER, pure=True, run=_stat),),
    ),
    Function(
        name="sample_point",
        family="pixels",
        table=False,
        arguments=(
            _SCENE,
            _ONE_BAND,
            _GEOM,
            Argument(
                "max_distance_pixels",
                "INTEGER",
                "rings of pixels around the point's own to look for a valid one, 0 (default) to 256",
                "NULL",
            ),
            _COLLECTION,
            _GEOM_CRS,
            _OVERVIEW,
            _ON_ERROR,
            _ON_CHANGE,
            _BACKEND,
        ),
        returns="DOUBLE",
        doc="Value of the pixel that holds a point; NULL outside the image and where the pixel is not valid.",
        example="SELECT sample_point('S2A_29RKH_20200219_0_L2A', 'B04', 'POINT (-11.45 24.85)')",
        udfs=(Udf("__rasteret_sample_point", _PARAMETERS, types.NUMBER, pure=True, run=_sample),),
    ),
    Function(
        name="rasteret_explain",
        family="pixels",
        table=False,
        arguments=(_SCENE, _BAND, _GEOM_OR_ALL, _COLLECTION, _GEOM_CRS, _OVERVIEW, _ON_ERROR),
        returns=types.EXPLANATION,
        doc="A dry run of read_chip or zonal_stats for one row, read alone and with nothing cached: level, window, "
        "stored tiles, requests, bytes to fetch and bytes of pixels. Makes no request.",
        example="SELECT rasteret_explain('S2A_29RKH_20200219_0_L2A', 'B04', "
        "'POLYGON ((-11.5 24.8, -11.4 24.8, -11.4 24.9, -11.5 24.9, -11.5 24.8))').requests",
        udfs=(Udf("__rasteret_explain", _PARAMETERS, types.EXPLANATION, pure=True, run=_explain),),
    ),
)
