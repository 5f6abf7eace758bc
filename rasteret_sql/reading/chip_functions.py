"""Computes with CHIPs that are already read: values, statistics, PNG and GeoTIFF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InvalidArgumentError, UnknownBandError
from rasteret_sql.geo.grid import Affine
from rasteret_sql.raster.render import render_png
from rasteret_sql.raster.stats import zonal_statistics
from rasteret_sql.reading.arrow_types import statistics_rows
from rasteret_sql.reading.resolve import one_of_bands
from rasteret_sql.tiff.write_geotiff import write_geotiff

Bands = tuple[str | int, ...]
"""Names of bands, or numbers from 1."""


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
    return Chip(pixels, valid, bands, transform, values["crs"], values["nodata"])


def _one_band(chip: Chip, asked: Bands) -> int:
    """Position of the band that is asked for."""
    if len(asked) != 1:
        given = ", ".join(map(repr, asked))
        raise InvalidArgumentError(f"band := [{given}] names {len(asked)} bands; expected one name or 1-based integer")
    try:
        return chip.bands.index(one_of_bands(asked[0], chip.bands, "the chip"))
    except UnknownBandError as error:
        raise UnknownBandError(f"{error}; read the band into the chip first") from None


def _each(chips: Sequence[Chip | None], work: Callable[[int, Chip], Any], cancelled: Cancelled) -> list[Any]:
    results: list[Any] = []
    for row, chip in enumerate(chips):
        if cancelled():
            break
        results.append(None if chip is None else work(row, chip))
    return results


def chip_values(column: pa.StructArray, bands: Sequence[Bands | None], cancelled: Cancelled) -> pa.Array:
    """DOUBLE[] of each chip: the pixels of one band, row-major; NULL where a pixel is not valid."""

    def one(row: int, chip: Chip) -> pa.Array | None:
        band = bands[row]
        if band is None:
            return None
        at = _one_band(chip, band)
        values = chip.data[at].ravel().astype(np.float64)
        return pa.array(values, mask=None if chip.valid is None else ~chip.valid[at].ravel())

    arrays = _each(chips_of(column), one, cancelled)
    offsets = np.zeros(len(arrays) + 1, np.int32)
    np.cumsum([0 if array is None else len(array) for array in arrays], out=offsets[1:])
    values = pa.concat_arrays([array for array in arrays if array is not None] or [pa.array([], pa.float64())])
    missing = pa.array([array is None for array in arrays], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=missing)


def chip_stats(column: pa.StructArray, bands: Sequence[Bands | None], cancelled: Cancelled) -> pa.Array:
    """The statistics of zonal_stats over the valid pixels of one band of each chip."""

    def one(row: int, chip: Chip) -> dict[str, Any] | None:
        band = bands[row]
        if band is None:
            return None
        at = _one_band(chip, band)
        pixels = chip.data[at].ravel()
        valid = pixels if chip.valid is None else chip.data[at][chip.valid[at]]
        return zonal_statistics(valid, pixels.size, None)

    return statistics_rows(_each(chips_of(column), one, cancelled))


def chip_png(
    column: pa.StructArray,
    vmins: Sequence[float | None],
    vmaxs: Sequence[float | None],
    colormaps: Sequence[str | None],
    cancelled: Cancelled,
) -> pa.Array:
    """PNG of each chip: one band grey or coloured, three or more as red, green, blue; pixels not valid transparent."""

    def one(row: int, chip: Chip) -> bytes:
        mask = None if chip.valid is None else np.logical_and.reduce(chip.valid, axis=0)
        return render_png(chip.data, mask, vmin=vmins[row], vmax=vmaxs[row], colormap=colormaps[row])

    return pa.array(_each(chips_of(column), one, cancelled), pa.large_binary())


def chip_geotiff(column: pa.StructArray, cancelled: Cancelled) -> pa.Array:
    """GeoTIFF of each chip, with its transform, CRS, nodata, mask and band names."""

    def one(_row: int, chip: Chip) -> bytes:
        return write_geotiff(chip.data, chip.valid, chip.transform, chip.crs, chip.nodata, chip.bands)

    return pa.array(_each(chips_of(column), one, cancelled), pa.large_binary())
