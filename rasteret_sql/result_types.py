"""Defines the Arrow types of what reads give, for the code that fills them and the SQL that declares them."""

from __future__ import annotations

import pyarrow as pa

from rasteret_sql.raster.statistic_names import STATS

CHIP = pa.struct(
    [
        ("data", pa.large_binary()),
        ("mask", pa.large_binary()),
        ("dtype", pa.string()),
        ("bands", pa.list_(pa.string())),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("transform", pa.list_(pa.float64(), 6)),
        ("crs", pa.string()),
        ("nodata", pa.float64()),
    ]
)

COMPOSITE = pa.struct([("scenes", pa.int32()), ("chip", CHIP)])
"""How many scenes gave a pixel, and the result."""

STATISTICS = pa.struct([(name, pa.float64()) for name in STATS])

HISTOGRAM = pa.map_(pa.float64(), pa.float64())
"""Value → pixels that have it."""

EXPLANATION = pa.struct(
    [
        ("scene_id", pa.string()),
        ("bands", pa.list_(pa.string())),
        ("level", pa.int32()),
        ("col_off", pa.int64()),
        ("row_off", pa.int64()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("tiles", pa.int64()),
        ("requests", pa.int64()),
        ("bytes", pa.int64()),
        ("pixel_bytes", pa.int64()),
        ("files", pa.list_(pa.string())),
        ("validity", pa.list_(pa.string())),
        ("mask", pa.string()),
        ("units", pa.list_(pa.string())),
        (
            "grid",
            pa.struct(
                [
                    ("crs", pa.string()),
                    ("transform", pa.list_(pa.float64(), 6)),
                    ("height", pa.int64()),
                    ("width", pa.int64()),
                ]
            ),
        ),
        ("levels", pa.list_(pa.int32())),
        ("resampling", pa.list_(pa.string())),
    ]
)


def is_chip_type(name: str) -> bool:
    """True for DuckDB's name of the type of chips."""
    kind = name.replace('"', "")
    parts = ("data BLOB", "mask BLOB", "dtype VARCHAR", "transform DOUBLE[")
    return kind.startswith("STRUCT(") and kind.endswith(")") and all(part in kind for part in parts)
