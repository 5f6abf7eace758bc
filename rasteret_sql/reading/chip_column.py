"""Reads the CHIPs of a column as numpy arrays, and makes a column of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.grid import Affine
from rasteret_sql.reading.arrow_types import binary_array
from rasteret_sql.result_types import CHIP
from rasteret_sql.tiff.nodata import held_nodata


@dataclass(frozen=True, slots=True, eq=False)
class Chip:
    """A CHIP as numpy: pixels, which of them are valid, and where they lie."""

    data: np.ndarray
    """(bands, height, width), native dtype, read-only."""
    valid: np.ndarray | None
    """Same shape, True is valid; None where all are."""
    bands: tuple[str, ...]
    transform: Affine | None
    crs: str | None
    nodata: float | None


def chips_of(column: pa.StructArray) -> list[Chip | None]:
    """The chips of a column, over its own buffers.

    Raises:
        InvalidArgumentError: a value is no chip: its parts contradict each other.
    """
    parts = {field.name: column.field(number) for number, field in enumerate(column.type)}
    small = {
        name: parts[name].to_pylist() for name in ("dtype", "bands", "height", "width", "transform", "crs", "nodata")
    }
    chips: list[Chip | None] = []
    for row in range(len(column)):
        # No dtype: DuckDB 2.0 gives empty parts, not NULL, where an outer join finds no row for a STRUCT with an ARRAY.
        if not column[row].is_valid or not parts["data"][row].is_valid or not small["dtype"][row]:
            chips.append(None)
            continue
        values = {name: column_values[row] for name, column_values in small.items()}
        data = np.frombuffer(parts["data"][row].as_buffer(), np.uint8)
        mask = np.frombuffer(parts["mask"][row].as_buffer(), np.uint8) if parts["mask"][row].is_valid else None
        chips.append(_chip(data, mask, values))
    return chips


def _chip(data: np.ndarray, mask: np.ndarray | None, values: dict[str, Any]) -> Chip:
    bands = tuple(values["bands"] or ())
    try:
        dtype = np.dtype(values["dtype"]).newbyteorder("<")
        shape = (len(bands), int(values["height"]), int(values["width"]))
        pixels = data.view(dtype).reshape(shape)
        valid = None if mask is None else mask.reshape(shape) != 0
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"not a CHIP: {data.nbytes} bytes of data do not hold {len(bands)} band(s) of {values['height']} × "
            f"{values['width']} pixels of {values['dtype']}; expected a value made by read_chip"
        ) from error
    transform = None if values["transform"] is None else Affine(*values["transform"])
    nodata = None if values["nodata"] is None else held_nodata(values["nodata"], dtype)
    return Chip(pixels, valid, bands, transform, values["crs"], nodata)


def lists_of_chips(column: pa.ListArray) -> list[list[Chip | None] | None]:
    """The chips of each list of a column; None for what is NULL."""
    chips = chips_of(column.values)
    lists: list[list[Chip | None] | None] = []
    for row in range(len(column)):
        if not column[row].is_valid:
            lists.append(None)
            continue
        begin, end = column.offsets[row].as_py(), column.offsets[row + 1].as_py()
        lists.append(chips[begin:end])
    return lists


def chip_column(chips: Sequence[Chip | None]) -> pa.StructArray:
    """A CHIP of each; None is NULL. The mask is NULL where all pixels are valid."""
    pixels = [
        None if one is None else np.ascontiguousarray(one.data, one.data.dtype.newbyteorder("<")) for one in chips
    ]
    masks = [
        None if one is None or one.valid is None or one.valid.all() else np.ascontiguousarray(one.valid).view(np.uint8)
        for one in chips
    ]
    fields = [
        *(_blobs(parts) for parts in (pixels, masks)),
        pa.array([one and one.data.dtype.name for one in chips], pa.string()),
        pa.array([one and list(one.bands) for one in chips], pa.list_(pa.string())),
        *(pa.array([one and one.data.shape[axis] for one in chips], pa.int32()) for axis in (1, 2)),
        pa.array([list(one.transform) if one and one.transform else None for one in chips], pa.list_(pa.float64(), 6)),
        pa.array([one and one.crs for one in chips], pa.string()),
        # Integers beyond 2^53 have a neighbour in place of themselves.
        pa.array([None if one is None or one.nodata is None else float(one.nodata) for one in chips], pa.float64()),
    ]
    return pa.StructArray.from_arrays(
        fields, fields=list(CHIP), mask=pa.array([one is None for one in chips], pa.bool_())
    )


def _blobs(arrays: Sequence[np.ndarray | None]) -> pa.Array:
    """A BLOB for each array; None is NULL. One alone is not copied."""
    parts = [array.reshape(-1).view(np.uint8) for array in arrays if array is not None]
    data = parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.uint8), *parts])
    return binary_array([None if array is None else array.nbytes for array in arrays], data)
