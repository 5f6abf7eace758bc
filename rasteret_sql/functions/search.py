"""Declares the functions that look for scenes: in a STAC catalog, and in a collection by place and time."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from rasteret_sql.functions import types
from rasteret_sql.functions.collections import BACKEND, BBOX, DATE_RANGE, HEADERS, QUERY, STAC_ADDRESS
from rasteret_sql.functions.kinds import CRS, TEXT, Kind
from rasteret_sql.functions.pixels import GEOM_COLUMN
from rasteret_sql.functions.spec import Argument, Function, Udf

MEETS = Udf(
    "__rasteret_meets",
    (pa.binary(), pa.float64(), pa.float64(), pa.string()),
    pa.bool_(),
    pure=True,
    run="search.meets_areas",
)

KEEP_ZONES = Udf(
    "__rasteret_keep_zones",
    (pa.string(), pa.string(), pa.list_(types.GEOMETRY)),
    pa.struct(
        [
            ("token", pa.int64()),
            ("south", pa.float64()),
            ("north", pa.float64()),
            ("lasts", pa.list_(pa.float64())),
            ("firsts", pa.list_(pa.float64())),
        ]
    ),
    run="search.keep_zones",
)
"""(JSON of named arguments, type of the columns that were found, geometries) → token, and what boxes of scenes to test:
latitudes, and the pairs of `longitude_limits`."""
ZONES_MET = Udf(
    "__rasteret_zones_met",
    (pa.binary(), pa.float64(), pa.float64(), pa.int64()),
    pa.list_(pa.int64()),
    run="search.zones_met",
    pure=True,
)
"""(footprint, west and east of the box, token) → numbers of the zones that it meets, from 1."""

SEARCH_FUNCTIONS = (
    Function(
        name="rasteret_stac_search",
        family="collections",
        body="written",
        arguments=(
            STAC_ADDRESS,
            Argument("collection", TEXT, "STAC collection; not given: all at that address", "NULL"),
            BBOX,
            DATE_RANGE,
            QUERY,
            Argument(
                "page_size",
                Kind("INTEGER"),
                "items per request to an API, 1 to 1000; 100 by default",
                "NULL",
            ),
            replace(BACKEND, doc="name of a backend that reads static catalogs in buckets, or whose headers sign in"),
            HEADERS,
        ),
        returns=types.ITEM,
        gives="TABLE(id VARCHAR, collection VARCHAR, datetime TIMESTAMPTZ, geometry GEOMETRY, bbox STRUCT, "
        "properties JSON, assets JSON, links JSON, stac_version VARCHAR)",
        doc="Lists items of a STAC API or static catalog, without building anything or opening files. Pages are "
        "fetched as rows are used, so LIMIT ends the search. The server applies the arguments, DuckDB applies WHERE.",
        example="SELECT id, properties->>'gsd' FROM rasteret_stac_search('${DATA}/catalog/catalog.json', "
        "collection := 'sentinel-s2-l2a-cogs') LIMIT 5",
        others=(
            Udf(
                "__rasteret_stac_page",
                (pa.string(), pa.string(), pa.int64(), pa.int64()),
                types.PAGE,
                run="search.page",
                metered=True,
            ),
        ),
    ),
    Function(
        name="rasteret_scenes",
        family="collections",
        body="query",
        arguments=(
            Argument("collection", TEXT, "name of an open or cached collection"),
            Argument(
                "geom",
                Kind("any geometry, or name of a relation"),
                "the area; NULL or empty: no rows. Or a relation with a column of geometries, as a name or as text: "
                "FROM rasteret_scenes('bay', fields) in place of FROM fields, rasteret_scenes('bay', fields.geom), for "
                "DuckDB gives a table function no column",
                column=types.AS_GEOMETRY,
            ),
            replace(DATE_RANGE, doc="first and last day, both included; all by default"),
            Argument(
                "geom_crs",
                CRS,
                "CRS of geom; that of its type or EWKT, else lon/lat",
                "NULL",
            ),
            GEOM_COLUMN,
        ),
        returns=pa.string(),
        gives="TABLE of scenes: all columns of the collection; then those of the relation, where geom names one",
        doc="Gives the scenes of a collection whose footprint meets a geometry, also across the antimeridian. Touching "
        "counts. A scene without a footprint meets nothing.",
        example="SELECT id FROM rasteret_scenes('dunes', 'POINT (-11.45 24.85)', "
        "date_range := ['2020-01-01', '2020-12-31'])",
        run="search.scenes",
        others=(MEETS, KEEP_ZONES, ZONES_MET),
    ),
)
