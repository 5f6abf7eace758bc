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


def histogram_rows(rows: Sequence[tuple[np.ndarray, np.ndarray] | None]) -> pa.Array:
    """MAPs of distinct values and their counts; None is NULL."""
    offsets = np.cumsum([0, *(0 if one is None else len(one[0]) for one in rows)], dtype=np.int32)
    missing = np.array([*(one is None for one in rows), False])
    parts = [one for one in rows if one is not None]
    keys, counts = (np.concatenate([part[side] for part in parts] or [np.empty(0)]) for side in (0, 1))
    # A NULL offset makes a row NULL.
    return pa.MapArray.from_arrays(pa.array(offsets, mask=missing), pa.array(keys), pa.array(counts))


def spread(values: pa.Array, rows: np.ndarray, count: int) -> pa.Array:
    """An array of so many entries that has values at some rows, ascending, and NULL at all others; BLOBs stay in place.

    Args:
        values: shape (n,).
        rows: of each, shape (n,).
        count: entries of the array.
    """
    if pa.types.is_struct(values.type):
        missing = np.ones(count, bool)
        missing[rows] = ~values.is_valid().to_numpy(zero_copy_only=False)
        fields = [spread(values.field(at), rows, count) for at in range(values.type.num_fields)]
        return pa.StructArray.from_arrays(fields, fields=list(values.type), mask=pa.array(missing))
    if pa.types.is_large_binary(values.type):
        lengths = np.zeros(count, np.int64)
        ends = np.frombuffer(values.buffers()[1], np.int64)[values.offset : values.offset + len(values) + 1]
        lengths[rows] = np.diff(ends)
        valid = np.zeros(count, bool)
        valid[rows] = values.is_valid().to_numpy(zero_copy_only=False)
        offsets = np.concatenate((ends[:1], ends[0] + np.cumsum(lengths)))
        bits = pa.py_buffer(np.packbits(valid, bitorder="little"))
        return pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), count, [bits, pa.py_buffer(offsets), values.buffers()[2]]
        )
    at = np.full(count, -1, np.int64)
    at[rows] = np.arange(len(rows))
    return values.take(pa.array(at, mask=at < 0))
