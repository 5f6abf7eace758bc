"""Declares the functions over relations: every scene with every zone or point that it meets."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pyarrow as pa

from rasteret_sql.functions import types
from rasteret_sql.functions.kinds import BYTES, FLAG, NAMES, NUMBER, TEXT, Kind
from rasteret_sql.functions.pixels import (
    ALL_TOUCHED,
    FILL,
    FILL_POINT,
    GEOM_COLUMN,
    GEOM_CRS,
    GEOM_OR_ALL,
    MAX_DISTANCE,
    READING,
    READING_ON_GRID,
    SAMPLING,
    WEIGHTED,
)
from rasteret_sql.functions.spec import Argument, Function, Udf
from rasteret_sql.result_types import CHIP, HISTOGRAM

_step = partial(Udf, metered=True, names_itself=True)
"""A function of the SQL that a call becomes: it has a receipt, in the name of the function that the user called."""
_NAME = Kind("name of a relation", "the name of a table, view, CTE, registered frame or Python variable")
_SCENES = Argument(
    "scenes",
    _NAME,
    "relation with a column id, such as rasteret.bay or a CTE over it, as a name or as text. An id may be the path "
    "or address of a GeoTIFF, as in read_chip. A column collection says which of several collections with one id is "
    "meant. A column datetime without a zone is taken for UTC",
    column=types.AS_TEXT,
)
_ZONES = Argument(
    "zones",
    _NAME,
    "relation of polygons, as a name or as text, or a file of features ('fields.geojson'). Its geometry column is "
    "geometry, geom, the_geom, wkb_geometry, wkt or shape",
    column=types.AS_TEXT,
)
_POINTS = replace(
    _ZONES,
    name="points",
    doc="relation of points, as a name or as text, or a file ('stations.csv'). Its geometry column is geometry, geom, "
    "the_geom, wkb_geometry, wkt or shape; or two columns lon and lat, or x and y",
)
_BANDS = Argument(
    "band",
    Kind("VARCHAR, INTEGER, list or STRUCT"),
    "band name, expression over bands such as '(B08 - B04) / (B08 + B04)', number of a band from 1, a list of "
    "these, or a STRUCT that names them",
    column=types.AS_JSON,
)
_RELATED = (
    GEOM_COLUMN,
    Argument(
        "collection",
        TEXT,
        "where all scenes are looked up, whatever their column collection says; not given: where that says, else in "
        "all open collections",
        "NULL",
    ),
    GEOM_CRS,
)
_ON_ERROR = Argument(
    "on_error", TEXT, "'raise' (default), or 'null': a pair that fails gives NULL, a scene without files no row", "NULL"
)
_ON_PIXELS = Argument(
    "on_error", TEXT, "'raise' (default), or 'null': pixels that fail are NULL, a scene without files has none", "NULL"
)
_OF_RELATIONS = {
    "on_error": _ON_ERROR,
    "max_bytes": Argument(
        "max_bytes",
        BYTES,
        "most bytes to fetch, such as 10000000 or '10 MB'. A call that needs more for all scenes and zones that meet "
        "is an error before the first request, whatever LIMIT or conditions on zones leave out; what is cached is free",
        "NULL",
    ),
}
_READING = tuple(_OF_RELATIONS.get(argument.name, argument) for argument in READING)
_READING_ON_GRID = tuple(_OF_RELATIONS.get(argument.name, argument) for argument in READING_ON_GRID)
ZONES_ON_DUNES = (
    "WITH zones AS (SELECT 'west' AS field, "
    "'POLYGON ((-11.5 24.8, -11.4 24.8, -11.4 24.9, -11.5 24.9, -11.5 24.8))' AS geometry) FROM "
)

SCENE_KEYS = (pa.string(), pa.string())
"""Its id and collection."""
_TOKEN, _STATEMENT = pa.int64(), pa.int64()
MET = pa.struct([("part", pa.int64()), ("band", pa.string()), ("numbers", pa.list_(pa.int32()))])
"""A scene and band as the relation counts them; the band; the numbers of zones or points in their relation, from 1."""
KEEP = _step(
    "__rasteret_keep",
    (
        *(pa.string(), pa.string(), pa.string()),
        pa.list_(pa.string()),
        pa.list_(types.GEOMETRY),
        *(pa.list_(pa.float64()), pa.list_(pa.float64())),
        _STATEMENT,
    ),
    _TOKEN,
    run="relations.keep",
)
"""(function, JSON of bands, JSON of named arguments, types of columns that were found, geometries, x, y) → token."""
PAIRS = _step("__rasteret_pairs", (*SCENE_KEYS, _TOKEN, _STATEMENT), pa.list_(MET), run="relations.pairs", pure=True)
"""(scene, collection, token) → what it meets."""
_OF_PAIR = (_TOKEN, pa.int64(), pa.int32(), _STATEMENT)
"""(token, part, number) → what is read."""
STATISTICS_OF = _step(
    "__rasteret_pair_statistics", _OF_PAIR, pa.list_(pa.float64()), run="relations.statistics", pure=True
)
HISTOGRAM_OF = _step(
    "__rasteret_pair_histogram", _OF_PAIR, pa.struct([("value", HISTOGRAM)]), run="relations.histograms", pure=True
)
"""As a STRUCT, of which a plain MAP would be read too often by DuckDB 1.5."""
SAMPLES_OF = _step("__rasteret_pair_samples", _OF_PAIR, pa.list_(pa.float64()), run="relations.samples", pure=True)
KEEP_PIXELS = _step(
    "__rasteret_keep_pixels", (pa.string(), pa.string(), types.GEOMETRY, _STATEMENT), _TOKEN, run="pixel_table.keep"
)
"""(JSON of bands, JSON of named arguments, geometry) → token."""
BLOCK = pa.struct([("number", pa.int64()), *((side, pa.float64()) for side in "abcdef")])
"""The number of a block of pixels in its statement; the transform of its image."""
BLOCKS_OF = _step(
    "__rasteret_pixel_blocks", (*SCENE_KEYS, _TOKEN, _STATEMENT), pa.list_(BLOCK), run="pixel_table.blocks", pure=True
)
"""(scene, collection, token) → where its pixels are."""
RUN = pa.struct([(name, pa.int64()) for name in ("row", "col", "first", "length")])
"""Pixels side by side: row and first column in the image, position of the first in the block, how many."""
RUNS_OF = _step(
    "__rasteret_pixel_runs", (_TOKEN, pa.int64(), _STATEMENT), pa.list_(RUN), run="pixel_table.runs", pure=True
)
"""(token, block) → the pixels of the block that count."""
PIXELS_OF = _step(
    "__rasteret_pixel_values",
    (_TOKEN, pa.int64(), pa.int64(), _STATEMENT),
    pa.list_(pa.float64()),
    run="pixel_table.values",
    pure=True,
)
"""(token, block, position in the block) → the value of each band."""
CHIP_OF = _step("__rasteret_pair_chip", _OF_PAIR, CHIP, run="relations.chips", pure=True)

RELATION_FUNCTIONS = (
    Function(
        name="zonal_stats_table",
        family="pixels",
        body="query",
        arguments=(
            _SCENES,
            _ZONES,
            _BANDS,
            Argument(
                "stats",
                NAMES,
                "fields of zonal_stats, percentiles, and 'hist', the MAP of zonal_hist: ['count', 'p90', 'hist']; not "
                "given: all fields",
                "NULL",
            ),
            WEIGHTED,
            *_RELATED,
            ALL_TOUCHED,
            FILL,
            *_READING_ON_GRID,
        ),
        returns=pa.string(),
        gives="TABLE(scene_id VARCHAR, datetime TIMESTAMPTZ, band VARCHAR, columns of zones, a DOUBLE for each "
        "statistic, a MAP for hist)",
        doc="Runs zonal_stats for every scene, zone and band that meet. Rows come scene by scene, as they are read: "
        "LIMIT ends the reading, and pairs that a condition on scene_id, datetime or columns of zones excludes are "
        "not read.",
        example=f"{ZONES_ON_DUNES}zonal_stats_table(rasteret.dunes, zones, 'B04', stats := ['count', 'mean'])",
        run="relations.zonal_stats_table",
        metered=True,
        others=(KEEP, PAIRS, STATISTICS_OF, HISTOGRAM_OF),
    ),
    Function(
        name="sample_points",
        family="pixels",
        body="query",
        arguments=(_SCENES, _POINTS, _BANDS, MAX_DISTANCE, SAMPLING, *_RELATED, FILL_POINT, *_READING),
        returns=pa.string(),
        gives="TABLE(scene_id VARCHAR, datetime TIMESTAMPTZ, columns of points, a DOUBLE for each band)",
        doc="Runs sample_point for every scene and point that meet, with a column for each band. Otherwise as "
        "zonal_stats_table.",
        example="WITH points AS (SELECT 7 AS station, -11.45 AS lon, 24.85 AS lat) "
        "SELECT station, \"B04\" FROM sample_points(rasteret.dunes, points, 'B04')",
        run="relations.sample_points",
        metered=True,
        others=(SAMPLES_OF,),
    ),
    Function(
        name="read_pixels",
        family="pixels",
        body="query",
        arguments=(
            _SCENES,
            _BANDS,
            replace(GEOM_OR_ALL, doc=f"{GEOM_OR_ALL.doc}, without it all pixels; NULL gives no rows"),
            *(argument for argument in _RELATED if argument.name != "geom_column"),
            ALL_TOUCHED,
            Argument("clip", FLAG, "true (default): pixels of the geometry; false: all of its window", "NULL"),
            replace(FILL, doc="value of pixels that are not valid, also of masked ones; not given: NULL"),
            *(_ON_PIXELS if argument.name == "on_error" else argument for argument in READING_ON_GRID),
        ),
        returns=pa.string(),
        gives="TABLE(scene_id VARCHAR, datetime TIMESTAMPTZ, row BIGINT, col BIGINT, x DOUBLE, y DOUBLE, a DOUBLE for "
        "each band)",
        doc="A row for each pixel of a geometry on each scene: row and column in the image, from 0, and x and y of its "
        "centre in the CRS of the scene; a value is NULL where the pixel is not valid. On a grid that is asked for, "
        "they are numbered from the point of align, so that one pixel has the same numbers on all scenes, and x and y "
        "are in its CRS. Rows come tile by tile, as they are read: LIMIT ends the reading, and tiles are not read of "
        "which conditions on scene_id, datetime, row, col, x and y leave no pixel. 64-bit integers beyond 2^53 are "
        "rounded.",
        example="SELECT x, y, \"B04\" FROM read_pixels(rasteret.dunes, 'B04', geom := 'POINT (-11.45 24.85)')",
        run="pixel_table.read_pixels",
        metered=True,
        others=(KEEP_PIXELS, BLOCKS_OF, RUNS_OF, PIXELS_OF),
    ),
    Function(
        name="read_chips",
        family="pixels",
        body="query",
        arguments=(
            _SCENES,
            _ZONES,
            _BANDS,
            *_RELATED,
            ALL_TOUCHED,
            Argument("clip", Kind("BOOLEAN"), "as in read_chip", "NULL"),
            Argument("fill", NUMBER, "as in read_chip", "NULL"),
            *_READING_ON_GRID,
        ),
        returns=pa.string(),
        gives="TABLE(scene_id VARCHAR, datetime TIMESTAMPTZ, columns of zones, chip CHIP)",
        doc="Runs read_chip for every scene and zone that meet, all bands in one chip. Otherwise as zonal_stats_table.",
        example=f"{ZONES_ON_DUNES}read_chips(rasteret.dunes, zones, 'B04')",
        run="relations.read_chips",
        metered=True,
        others=(CHIP_OF,),
    ),
)
