"""SQL types of values that functions give and take."""

from __future__ import annotations

from rasteret_sql.functions.spec import struct_type
from rasteret_sql.raster.stats import STATS

CHIP = struct_type(
    [
        ("data", "BLOB"),
        ("mask", "BLOB"),
        ("dtype", "VARCHAR"),
        ("bands", "VARCHAR[]"),
        ("height", "INTEGER"),
        ("width", "INTEGER"),
        ("transform", "DOUBLE[6]"),
        ("crs", "VARCHAR"),
        ("nodata", "DOUBLE"),
    ]
)
STATISTICS = struct_type([(name, "DOUBLE") for name in STATS])
GEOMETRY = struct_type([("kind", "VARCHAR"), ("wkb", "BLOB"), ("text", "VARCHAR")])
"""A geometry as it crosses into Python: its SQL type, and its WKB or its text."""
NUMBER = struct_type([("value", "DOUBLE")])
"""A number as it crosses from Python: see `_numbers` in `pixels`."""
EXPLANATION = struct_type(
    [
        ("scene_id", "VARCHAR"),
        ("bands", "VARCHAR[]"),
        ("level", "INTEGER"),
        ("col_off", "BIGINT"),
        ("row_off", "BIGINT"),
        ("width", "BIGINT"),
        ("height", "BIGINT"),
        ("tiles", "BIGINT"),
        ("requests", "BIGINT"),
        ("bytes", "BIGINT"),
        ("pixel_bytes", "BIGINT"),
        ("files", "VARCHAR[]"),
    ]
)
EXPORTED = struct_type([("name", "VARCHAR"), ("path", "VARCHAR"), ("scenes", "BIGINT")])
COLLECTION = struct_type(
    [
        ("name", "VARCHAR"),
        ("open", "BOOLEAN"),
        ("size", "BIGINT"),
        ("bands", "VARCHAR[]"),
        ("data_source", "VARCHAR"),
        ("kind", "VARCHAR"),
        ("date_start", "VARCHAR"),
        ("date_end", "VARCHAR"),
        ("created", "TIMESTAMP"),
        ("path", "VARCHAR"),
    ]
)
REGISTRATION = struct_type([("id", "VARCHAR"), ("name", "VARCHAR"), ("action", "VARCHAR"), ("path", "VARCHAR")])
"""What was done to a descriptor: registered, replaced, unregistered or exported; the file that was written, if any."""
FUNCTION = struct_type(
    [
        ("name", "VARCHAR"),
        ("family", "VARCHAR"),
        ("kind", "VARCHAR"),
        ("signature", "VARCHAR"),
        ("returns", "VARCHAR"),
        ("description", "VARCHAR"),
        ("example", "VARCHAR"),
    ]
)
_DATASET = (
    ("id", "VARCHAR"),
    ("name", "VARCHAR"),
    ("description", "VARCHAR"),
    ("stac_api", "VARCHAR"),
    ("stac_collection", "VARCHAR"),
    ("bands", "VARCHAR[]"),
    ("band_map", "MAP(VARCHAR, VARCHAR)"),
    ("band_index_map", "MAP(VARCHAR, BIGINT)"),
    ("separate_files", "BOOLEAN"),
    ("static_catalog", "BOOLEAN"),
    ("record_table_uri", "VARCHAR"),
    ("index_uri", "VARCHAR"),
    ("collection_uri", "VARCHAR"),
    ("geoparquet_uri", "VARCHAR"),
    ("column_map", "MAP(VARCHAR, VARCHAR)"),
    ("href_column", "VARCHAR"),
    ("bbox_columns", "MAP(VARCHAR, VARCHAR)"),
    ("field_roles", "MAP(VARCHAR, VARCHAR)"),
    ("surface_fields", "JSON"),
    ("filter_capabilities", "JSON"),
    ("spatial_coverage", "VARCHAR"),
    ("temporal_range", "VARCHAR[]"),
    ("license", "VARCHAR"),
    ("license_url", "VARCHAR"),
    ("commercial_use", "BOOLEAN"),
    ("requires_auth", "BOOLEAN"),
    ("s3_credentials_url", "VARCHAR"),
    ("azure_asset_url", "VARCHAR"),
    ("cloud_config", "JSON"),
    ("example_bbox", "DOUBLE[]"),
    ("example_date_range", "VARCHAR[]"),
    ("torchgeo_class", "VARCHAR"),
    ("torchgeo_verified", "BOOLEAN"),
)
DATASET = struct_type(_DATASET)
DATASET_FIELDS = tuple(name for name, _ in _DATASET)
