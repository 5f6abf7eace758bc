"""Defines the types of values that functions give and take, as Arrow has them; SQL's are made of these."""

from __future__ import annotations

import pyarrow as pa

from rasteret_sql.functions.spec import Column
from rasteret_sql.functions.sql_types import json_field
from rasteret_sql.result_types import CHIP

_TEXT, _FLAG, _WHOLE, _REAL = pa.string(), pa.bool_(), pa.int64(), pa.float64()
_TEXTS, _TEXT_MAP = pa.list_(_TEXT), pa.map_(_TEXT, _TEXT)
INSTANT = pa.timestamp("us", "UTC")

GEOMETRY = pa.struct([("kind", _TEXT), ("wkb", pa.binary()), ("text", _TEXT)])
"""A geometry as it crosses into Python: its SQL type, and its WKB or its text."""

CHIPS = pa.struct([("kind", _TEXT), ("one", CHIP), ("named", pa.map_(_TEXT, CHIP)), ("text", _TEXT)])
"""What may be a CHIP, CHIPs by name or a text, as it crosses into Python: its SQL type, and one of these."""

AS_TEXT = Column("CAST({} AS VARCHAR)", _TEXT)
AS_INSTANT = Column("epoch_us(CAST({} AS TIMESTAMPTZ))", pa.int64())
AS_TEXTS = Column("CAST({} AS VARCHAR[])", _TEXTS)
AS_JSON = Column("CAST(to_json({}) AS VARCHAR)", _TEXT)
AS_GEOMETRY = Column("rasteret.__geometry({})", GEOMETRY)
AS_CHIP = Column("{}", CHIP)
AS_CHIPS = Column("rasteret.__chips({})", CHIPS)
AS_CHIP_LIST = Column("{}", pa.list_(CHIP))

EXPORTED = pa.struct([("name", _TEXT), ("path", _TEXT), ("scenes", _WHOLE)])
COLLECTION = pa.struct(
    [
        ("name", _TEXT),
        ("open", _FLAG),
        ("size", _WHOLE),
        ("bands", _TEXTS),
        ("data_source", _TEXT),
        ("kind", _TEXT),
        ("date_start", _TEXT),
        ("date_end", _TEXT),
        ("created", INSTANT),
        ("path", _TEXT),
    ]
)
APPENDED = pa.struct([("name", _TEXT), ("found", _WHOLE), ("added", _WHOLE), ("scenes", _WHOLE), ("path", _TEXT)])
REFRESHED = pa.struct(
    [("name", _TEXT), ("checked", _WHOLE), ("changed", _WHOLE), ("added", _WHOLE), ("gone", _WHOLE), ("path", _TEXT)]
)
DROPPED = pa.struct([("name", _TEXT), ("scenes", _WHOLE), ("path", _TEXT)])
REGISTRATION = pa.struct([(name, _TEXT) for name in ("id", "name", "action", "path")])
"""What was done to a descriptor: registered, replaced, unregistered or exported; the file that was written, if any."""
BACKEND = pa.struct([("name", _TEXT), ("kind", _TEXT), ("settings", _TEXT_MAP)])
CLOUD_CONFIG = pa.struct(
    [("dataset", _TEXT), ("provider", _TEXT), ("requester_pays", _FLAG), ("region", _TEXT), ("url_patterns", _TEXT_MAP)]
)
_BOX = pa.struct([(side, _REAL) for side in ("xmin", "ymin", "xmax", "ymax")])
ITEM = pa.struct(
    [
        ("id", _TEXT),
        ("collection", _TEXT),
        ("datetime", INSTANT),
        ("geometry", pa.binary()),
        ("bbox", _BOX),
        ("properties", _TEXT),
        ("assets", _TEXT),
        ("links", _TEXT),
        ("stac_version", _TEXT),
    ]
)
FILE = pa.struct(
    [
        ("path", _TEXT),
        ("status", _TEXT),
        ("size", _WHOLE),
        ("modified", INSTANT),
        ("width", _WHOLE),
        ("height", _WHOLE),
        ("bands", _WHOLE),
        ("dtype", _TEXT),
        ("crs", _TEXT),
        ("transform", pa.list_(_REAL)),
        ("nodata", pa.list_(_REAL)),
        ("overviews", pa.list_(_WHOLE)),
        ("compression", _TEXT),
        ("tile", pa.list_(_WHOLE)),
        ("tiled", _FLAG),
        ("descriptions", _TEXTS),
        ("bbox", _BOX),
    ]
)
PAGE = pa.struct([("token", _TEXT), ("number", _WHOLE), ("done", _FLAG), ("items", pa.list_(ITEM))])
"""One step of a search: its token, the number of the page, whether it was the last, and its items."""
SETTING = pa.struct([(name, _TEXT) for name in ("name", "value", "default", "scope", "description")])
FAILURE = pa.struct(
    [
        ("failed_at", INSTANT),
        *((name, _TEXT) for name in ("function", "collection", "scene_id", "band", "error", "message")),
    ]
)
RECEIPT = pa.struct(
    [
        ("began_at", INSTANT),
        ("functions", _TEXTS),
        *((name, _REAL) for name in ("seconds", "plan_seconds", "fetch_seconds", "decode_seconds", "reduce_seconds")),
        *((name, _WHOLE) for name in ("pairs_planned", "pairs_skipped", "tiles", "cache_hits")),
        *((name, _WHOLE) for name in ("requests", "bytes", "retries")),
        ("error", _TEXT),
    ]
)
FUNCTION = pa.struct(
    [(name, _TEXT) for name in ("name", "family", "kind", "signature", "returns", "description", "example")]
)
DATASET = pa.struct(
    [
        ("id", _TEXT),
        ("name", _TEXT),
        ("description", _TEXT),
        ("stac_api", _TEXT),
        ("stac_collection", _TEXT),
        ("bands", _TEXTS),
        ("band_map", _TEXT_MAP),
        ("band_index_map", pa.map_(_TEXT, _WHOLE)),
        ("separate_files", _FLAG),
        ("static_catalog", _FLAG),
        ("record_table_uri", _TEXT),
        ("index_uri", _TEXT),
        ("collection_uri", _TEXT),
        ("geoparquet_uri", _TEXT),
        ("column_map", _TEXT_MAP),
        ("href_column", _TEXT),
        ("bbox_columns", _TEXT_MAP),
        ("field_roles", _TEXT_MAP),
        json_field("surface_fields"),
        json_field("filter_capabilities"),
        ("spatial_coverage", _TEXT),
        ("temporal_range", _TEXTS),
        ("license", _TEXT),
        ("license_url", _TEXT),
        ("commercial_use", _FLAG),
        ("requires_auth", _FLAG),
        ("s3_credentials_url", _TEXT),
        ("azure_asset_url", _TEXT),
        json_field("cloud_config"),
        ("example_bbox", pa.list_(_REAL)),
        ("example_date_range", _TEXTS),
        ("torchgeo_class", _TEXT),
        ("torchgeo_verified", _FLAG),
    ]
)
