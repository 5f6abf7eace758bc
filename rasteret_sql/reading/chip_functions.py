"""Runs the functions on CHIPs that are already read, over columns: values, statistics, expressions, PNG, GeoTIFF."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InvalidArgumentError, UnknownBandError
from rasteret_sql.raster.stats import zonal_statistics
from rasteret_sql.raster.value_counts import histogram
from rasteret_sql.reading.arrow_types import histogram_rows, statistics_rows
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.chip_column import Chip, chip_column, chips_of, lists_of_chips
from rasteret_sql.reading.chip_files import CogOptions, cog_of, geotiff_of
from rasteret_sql.reading.chip_math import masked, over_bands, over_chips
from rasteret_sql.reading.chip_mosaic import MosaicMethod, mosaic
from rasteret_sql.reading.chip_pictures import PictureStyle, png_of, sheet_of
from rasteret_sql.reading.chip_warp import on_grid, on_grid_of
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.reading.resolve import one_of_bands

Bands = tuple[str | int, ...]
"""Names of bands, or numbers from 1."""


def _one_band(chip: Chip, asked: Bands) -> int:
    """Position of the band that is asked for."""
    if len(asked) != 1:
        given = ", ".join(map(repr, asked))
        raise InvalidArgumentError(f"band := [{given}] names {len(asked)} bands; expected one name or 1-based integer")
    try:
        return chip.bands.index(one_of_bands(asked[0], chip.bands, "the chip"))
    except UnknownBandError as error:
        raise UnknownBandError(f"{error}; read the band into the chip first") from None


def _each(chips: Sequence[Any | None], work: Callable[[int, Any], Any], cancelled: Cancelled) -> list[Any]:
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


def chip_hist(column: pa.StructArray, bands: Sequence[Bands | None], cancelled: Cancelled) -> pa.Array:
    """MAP from each value of the valid pixels of one band of each chip to how many have it."""

    def one(row: int, chip: Chip) -> tuple[np.ndarray, np.ndarray] | None:
        band = bands[row]
        if band is None:
            return None
        at = _one_band(chip, band)
        return histogram(chip.data[at].ravel() if chip.valid is None else chip.data[at][chip.valid[at]])

    return histogram_rows(_each(chips_of(column), one, cancelled))


def chip_math(
    chips: Sequence[Chip | Mapping[str, Chip] | None], asked: Sequence[Sequence[Asked] | None], cancelled: Cancelled
) -> pa.Array:
    """CHIP of expressions over the bands of one chip, or over named chips; NULL where either is."""

    def one(row: int, chip: Chip | Mapping[str, Chip]) -> Chip | None:
        expressions = asked[row]
        if expressions is None:
            return None
        return over_bands(chip, expressions) if isinstance(chip, Chip) else over_chips(chip, expressions)

    return chip_column(_each(chips, one, cancelled))


def chip_mask(
    column: pa.StructArray, masks: Sequence[Chip | str | None], pixels: Sequence[int], cancelled: Cancelled
) -> pa.Array:
    """CHIP of each chip without what its mask drops; NULL where either is."""

    def one(row: int, chip: Chip) -> Chip | None:
        mask = masks[row]
        return None if mask is None else masked(chip, mask, pixels[row])

    return chip_column(_each(chips_of(column), one, cancelled))


def chip_resample(
    column: pa.StructArray,
    likes: Sequence[Chip | None],
    options: Sequence[PixelOptions],
    most_bytes: int,
    cancelled: Cancelled,
) -> pa.Array:
    """CHIP of each chip on the grid of another one, or on that which its options say."""

    def one(row: int, chip: Chip) -> Chip | None:
        like, option = likes[row], options[row]
        if like is not None:
            return on_grid_of(chip, like, option.resampling, most_bytes)
        if not option.has_target:
            return chip
        return on_grid(chip, option, most_bytes)

    return chip_column(_each(chips_of(column), one, cancelled))


def chip_mosaic(
    column: pa.ListArray, methods: Sequence[MosaicMethod], most_bytes: int, cancelled: Cancelled
) -> pa.Array:
    """CHIP of the chips of each list; NULL where it has none."""

    def one(row: int, chips: list[Chip | None]) -> Chip | None:
        there = [chip for chip in chips if chip is not None]
        return mosaic(there, methods[row], most_bytes) if there else None

    return chip_column(_each(lists_of_chips(column), one, cancelled))


def chip_png(column: pa.StructArray, styles: Sequence[PictureStyle], cancelled: Cancelled) -> pa.Array:
    """PNG of each chip: one band grey or coloured, three as red, green, blue; pixels not valid transparent."""
    return pa.array(
        _each(chips_of(column), lambda row, chip: png_of(chip, styles[row]), cancelled),
        pa.large_binary(),
    )


def chip_sheet(
    column: pa.ListArray,
    labels: Sequence[Sequence[str | None] | None],
    styles: Sequence[PictureStyle],
    columns: Sequence[int | None],
    cancelled: Cancelled,
) -> pa.Array:
    """PNG of each list of chips; NULL where it has none."""

    def one(row: int, chips: list[Chip | None]) -> bytes | None:
        if not any(chip is not None for chip in chips):
            return None
        return sheet_of(chips, styles[row], labels[row], columns[row])

    return pa.array(_each(lists_of_chips(column), one, cancelled), pa.large_binary())


def chip_geotiff(column: pa.StructArray, cancelled: Cancelled) -> pa.Array:
    """GeoTIFF of each chip, with its transform, CRS, nodata, mask and band names."""
    return pa.array(_each(chips_of(column), lambda _row, chip: geotiff_of(chip), cancelled), pa.large_binary())


def chip_cog(column: pa.StructArray, options: Sequence[CogOptions], cancelled: Cancelled) -> pa.Array:
    """Cloud-Optimized GeoTIFF of each chip, with overviews and statistics."""
    return pa.array(_each(chips_of(column), lambda row, chip: cog_of(chip, options[row]), cancelled), pa.large_binary())
