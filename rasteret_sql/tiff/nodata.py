"""Reads nodata as GDAL understands it: the text of a tag as a value, and the samples that match the value."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from rasteret_sql.errors import InvalidArgumentError

Nodata = int | float | None
"""A nodata value: int for integer dtypes (exact up to 64 bit), float else, None where a band has none."""

_WHOLE = re.compile(r"\s*[+-]?\d+")
_REAL = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_SPECIAL = re.compile(r"\s*([+-]?)(?:1\.#)?(nan|qnan|ind|inf)", re.IGNORECASE)
_NEAR = 2 * float(np.finfo(np.float32).eps)


@lru_cache(maxsize=1024)
def parse_nodata(text: str | None, dtype: np.dtype) -> Nodata:
    """Read a nodata text for samples of `dtype`; the number that the text starts with counts, 0 where it has none.

    Returns:
        An int for integer dtypes, exact up to 64 bit; a float that the dtype can hold for floating point; None where
        there is no value, or one that no sample can have.
    """
    if not text or not text.strip():
        return None
    if dtype.kind == "f":
        return _float_nodata(_number(text), dtype)
    info = np.iinfo(dtype)
    if dtype.itemsize == 8:
        match = _WHOLE.match(text)
        whole = int(match[0]) if match else 0
        if dtype.kind == "u" and -(1 << 64) < whole < 0:
            whole += 1 << 64  # what strtoull makes of a minus
        return min(max(whole, info.min), info.max)
    value = _number(text)
    # Fractions are cut off, but a value must lie in the range before that.
    return int(value) if math.isfinite(value) and info.min <= value <= info.max else None


def held_nodata(nodata: float, dtype: np.dtype, where: str = "") -> int | float:
    """Nodata that was a DOUBLE, as a value of a dtype.

    Args:
        nodata: The value.
        dtype: Of the pixels.
        where: Whose dtype it is, for the message.

    Raises:
        InvalidArgumentError: no pixel can have it.
    """
    if dtype.kind == "f":
        return float(nodata)
    info = np.iinfo(dtype)
    if dtype.itemsize == 8 and nodata == float(info.max):
        return info.max  # a DOUBLE has one more
    if not math.isfinite(nodata) or nodata != int(nodata) or not info.min <= nodata <= info.max:
        raise InvalidArgumentError(
            f"nodata := {nodata} is no value of {dtype}{where}; expected an integer from {info.min} to {info.max}"
        )
    return int(nodata)


def matches_nodata(pixels: npt.NDArray[Any], nodata: Nodata) -> npt.NDArray[np.bool_]:
    """True where a sample is nodata, as GDAL's masks have it; shape of `pixels`.

    Floating-point samples match within two float32 roundings of the sum of both (also for float64), so that a value
    printed with too few digits still works; NaN matches NaN.
    """
    if nodata is None:
        return np.zeros(pixels.shape, bool)
    if pixels.dtype.kind != "f":
        return np.asarray(pixels == pixels.dtype.type(nodata))
    if math.isnan(nodata):
        return np.asarray(np.isnan(pixels))
    floats: npt.NDArray[Any] = pixels.astype(np.float32) if pixels.dtype.itemsize == 2 else pixels
    value = floats.dtype.type(nodata)
    equal: npt.NDArray[np.bool_] = floats == value
    if not math.isfinite(value) or value == 0:
        return equal
    with np.errstate(over="ignore", invalid="ignore"):
        near = np.abs(floats - value) < np.abs(floats + value) * floats.dtype.type(_NEAR)
    return np.asarray(equal | near)


def parse_nodata_values(texts: Sequence[str], dtype: np.dtype) -> tuple[Nodata, ...]:
    """Read the values of NODATA_VALUES for samples of `dtype`, which must equal them exactly.

    Returns:
        One a text; an int for integer dtypes up to 32 bit, whose fractions are cut off, else a float. None for a value
        that no sample can have, NaN among them: GDAL compares, and NaN equals nothing.
    """
    return tuple(_equal_value(_number(text), dtype) for text in texts)


def equals_value(pixels: npt.NDArray[Any], value: Nodata) -> npt.NDArray[np.bool_]:
    """True where a sample is `value` of NODATA_VALUES; shape of `pixels`. None equals nothing."""
    if value is None:
        return np.zeros(pixels.shape, bool)
    # 64-bit integers are compared as doubles, as GDAL does.
    return np.asarray(pixels.astype(np.float64) == value if isinstance(value, float) else pixels == value)


def _equal_value(value: float, dtype: np.dtype) -> Nodata:
    if not math.isfinite(value):
        return value if dtype.kind == "f" and not math.isnan(value) else None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return float(np.float32(value)) if dtype.itemsize < 8 else value
    if dtype.itemsize == 8:
        return value
    info = np.iinfo(dtype)
    return int(value) if info.min <= value <= info.max else None


def _float_nodata(value: float, dtype: np.dtype) -> Nodata:
    with np.errstate(over="ignore"):
        if dtype.itemsize == 2:
            # GDAL compares half floats as float32: a value that they cannot hold matches none of them.
            held = float(dtype.type(value))
            return held if math.isnan(value) or held == float(np.float32(value)) else None
        return float(dtype.type(value))


def _number(text: str) -> float:
    if special := _SPECIAL.match(text):
        return math.copysign(math.inf if special[2].lower() == "inf" else math.nan, -1.0 if special[1] == "-" else 1.0)
    match = _REAL.match(text)
    return float(match[0]) if match else 0.0
