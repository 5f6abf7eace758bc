"""Converts one CHIP of SQL to arrays of numpy, and arrays to a CHIP."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rasteret_sql.errors import ArgumentTypeError, InvalidArgumentError
from rasteret_sql.geo.crs import crs_or_code
from rasteret_sql.geo.grid import Affine
from rasteret_sql.reading.chip_column import chips_of
from rasteret_sql.result_types import CHIP

_DTYPES = "integers of 8 to 64 bit, floats of 16 to 64 bit or bool"
Pixels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


def to_numpy(chip: Mapping[str, Any] | pa.StructScalar) -> tuple[Pixels, Mask]:
    """Turn a CHIP into its pixels and their mask.

    Args:
        chip: a value of read_chip, read_chips or another function that gives a CHIP, as DuckDB (a dict) or Arrow (a
            StructScalar) has it.

    Returns:
        Pixels, shape (bands, height, width), in the dtype of the chip, and a mask of the same shape: True where a pixel
        is valid. Both are copies, which may be changed.

    Raises:
        ValueError: the chip is NULL, or its parts contradict each other.
        TypeError: it is something else.
    """
    if chip is None or (isinstance(chip, pa.StructScalar) and not chip.is_valid):
        raise InvalidArgumentError(
            "the chip is NULL: its geometry misses the scene, or it could not be read; leave such rows out with "
            "WHERE chip IS NOT NULL"
        )
    if isinstance(chip, pa.StructScalar):
        chip = dict(chip.items())
        chip = {name: value.as_py() if isinstance(value, pa.Scalar) else value for name, value in chip.items()}
    if not isinstance(chip, Mapping):
        raise ArgumentTypeError(f"expected a CHIP, a dict as DuckDB gives it; got {type(chip).__name__}")
    absent = [field.name for field in CHIP if field.name not in chip]
    if absent:
        raise InvalidArgumentError(
            f"not a CHIP: it has {', '.join(map(str, chip)) or 'nothing'}, and lacks {', '.join(absent)}; expected a "
            "value of read_chip"
        )
    try:
        column = pa.array([{field.name: _plain(chip[field.name]) for field in CHIP}], CHIP)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InvalidArgumentError(f"not a CHIP: {error}; expected a value of read_chip") from error
    (found,) = chips_of(column)
    if found is None:
        raise InvalidArgumentError("not a CHIP: its data or dtype is NULL; expected a value of read_chip")
    data = found.data.astype(found.data.dtype.newbyteorder("="))
    return data, np.ones(data.shape, bool) if found.valid is None else np.array(found.valid)


def from_numpy(
    array: npt.ArrayLike,
    *,
    transform: Sequence[float] | None = None,
    crs: Any = None,
    nodata: float | None = None,
    mask: npt.ArrayLike | None = None,
    bands: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Turn an array into a CHIP, which a query takes as a parameter: `con.execute('SELECT chip_stats($1)', [chip])`.

    Args:
        array: pixels, shape (height, width) of one band or (bands, height, width). What a masked array masks is not
            valid. bool becomes uint8.
        transform: affine (a, b, c, d, e, f) from pixel corners to the CRS, or an object of the package affine; by
            default the chip has no place.
        crs: an EPSG code, 'EPSG:n', WKT, PROJJSON, or an object of pyproj or rasterio; by default none.
        nodata: value of pixels that are not valid; NaN for floats. By default there is none.
        mask: True where a pixel is valid, of the shape of the array or of one band; by default all are that neither
            nodata nor a masked array says otherwise of.
        bands: their names; by default band_1, band_2 and so on.

    Returns:
        A dict with the fields of a CHIP.

    Raises:
        ValueError: a shape, dtype, transform or CRS is none that a chip has, or nodata is no value of the dtype.
    """
    given: Any = np.ma.asanyarray(array)
    pixels = np.asarray(np.ma.getdata(given))
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8)
    if pixels.dtype.kind not in "iuf" or pixels.dtype.itemsize > 8:
        raise InvalidArgumentError(f"the array is of {pixels.dtype}; expected {_DTYPES}")
    if pixels.ndim not in (2, 3) or not pixels.size:
        raise InvalidArgumentError(
            f"the array has the shape {pixels.shape}; expected (height, width) or (bands, height, width), none of them "
            "0"
        )
    valid = _valid(given, pixels, nodata, mask)
    if pixels.ndim == 2:
        pixels, valid = pixels[np.newaxis], valid[np.newaxis]
    names = [f"band_{number}" for number in range(1, len(pixels) + 1)] if bands is None else _names(bands, len(pixels))
    return {
        "data": np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).tobytes(),
        "mask": None if valid.all() else np.ascontiguousarray(valid, np.uint8).tobytes(),
        "dtype": pixels.dtype.name,
        "bands": names,
        "height": pixels.shape[1],
        "width": pixels.shape[2],
        "transform": None if transform is None else tuple(_transform(transform)),
        "crs": None if crs is None else _crs(crs),
        "nodata": None if nodata is None else float(nodata),
    }


def _plain(value: Any) -> Any:
    """Values of pandas and numpy as Arrow takes them."""
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def _valid(given: Any, pixels: Pixels, nodata: float | None, mask: npt.ArrayLike | None) -> Mask:
    """True where a pixel is valid, in the shape of the array."""
    valid = ~np.ma.getmaskarray(given) if np.ma.isMaskedArray(given) else np.ones(pixels.shape, bool)
    if mask is not None:
        said = np.asarray(mask)
        if said.shape not in (pixels.shape, pixels.shape[-2:]):
            raise InvalidArgumentError(
                f"the mask has the shape {said.shape}; expected that of the array, {pixels.shape}"
            )
        valid = valid & said.astype(bool)
    if nodata is None:
        return valid
    if math.isnan(nodata) and pixels.dtype.kind == "f":
        return valid & ~np.isnan(pixels)
    value = pixels.dtype.type(nodata) if _holds(pixels.dtype, nodata) else None
    if value is None:
        raise InvalidArgumentError(f"nodata={nodata!r} is no value of {pixels.dtype}; expected one, or None")
    differs: Mask = pixels != value
    return valid & differs


def _holds(dtype: np.dtype[Any], value: float) -> bool:
    """True where a dtype has a value; floats have the nearest one."""
    if dtype.kind == "f":
        return math.isinf(value) or abs(value) <= float(np.finfo(dtype).max)
    limits = np.iinfo(dtype)
    return math.isfinite(value) and value == int(value) and limits.min <= int(value) <= limits.max


def _names(bands: Sequence[str], count: int) -> list[str]:
    names = [bands] if isinstance(bands, str) else list(bands)
    if len(names) != count or not all(isinstance(name, str) for name in names):
        raise InvalidArgumentError(f"bands={bands!r} does not name the {count} band(s) of the array, each once")
    return names


def _transform(transform: Sequence[float]) -> Affine:
    """Six numbers of an affine; one of the package affine has three more, of its last row."""
    try:
        numbers = [float(number) for number in transform]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) == 9 and numbers[6:] == [0, 0, 1]:
        numbers = numbers[:6]
    if len(numbers) != 6 or not all(map(math.isfinite, numbers)):
        raise InvalidArgumentError(
            f"transform={transform!r} is no affine; expected six numbers (a, b, c, d, e, f) with x = a·col + b·row + c "
            "and y = d·col + e·row + f"
        )
    found = Affine(*numbers)
    found.inverse()  # refuses one that maps all pixels onto a line
    return found


def _crs(crs: Any) -> str:
    """The CRS in the package's spelling, also of objects of pyproj and rasterio."""
    return crs_or_code(crs.to_wkt() if hasattr(crs, "to_wkt") else crs)
