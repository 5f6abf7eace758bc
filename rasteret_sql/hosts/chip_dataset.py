"""Makes an xarray Dataset of the CHIPs that a statement gives: `to_xarray`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rasteret_sql.engine.machine_memory import machine_memory
from rasteret_sql.errors import ArgumentTypeError, InvalidArgumentError, MemoryLimitError, did_you_mean
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.hosts.xarray_dataset import COMBINE, GridChip, Variable, make_dataset, require_xarray, union
from rasteret_sql.reading.chip_column import Chip, chips_of
from rasteret_sql.reading.chip_grid import describe_grid, pixel_offset
from rasteret_sql.result_types import CHIP
from rasteret_sql.tables.open_table import arrow_table

if TYPE_CHECKING:
    import xarray

_TIMES = ("datetime", "period", "time")
"""Columns that are the time of a row, the first that is there."""
_REMEDY = "read them on one grid, as with crs :=, resolution := and align :=, or warp them with chip_resample"
_TAKEN = {"x", "y", "spatial_ref", "time", "geometry", "row"}


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Rows whose chips are there."""

    table: pa.Table
    chips: list[tuple[Chip, ...]]
    """Of each row, that of each column."""
    names: tuple[str, ...]
    """Of the columns of chips."""


def to_xarray(
    chips: Any, *, time: str | None = None, by: str | None = None, combine: str = "combine_first"
) -> xarray.Dataset:
    """Turn the CHIPs of a relation into an xarray Dataset. Needs `pip install rasteret-sql[xarray]`.

    Args:
        chips: a relation such as `con.sql("FROM read_mosaic(...)")`, or an Arrow table, with one column of CHIPs or
            more, all of their rows on one grid; or one CHIP.
        time: column of the dimension time; by default `datetime`, `period` or `time`, the first that has times.
        by: column whose values are one more dimension, such as the name of a zone.
        combine: how rows of one time, and one value of `by`, are put together, as `xr_combine` of `get_xarray`.

    Returns:
        A variable for each band, with the dimensions time, that of `by`, y and x, those that there are. Without a time
        and `by`, each row is for itself: the dimension is `row`. Other columns are coordinates along a dimension that
        decides them. Coordinates, CRS and `_FillValue` are as in `get_xarray`. With several columns of chips, the name
        of the column stands for its band, or before the names of its bands. Rows with a NULL chip are left out.

    Raises:
        ValueError: there is no chip, chips lie on different grids or have different bands, or there is no such column.
        TypeError: it is neither a relation nor a CHIP.
        ImportError: xarray is not installed.
        MemoryLimitError: the chips lie so far apart that a dataset of them would not fit into memory.
        xarray.MergeError: with `combine='merge'`, rows of one time differ.
    """
    require_xarray("to_xarray", "to_numpy(chip) works without it")
    if combine not in COMBINE:
        raise InvalidArgumentError(f"combine={combine!r} is not known; expected one of {', '.join(COMBINE)}")
    if isinstance(chips, Mapping | pa.StructScalar):
        value = chips.as_py() if isinstance(chips, pa.StructScalar) else dict(chips)
        return _dataset(_rows(pa.table({"chip": pa.array([value], CHIP)})), None, None, combine).isel(row=0, drop=True)
    table = _table(chips)
    for name, column in (("time", time), ("by", by)):
        if column is not None and column not in table.column_names:
            raise InvalidArgumentError(f"{name}={column!r} is no column; {did_you_mean(column, table.column_names)}")
    if time is None:
        times = (name for name in _TIMES if name in table.column_names and _is_time(table.schema.field(name).type))
        time = next(times, None)
    elif not _is_time(table.schema.field(time).type):
        raise InvalidArgumentError(f"time={time!r} has values of type {table.schema.field(time).type}, not times")
    return _dataset(_rows(table), time, by, combine)


def _table(chips: Any) -> pa.Table:
    if isinstance(chips, duckdb.DuckDBPyRelation):
        return chips.to_arrow_table()
    try:
        return arrow_table(chips)
    except (TypeError, pa.ArrowInvalid):
        raise ArgumentTypeError(
            f"expected a relation with chips, an Arrow table of them, or a CHIP, not {type(chips).__name__}"
        ) from None


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _rows(table: pa.Table) -> _Rows:
    """The rows that have all their chips."""
    parts = {field.name for field in CHIP}
    names = tuple(
        field.name
        for field in table.schema
        if pa.types.is_struct(field.type) and parts <= {one.name for one in field.type}
    )
    if not names:
        raise InvalidArgumentError(f"there is no column of CHIPs, but {', '.join(table.column_names)}")
    columns = [[chip for chunk in table[name].chunks for chip in chips_of(chunk.cast(CHIP))] for name in names]
    found = [
        (row, some) for row, some in enumerate(zip(*columns, strict=True)) if all(chip is not None for chip in some)
    ]
    if not found:
        raise InvalidArgumentError("there is no chip: the relation has no rows, or all of its chips are NULL")
    kept = table.drop_columns(list(names)).take(pa.array([row for row, _ in found]))
    return _Rows(kept, [tuple(chip for chip in some if chip is not None) for _, some in found], names)


def _dataset(rows: _Rows, time: str | None, by: str | None, combine: str) -> xarray.Dataset:
    count = len(rows.chips)
    if time is not None:
        times = rows.table[time].cast(pa.timestamp("us")).to_numpy()
        if np.isnat(times).any():
            raise InvalidArgumentError(f'the column "{time}" is NULL in some rows; leave these out, or name another')
    else:
        times = np.zeros(count, np.int64) if by is not None else np.arange(count)
    places = np.zeros(count, np.int64)
    values: npt.NDArray[Any] = np.zeros(1)
    if by is not None:
        values, places = np.unique(np.asarray(rows.table[by].to_pandas()), return_inverse=True)
    variables, lattice, crs, windows = _on_one_grid(rows)
    chips = [
        GridChip(at, int(place), window, *_layers(some))
        for at, place, window, some in zip(times, places, windows, rows.chips, strict=True)
    ]
    whole = union(windows)
    pixels = len(np.unique(times)) * len(values) * whole.width * whole.height
    size, most = pixels * sum(one.dtype.itemsize for one in variables), machine_memory() // 2
    if size > most:
        raise MemoryLimitError(
            f"the chips lie so far apart that a dataset of {whole.height} × {whole.width} pixels needs {size:,} bytes, "
            f"more than half of the memory ({most:,}); take fewer of them at a time, or by= where they are of zones"
        )
    found = make_dataset(chips, variables, (lattice, crs), len(values), combine)
    dims: dict[str, npt.NDArray[Any]] = {}
    if by is None:
        found = found.isel(geometry=0, drop=True)
    else:
        found = found.rename(geometry=by).assign_coords({by: values})
        dims[by] = places
    if time is not None:
        dims["time"] = np.searchsorted(found["time"].to_numpy(), times)
    elif by is not None:
        found = found.isel(time=0, drop=True)
    else:
        found = found.rename(time="row").drop_vars("row")
        dims["row"] = times
    others = [name for name in rows.table.column_names if name not in {time, by, *_TAKEN, *found.variables}]
    coordinates = {name: found_one for name in others if (found_one := _along(rows.table[name], dims)) is not None}
    return found.assign_coords(coordinates)


def _along(column: pa.ChunkedArray, dims: Mapping[str, npt.NDArray[Any]]) -> tuple[str, npt.NDArray[Any]] | None:
    """The dimension that decides the values of a column, with its values; None where there is none, or they are parts.

    Args:
        column: its value in each row.
        dims: name → the position of each row.
    """
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return None
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp(kind.unit))
    values = np.asarray(column.to_pandas())
    texts = np.array([repr(value) for value in values.tolist()], object)
    for dim in ("time", "row", *dims):
        if dim in dims:
            places, first = np.unique(dims[dim], return_index=True)
            if (texts == texts[first][np.searchsorted(places, dims[dim])]).all():
                return dim, values[first]
    return None


def _layers(chips: Sequence[Chip]) -> tuple[list[npt.NDArray[Any]], list[npt.NDArray[np.bool_]] | None]:
    """Pixels and validity of all bands of a row."""
    pixels = [band for chip in chips for band in chip.data]
    if all(chip.valid is None for chip in chips):
        return pixels, None
    valid = [
        np.ones(chip.data.shape[1:], bool) if chip.valid is None else chip.valid[band]
        for chip in chips
        for band in range(len(chip.bands))
    ]
    return pixels, valid


def _on_one_grid(rows: _Rows) -> tuple[list[Variable], Affine, str | None, list[Window]]:
    """The variables, the transform and CRS of the grid of all, and the pixels of each row in it."""
    first = rows.chips[0][0]
    lattice = first.transform or Affine(1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    if not lattice.is_rectilinear:
        raise InvalidArgumentError(f"the chips are turned ({describe_grid(first)}), so x and y are no axes; {_REMEDY}")
    windows: list[Window] = []
    for some in rows.chips:
        offsets = {pixel_offset(first, chip) for chip in some}
        shapes = {chip.data.shape[1:] for chip in some}
        offset = offsets.pop()
        if offset is None or offsets or len(shapes) > 1:
            other = next((one for one in some if pixel_offset(first, one) != pixel_offset(first, some[0])), some[-1])
            grids = f"one is {describe_grid(first)}, one is {describe_grid(other)}"
            raise InvalidArgumentError(f"the chips lie on different grids: {grids}; {_REMEDY}")
        ((height, width),) = shapes
        windows.append(Window(*offset, width, height))
    return _variables(rows), lattice, first.crs, windows


def _variables(rows: _Rows) -> list[Variable]:
    """The variables of all columns."""
    variables: list[Variable] = []
    for number, column in enumerate(rows.names):
        of_column = [some[number] for some in rows.chips]
        bands = {chip.bands for chip in of_column}
        if len(bands) > 1:
            told = " and ".join(sorted(", ".join(some) for some in bands)[:2])
            raise InvalidArgumentError(
                f'the chips of "{column}" have different bands ({told}); choose rows of one kind'
            )
        (names,) = bands
        nodata = next((chip.nodata for chip in of_column if chip.nodata is not None), None)
        dtype = np.result_type(*(chip.data.dtype for chip in of_column)).newbyteorder("=")
        for band in names:
            several = f"{column}_{band}" if len(names) > 1 else column
            variables.append(
                Variable(band if len(rows.names) == 1 else several, dtype, 0 if nodata is None else nodata)
            )
    return variables
