"""Makes the Arrow arrays that reads give, from rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from rasteret_sql.result_types import STATISTICS


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
