"""Defines every Arrow schema of the Parquet index, with its version; docs/format.md says the same in prose.

The layout is rasteret's, so that either program opens what the other wrote. What rasteret does not know stands in
columns of its own (`{band}_header`, `status`), which it ignores: it takes only columns ending in `_metadata` for bands.
"""

from __future__ import annotations

import pyarrow as pa

INDEX_VERSION = 3
"""Version of the columns, files and keys that are ours. A reader refuses a higher one, and reads version 2,
whose header files have `status` in place of `problems`."""

METADATA_SUFFIX = "_metadata"
HEADER_SUFFIX = "_header"

PARTITION_COLUMNS = ("year", "month")
"""Hive keys: in the paths, not in the files. Null datetimes lie under `__HIVE_DEFAULT_PARTITION__`."""

# File key/value metadata. The first six are rasteret's.
KEY_NAME = b"name"
KEY_DESCRIPTION = b"description"
KEY_DATA_SOURCE = b"data_source"
KEY_CREATED = b"created"
KEY_DATE_RANGE = b"date_range"
KEY_RASTERET_VERSION = b"rasteret_collection_version"
KEY_INDEX_VERSION = b"rasteret_sql_index_version"
KEY_REQUEST = b"rasteret_sql_request"
"""JSON of all that shaped the build, without secrets; a cache hit compares it."""

KEY_SIGNED = b"rasteret_sql_signed"
"""JSON list of the hosts whose addresses were signed when they were indexed; absent where there are none."""

BBOX_TYPE = pa.struct([pa.field(side, pa.float64()) for side in ("xmin", "ymin", "xmax", "ymax")])
"""Lon/lat."""

ASSET_TYPE = pa.struct([pa.field("href", pa.string()), pa.field("band_index", pa.int64())])
"""One child of `assets`: the file of a band, and its 0-based sample there."""

METADATA_TYPE = pa.struct(
    [
        pa.field("image_width", pa.int32()),
        pa.field("image_height", pa.int32()),
        pa.field("tile_width", pa.int32()),
        pa.field("tile_height", pa.int32()),
        pa.field("dtype", pa.string()),
        pa.field("transform", pa.list_(pa.float64())),
        pa.field("predictor", pa.int32()),
        pa.field("compression", pa.int32()),
        pa.field("tile_offsets", pa.list_(pa.int64())),
        pa.field("tile_byte_counts", pa.list_(pa.int64())),
        pa.field("pixel_scale", pa.list_(pa.float64())),
        pa.field("tiepoint", pa.list_(pa.float64())),
        pa.field("nodata", pa.float64()),
        pa.field("samples_per_pixel", pa.int32()),
        pa.field("planar_configuration", pa.int32()),
        pa.field("photometric", pa.int32()),
        pa.field("extra_samples", pa.list_(pa.int32())),
    ]
)
"""`{band}_metadata`, rasteret's struct. `transform` has four numbers: scale_x, origin_x, scale_y, origin_y."""

REQUIRED_METADATA = (
    "image_width",
    "image_height",
    "tile_width",
    "tile_height",
    "dtype",
    "transform",
    "tile_offsets",
    "tile_byte_counts",
)
"""Fields without which a `{band}_metadata` cannot be read."""

HEADER_TYPE = pa.struct(
    [
        pa.field("size", pa.int64()),
        pa.field("etag", pa.string()),
        pa.field("modified", pa.timestamp("us")),
        pa.field("samples", pa.int32()),
        pa.field("layout", pa.string()),
        pa.field("head", pa.binary()),
        pa.field("tables", pa.binary()),
    ]
)
"""`{band}_header`, ours: what the server said of the file (size, ETag, time of change in UTC), its samples per pixel,
and everything that its tags say (levels, masks, exact nodata, ...) in three values, see
`index/format/header_codec.py`. A few leaves instead of sixty keep the footers of the files small and read fast."""

PACKED_FIELDS = ("layout", "head", "tables")
"""Those fields of it that make up the header."""

WIDE_BANDS = 256
"""With more bands than this, a file of an export but the first has columns only for bands that its scenes have: all of
3,000 bands in each of twelve files are 860,000 column chunks, nearly all of nulls."""

PROBLEMS_TYPE = pa.list_(pa.struct([pa.field("of", pa.string()), pa.field("reason", pa.string())]))
"""`problems` of a header file: the bands and columns of a scene that could not be read, and why; `status` as a list."""

CORE_FIELDS = (
    pa.field("id", pa.string()),
    pa.field("datetime", pa.timestamp("us")),
    pa.field("geometry", pa.binary()),
    pa.field("bbox", BBOX_TYPE),
    pa.field("collection", pa.string()),
    pa.field("proj:epsg", pa.int32()),
    pa.field("crs", pa.string()),
    pa.field("status", pa.string()),
)
"""Columns of every index of ours. `status` is `ok`, else why a file of the scene could not be read."""

REQUIRED_COLUMNS = ("id", "datetime", "geometry", "assets", "bbox")
"""Columns without which a Parquet file is no collection."""

MANIFEST = "_manifest.json"
"""What the directory of a built collection holds, see `index/format/manifest.py`. Files beside it whose names begin
with `_` are no scenes, which rasteret and Arrow know, too."""

RESERVED_COLUMNS = frozenset(
    {field.name for field in CORE_FIELDS} | {"assets", *PARTITION_COLUMNS, "filename", "file_row_number"}
)
"""Names that a STAC property cannot take: ours, and those that DuckDB's Parquet scan adds."""

STATUS_OK = "ok"


def assets_type(bands: tuple[str, ...]) -> pa.StructType:
    """Type of the column `assets` of a collection with these bands."""
    return pa.struct([pa.field(band, ASSET_TYPE) for band in bands])


def metadata_column(band: str) -> str:
    """Name of the band's column that rasteret reads."""
    return band + METADATA_SUFFIX


def header_column(band: str) -> str:
    """Name of the band's column that only we read."""
    return band + HEADER_SUFFIX
