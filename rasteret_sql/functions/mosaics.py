"""Declares the functions that make composites of scenes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pyarrow as pa

from rasteret_sql.functions import types
from rasteret_sql.functions.kinds import FLAG, NUMBER, TEXT
from rasteret_sql.functions.pixels import GEOM_OR_ALL
from rasteret_sql.functions.relations import RELATION_FUNCTIONS
from rasteret_sql.functions.spec import REQUIRED, Argument, Function, Udf
from rasteret_sql.result_types import COMPOSITE

_step = partial(Udf, metered=True, names_itself=True)
_TOKEN = _STATEMENT = pa.int64()
_OF_CHIPS = {
    one.name: one for function in RELATION_FUNCTIONS if function.name == "read_chips" for one in function.arguments
}
"""Arguments of read_chips, which mean the same here."""
_METHOD = Argument(
    "method",
    TEXT,
    "'first' (default) or 'last' valid pixel, 'best' by best_by, 'min', 'max', 'mean', 'median', 'sum', or 'count' of "
    "valid pixels",
    "NULL",
)
_EVERY = Argument(
    "every",
    TEXT,
    "'day', 'week', 'month', 'quarter', 'year', or an interval such as '10 days': a composite for each period, in UTC; "
    "not given: one of all scenes, whose period is NULL",
    "NULL",
)
_ORDER_BY = Argument(
    "order_by",
    TEXT,
    "the order of scenes, as SQL over their columns, such as '\"eo:cloud_cover\", datetime DESC'; not given, and among "
    "equals: datetime, then id",
    "NULL",
)
_BEST_BY = Argument(
    "best_by",
    TEXT,
    "band or expression over bands, of method 'best': the pixel is of the scene where it is largest",
    "NULL",
)
_ON_ERROR = Argument("on_error", TEXT, "'raise' (default), or 'null': scenes that cannot be read are left out", "NULL")
_SAID = {
    "clip": Argument("clip", FLAG, "true (default): fill what lies outside the geometry; false: keep it", "NULL"),
    "fill": Argument("fill", NUMBER, "value of pixels without data; not given: nodata, else 0", "NULL"),
    "crs": replace(
        _OF_CHIPS["crs"],
        doc="CRS of the pixels, such as 'EPSG:3857'; not given: that of the scenes, if they have one. The grid covers "
        "the geometry, whatever part of it scenes have",
    ),
    "resolution": replace(
        _OF_CHIPS["resolution"],
        doc="size of a pixel in units of the CRS of the pixels, a number or [x, y]; not given: as many metres as the "
        "finest of the scenes has",
    ),
    "align": replace(
        _OF_CHIPS["align"],
        doc="id of a scene whose grid the pixels are in line with, or a point [x, y] at a corner of pixels; not given: "
        "[0, 0], or the grid of the first scene of the finest pixels where neither its CRS nor its resolution changes",
    ),
    "on_error": _ON_ERROR,
}
_OPTIONS = (
    _METHOD,
    _EVERY,
    _ORDER_BY,
    _BEST_BY,
    *(
        _SAID.get(name, one)
        for name, one in _OF_CHIPS.items()
        if name not in ("scenes", "zones", "band", "geom_column")
    ),
)

_SCENE_KEYS = pa.struct([("id", pa.string()), ("collection", pa.string())])
PERIODS = pa.list_(pa.list_(_SCENE_KEYS))
"""Scenes of each period."""
KEEP_GEOMETRY = _step(
    "__rasteret_keep_geometry",
    (pa.string(), pa.string(), pa.string(), types.GEOMETRY, _STATEMENT),
    _TOKEN,
    run="mosaics.keep_geometry",
)
"""(function, JSON of bands, JSON of named arguments, geometry) → token of a relation of it alone."""
GROUP = pa.struct(
    [
        ("period", pa.int32()),
        ("mosaic", pa.int64()),
        ("first", pa.int64()),
        ("zones", pa.list_(pa.int32())),
    ]
)
"""Composites that are made together: number of their period from 1, token of the mosaic, number of the first composite,
number of the zone of each from 1."""
GROUPS = _step(
    "__rasteret_composites",
    (_TOKEN, pa.string(), pa.string(), PERIODS, _STATEMENT),
    pa.list_(GROUP),
    run="mosaics.groups",
    pure=True,
)
"""(token, function, JSON of named arguments, scenes of each period in their order) → the composites to be made."""
MADE = _step(
    "__rasteret_composite", (_TOKEN, pa.int64(), _STATEMENT), pa.list_(COMPOSITE), run="mosaics.made", pure=True
)
"""(mosaic, composite) → scenes and chip; nothing where no scene gives a pixel."""

_DOC = (
    "Periods without a valid pixel have no row; scenes is the number of those that gave a pixel. Of first, last and "
    "best, all bands of a pixel come from one scene, in which all are valid. A chip has the dtype of the scenes; of "
    "mean and median float32 or float64, of sum float64, of count uint32."
)

MOSAIC_FUNCTIONS = (
    Function(
        name="read_mosaic",
        family="pixels",
        body="query",
        arguments=(
            _OF_CHIPS["scenes"],
            _OF_CHIPS["band"],
            replace(GEOM_OR_ALL, default=REQUIRED, doc=f"{GEOM_OR_ALL.doc.rsplit(';', 1)[0]}; NULL gives no rows"),
            *_OPTIONS,
        ),
        returns=pa.string(),
        gives="TABLE(period TIMESTAMPTZ, scenes INTEGER, chip CHIP)",
        doc=f"Makes one image of scenes over a geometry, or one for each period, all on one grid. {_DOC}",
        example="SELECT scenes, chip.width FROM read_mosaic(rasteret.dunes, 'B04', "
        "'POLYGON ((-11.5 24.8, -11.4 24.8, -11.4 24.9, -11.5 24.9, -11.5 24.8))', method := 'median')",
        run="mosaics.read_mosaic",
        metered=True,
        others=(KEEP_GEOMETRY, GROUPS, MADE),
    ),
    Function(
        name="read_mosaics",
        family="pixels",
        body="query",
        arguments=(
            _OF_CHIPS["scenes"],
            _OF_CHIPS["zones"],
            _OF_CHIPS["band"],
            *_OPTIONS[:4],
            _OF_CHIPS["geom_column"],
            *_OPTIONS[4:],
        ),
        returns=pa.string(),
        gives="TABLE(columns of zones, period TIMESTAMPTZ, scenes INTEGER, chip CHIP)",
        doc="Runs read_mosaic for every zone, all of a period after those of the period before. Each zone has one grid "
        "for all periods, of the scenes that meet it. Otherwise as read_mosaic.",
        example="WITH zones AS (SELECT 'west' AS field, 'POLYGON ((-11.5 24.8, -11.4 24.8, -11.4 24.9, -11.5 24.9, "
        "-11.5 24.8))' AS geometry) SELECT field, scenes FROM read_mosaics(rasteret.dunes, zones, 'B04')",
        run="mosaics.read_mosaics",
        metered=True,
    ),
)
