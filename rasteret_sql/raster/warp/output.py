"""Converts computed numbers to the dtype of pixels: rounds, clamps, and moves what equals nodata off it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rasteret_sql.raster.warp.neighbourhood import Numbers, Pixels


def to_pixels(values: Numbers, dtype: np.dtype) -> Pixels:
    """Numbers as pixels: integers are clamped and rounded half up; floats take the nearest value.

    Args:
        values: of any shape; NaN becomes anything where the dtype has none.
        dtype: of the pixels.
    """
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    info = np.iinfo(dtype)
    rounded = values + 0.5
    if dtype.itemsize > 4:
        return _to_long(np.floor(rounded, out=rounded), dtype)
    if dtype.kind == "i":
        np.floor(rounded, out=rounded)
    # These take the limit for NaN, as other functions do not.
    np.fmax(rounded, info.min, out=rounded)
    np.fmin(rounded, info.max, out=rounded)
    return rounded.astype(dtype)


def _to_long(rounded: Numbers, dtype: np.dtype) -> Pixels:
    """Whole numbers as integers of 64 bit, whose limits are no floats."""
    info = np.iinfo(dtype)
    low, high = rounded <= info.min, rounded >= info.max
    with np.errstate(invalid="ignore"):
        found = rounded.astype(dtype)
    found[low], found[high] = info.min, info.max
    return found


def off_nodata(pixels: Pixels, nodata: float | None) -> Pixels:
    """Move pixels that have a value, and happen to equal nodata, to the next one: they would be taken for holes.

    As GDAL since 3.11: integers to the one below (the smallest to the one above), floats to the next larger (the
    largest to the one below).

    Args:
        pixels: changed in place.
        nodata: None, or no value of the dtype: nothing is moved.
    """
    if nodata is None or nodata != nodata:  # noqa: PLR0124 - NaN
        return pixels
    dtype = pixels.dtype
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            value = dtype.type(nodata)
        largest = np.finfo(dtype).max
        moved = np.nextafter(value, dtype.type(0) if value == largest else largest)
    else:
        info = np.iinfo(dtype)
        if nodata != int(nodata) or not info.min <= nodata <= info.max:
            return pixels
        value = dtype.type(int(nodata))
        moved = dtype.type(int(value) + 1 if value == info.min else int(value) - 1)
    hit: npt.NDArray[np.bool_] = pixels == value
    if hit.any():
        pixels[hit] = moved
    return pixels
