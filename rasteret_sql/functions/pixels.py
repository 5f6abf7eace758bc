"""Declares the functions that read pixels."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from rasteret_sql.functions import types
from rasteret_sql.functions.kinds import (
    ALIGN,
    BACKEND_NAME,
    BYTES,
    CRS,
    FLAG,
    INTEGER,
    NUMBER,
    OVERVIEW,
    RESOLUTION,
    SHAPE,
    TEXT,
    Kind,
)
from rasteret_sql.functions.kinds import SAMPLING as SAMPLING_KIND
from rasteret_sql.functions.spec import Argument, Function
from rasteret_sql.result_types import CHIP, EXPLANATION, HISTOGRAM, STATISTICS

_SCENE = Argument(
    "scene_id",
    TEXT,
    "id of a scene; or path or address of a GeoTIFF, with a slash or ending in .tif: its header is read once and kept "
    "for the session, its bands are numbers from 1 or their descriptions. NULL gives NULL",
    column=types.AS_TEXT,
)
_BAND = Argument(
    "band",
    Kind("VARCHAR, INTEGER, list or STRUCT"),
    "band name, expression over bands such as '(B08 - B04) / (B08 + B04)', number of a band from 1, a list of "
    "these, or a STRUCT that names them; NULL gives NULL",
    column=types.AS_JSON,
)
_ONE_BAND = Argument(
    "band",
    Kind("VARCHAR, INTEGER or STRUCT"),
    "band name, expression over bands such as '(B08 - B04) / (B08 + B04)', or number of a band from 1; NULL gives NULL",
    column=types.AS_JSON,
)
_GEOM = Argument(
    "geom",
    Kind("GEOMETRY, VARCHAR, BLOB or STRUCT"),
    "GEOMETRY, WKT, WKB, GeoJSON or a box of xmin, ymin, xmax, ymax; lon/lat unless its type or geom_crs says "
    "otherwise; NULL, and GeoJSON without a geometry, gives NULL",
    column=types.AS_GEOMETRY,
)
GEOM_OR_ALL = replace(_GEOM, default="(whole image)")
_COLLECTION = Argument("collection", TEXT, "where the scene is looked up; not given: all open collections", "NULL")
GEOM_COLUMN = Argument("geom_column", TEXT, "name of the geometry column, if it is another", "NULL")
GEOM_CRS = Argument("geom_crs", CRS, "CRS of the geometry, such as 'EPSG:32632'", "NULL")
ALL_TOUCHED = Argument(
    "all_touched",
    FLAG,
    "true: pixels that the geometry touches; false (default): pixels whose centre lies in it",
    "NULL",
)
_OVERVIEW = Argument("overview", INTEGER, "0 (default): full resolution, 1: first overview, and so on", "NULL")
_ALPHA = Argument(
    "alpha",
    TEXT,
    "'auto' (default): alpha hides pixels as in GDAL, if it is the last of 2 or 4 samples; 'always': any alpha does",
    "NULL",
)
_ON_ERROR = Argument("on_error", TEXT, "'raise' (default), or 'null': a row that fails gives NULL", "NULL")
FILL = Argument(
    "fill",
    NUMBER,
    "value of pixels that are not valid, also of masked ones: they count as valid then; not given: they are left out",
    "NULL",
)
"""Of every function that reads pixels and makes no chip."""
FILL_POINT = replace(
    FILL, doc="value where the pixel is not valid, nor one in reach; not given: NULL. Outside the image it is NULL"
)
OF_PIXELS = (
    Argument(
        "mask",
        TEXT,
        "condition over bands, such as 'SCL IN (3, 8, 9)': where it is true, pixels are not valid",
        "NULL",
    ),
    Argument("dilate", INTEGER, "pixels by which the mask grows in all directions, 0 (default) to 256", "NULL"),
    Argument("scaled", FLAG, "true: values in units, by scale and offset; false (default): as stored", "NULL"),
    Argument("nodata", NUMBER, "value of pixels that are not valid, in place of what the file says", "NULL"),
    Argument(
        "gcp",
        TEXT,
        "'polynomial', 'tps' or 'homography': how ground control points place the pixels of a file that has no "
        "transform; not given: 'homography' of four or five points, else 'polynomial', of order 2 from six points",
        "NULL",
    ),
)
"""Of every function that reads or explains a read: they change the values of bands, or their place."""
READING = (
    *OF_PIXELS,
    _OVERVIEW,
    _ALPHA,
    _ON_ERROR,
    Argument(
        "on_change",
        TEXT,
        "'raise' (default), or 'refresh': read the header again of a file that was changed since it was indexed",
        "NULL",
    ),
    Argument(
        "max_bytes",
        BYTES,
        "most bytes to fetch, such as 10000000 or '10 MB': for all that the function reads in a statement. Rows come "
        "2048 at a time, and what would exceed it is an error before the first request for it. What is cached is free",
        "NULL",
    ),
    Argument("backend", BACKEND_NAME, "name of a backend of rasteret_create_backend, or of a DuckDB secret", "NULL"),
)
"""Of every function that reads."""
GRID = (
    Argument(
        "crs",
        CRS,
        "CRS of the pixels, such as 'EPSG:3857'; not given: that of the scene. Any of crs, resolution, shape and align "
        "asks for a grid that covers the geometry, whatever part of it the scene has",
        "NULL",
    ),
    Argument(
        "resolution",
        RESOLUTION,
        "size of a pixel in units of the CRS of the pixels, a number or [x, y]; not given: as many metres as the "
        "scene's finest band has",
        "NULL",
    ),
    Argument("shape", SHAPE, "[height, width] in pixels over the bounds of the geometry; not with resolution", "NULL"),
    Argument(
        "align",
        ALIGN,
        "id of a scene whose grid the pixels are in line with, or a point [x, y] at a corner of pixels; not given: "
        "[0, 0], or the scene's own grid where neither its CRS nor its resolution changes",
        "NULL",
    ),
    Argument(
        "resampling",
        TEXT,
        "nearest, bilinear, cubic, cubic_spline, lanczos, average, mode, min, max, med, q1, q3, sum or rms, as GDAL "
        "has them; not given: nearest for classes, masks and single bits, else bilinear. Pixels that are only moved "
        "stay as they are",
        "NULL",
    ),
)
"""Of functions that put pixels on another grid."""
GRID_OVERVIEW = replace(
    _OVERVIEW,
    kind=OVERVIEW,
    doc="0: full resolution, 1: first overview, and so on; 'auto' (default): with a grid the coarsest that has at "
    "least its resolution, else full resolution",
)
READING_ON_GRID = (*GRID, *(GRID_OVERVIEW if one is _OVERVIEW else one for one in READING))
"""Of functions that read onto a grid."""
WEIGHTED = Argument("weighted", FLAG, "true: each pixel counts by the exact fraction that the zone covers", "NULL")
MAX_DISTANCE = Argument(
    "max_distance_pixels",
    INTEGER,
    "rings of pixels around the point's own that are searched for a valid one, 0 (default) to 256",
    "NULL",
)
SAMPLING = Argument(
    "resampling",
    SAMPLING_KIND,
    "'nearest' (default): the value of the pixel that contains the point; 'bilinear' or 'cubic': between the pixels "
    "around it, by GDAL's rule and not rounded. Pixels that are not valid have no weight, and the point's own must be",
    "NULL",
)
_ZONE = (
    # Before all that take a BOOLEAN: `crs = 'EPSG:3857'` for `crs := ...` is one, and comes by place.
    _COLLECTION,
    WEIGHTED,
    GEOM_CRS,
    ALL_TOUCHED,
    FILL,
    *READING_ON_GRID,
)
"""Of every function over the pixels of a zone."""
_ON_DUNES = (
    "('S2A_29RKH_20200219_0_L2A', 'B04', 'POLYGON ((-11.5 24.8, -11.4 24.8, -11.4 24.9, -11.5 24.9, -11.5 24.8))'"
)
"""How calls of examples begin."""


PIXEL_FUNCTIONS = (
    Function(
        name="read_chip",
        family="pixels",
        body="value",
        arguments=(
            _SCENE,
            _BAND,
            GEOM_OR_ALL,
            _COLLECTION,
            GEOM_CRS,
            ALL_TOUCHED,
            Argument("clip", FLAG, "true (default): fill what lies outside the geometry; false: keep it", "NULL"),
            Argument("fill", NUMBER, "value outside the geometry; not given: the file's nodata, else 0", "NULL"),
            *READING_ON_GRID,
        ),
        returns=CHIP,
        gives="CHIP",
        doc="Reads the pixels of the geometry's window, in the file's dtype; without geom, those of the whole image. "
        "On the file's own grid, if none is asked for; bands of different resolution are put on that of the finest. "
        "NULL where the geometry misses the scene.",
        example=f"SELECT read_chip{_ON_DUNES}).width",
        run="pixels.over_rows",
        kernel="chips.read_chip",
        pure=True,
        metered=True,
    ),
    Function(
        name="zonal_stats",
        family="pixels",
        body="value",
        arguments=(_SCENE, _ONE_BAND, _GEOM, *_ZONE),
        returns=STATISTICS,
        doc="Computes statistics of the valid pixels of a zone, without making a chip. stddev is that of a sample; "
        "percentiles are interpolated as by quantile_cont. On the file's own grid, if none is asked for. NULL where "
        "the zone misses the scene; count 0 where it has no valid pixel.",
        example=f"SELECT zonal_stats{_ON_DUNES}).mean",
        run="pixels.over_rows",
        kernel="zonal.zonal_stats",
        pure=True,
        metered=True,
    ),
    Function(
        name="zonal_stat",
        family="pixels",
        body="field",
        arguments=(
            _SCENE,
            _ONE_BAND,
            _GEOM,
            Argument(
                "stat",
                TEXT,
                "a field of zonal_stats, such as 'mean', or any percentile, such as 'p90'; NULL gives NULL",
                column=types.AS_TEXT,
            ),
            *_ZONE,
        ),
        returns=pa.float64(),
        doc="Computes one statistic of zonal_stats, or any percentile: 'p90', 'p2.5'.",
        example=f"SELECT zonal_stat{_ON_DUNES}, 'max')",
        run="pixels.over_rows",
        kernel="zonal.zonal_stat",
        pure=True,
        metered=True,
    ),
    Function(
        name="zonal_hist",
        family="pixels",
        body="field",
        arguments=(_SCENE, _ONE_BAND, _GEOM, *_ZONE),
        returns=HISTOGRAM,
        doc="Counts the pixels of each class: a MAP from each value of a zone's valid pixels, in ascending order, to "
        "how many have it; with weighted, to the sum of their fractions. NULL where the zone misses the scene; an "
        "empty MAP where it has no valid pixel. 64-bit integers beyond 2^53 are rounded, and counted together.",
        example=f"SELECT map_keys(zonal_hist{_ON_DUNES}))[1]",
        run="pixels.over_rows",
        kernel="zonal.zonal_hist",
        pure=True,
        metered=True,
    ),
    Function(
        name="sample_point",
        family="pixels",
        body="field",
        arguments=(
            _SCENE,
            _ONE_BAND,
            _GEOM,
            MAX_DISTANCE,
            SAMPLING,
            _COLLECTION,
            GEOM_CRS,
            FILL_POINT,
            *READING,
        ),
        returns=pa.float64(),
        doc="Reads the value of the pixel that contains a point, or with resampling between pixels. NULL outside the "
        "image and where the pixel is not valid.",
        example="SELECT sample_point('S2A_29RKH_20200219_0_L2A', 'B04', 'POINT (-11.45 24.85)')",
        run="pixels.over_rows",
        kernel="points.sample_point",
        pure=True,
        metered=True,
    ),
    Function(
        name="rasteret_explain",
        family="pixels",
        body="value",
        arguments=(
            _SCENE,
            _BAND,
            GEOM_OR_ALL,
            _COLLECTION,
            GEOM_CRS,
            *OF_PIXELS,
            *GRID,
            GRID_OVERVIEW,
            _ALPHA,
            _ON_ERROR,
        ),
        returns=EXPLANATION,
        doc="Explains what read_chip or zonal_stats would read for one row, alone and with an empty cache: level, "
        "window, stored tiles, requests, bytes to fetch, bytes of pixels, the rule for the valid pixels of each band, "
        "the mask, how values in units are computed; and the grid that the pixels are on, with the level of each band "
        "and how it is resampled. Makes no request.",
        example=f"SELECT rasteret_explain{_ON_DUNES}).requests",
        run="pixels.planned",
        kernel="explain.rasteret_explain",
        pure=True,
        metered=True,
    ),
)
