"""Arrow types that kernels give, and how rows become them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from rasteret_sql.raster.stats import STATS

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

STATISTICS = pa.struct([(name, pa.float64()) for name in STATS])

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
    ]
)


def binary_array(lengths: Sequence[int | None], data: np.ndarray) -> pa.Array:
    """BLOBs over one buffer, without a copy: entry i is the next lengths[i] bytes; None is NULL."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum([length or 0 for length in lengths], out=offsets[1:])
    valid = np.array([length is not None for length in lengths], bool)
    validity = None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(lengths), [validity, pa.py_buffer(offsets), pa.py_buffer(data)]
    )


def statistics_rows(rows: Sequence[Mapping[str, float | None] | None]) -> pa.Array:
    """Statistics as STRUCT of DOUBLE: exact integer sums round to the nearest double."""
    return pa.array(
        [row and {name: None if value is None else float(value) for name, value in row.items()} for row in rows],
        STATISTICS,
    )


def struct_rows(kind: pa.StructType, rows: Sequence[dict[str, Any] | None]) -> pa.Array:
    """A STRUCT column from dicts; None is NULL."""
    return pa.array(rows, kind)
