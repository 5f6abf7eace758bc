"""Puts chips that lie beside or over each other on one grid into one chip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rasteret_sql.errors import InvalidArgumentError, MemoryLimitError
from rasteret_sql.geo.grid import Window
from rasteret_sql.raster.composite import METHODS, Scores, held_bytes, reducer, result_dtype
from rasteret_sql.reading.chip_column import Chip
from rasteret_sql.reading.chip_grid import describe_grid, pixel_offset
from rasteret_sql.reading.chip_math import over_bands
from rasteret_sql.reading.options import require, require_one_of

_AT_ONCE = 64 << 20
"""Bytes of a strip of rows that are held at a time, about."""


@dataclass(frozen=True, slots=True)
class MosaicMethod:
    """The choice among the pixels of several chips."""

    method: str = "first"
    """One of `METHODS`."""
    best_by: str | None = None
    """Of the method best: an expression over the bands of a chip, of which the largest value is best."""

    def __post_init__(self) -> None:
        require_one_of("method", self.method, METHODS)
        if self.method == "best":
            require(self.best_by is not None, "method", self.method, "best_by := beside it, an expression over bands")
        else:
            require(self.best_by is None, "best_by", self.best_by, "method := 'best' beside it")


def mosaic(chips: Sequence[Chip], how: MosaicMethod, most_bytes: int) -> Chip:
    """One chip over the bounds of all.

    Args:
        chips: At least one, in their order, on one grid and with as many bands; each may cover another part of it.
        how: Chooses among those that have a valid pixel at a place.
        most_bytes: That the pixels of the result may take.

    Returns:
        A chip with the band names and nodata of the first. Where no chip has a value, pixels are not valid; counts
        are 0 there.

    Raises:
        InvalidArgumentError: Grids or numbers of bands differ.
        MemoryLimitError: The result is too large.
    """
    windows = _windows(chips)
    col, row = min(one.col_off for one in windows), min(one.row_off for one in windows)
    width, height = max(one.col_end for one in windows) - col, max(one.row_end for one in windows) - row
    dtype = np.result_type(*(chip.data.dtype.newbyteorder("=") for chip in chips))
    made = result_dtype(how.method, dtype)
    shape = len(chips[0].bands), height, width
    size = int(np.prod(shape, dtype=object)) * (made.itemsize + 1)
    if size > most_bytes:
        raise MemoryLimitError(
            f"the bounds of the {len(chips)} chips have {width} × {height} pixels, {size:,} bytes, more than "
            f"max_call_bytes = {most_bytes:,}; put fewer chips together, or connect(max_call_bytes=...)"
        )
    if how.method == "last":
        chips, windows = chips[::-1], windows[::-1]
    scores = [None if how.best_by is None else over_bands(chip, [how.best_by]) for chip in chips]
    data, valid = np.empty(shape, made), np.empty(shape, bool)
    for strip in _strips(shape, how.method, dtype, len(chips)):
        part = Window(col, row + strip.start, width, strip.stop - strip.start)
        found = reducer(how.method, (shape[0], *part.shape), dtype, None, len(chips))
        for number, (chip, window, score) in enumerate(zip(chips, windows, scores, strict=True)):
            if found.complete:
                break
            if window.intersection(part) is not None:
                found.add(number, *_placed(chip, window, part, dtype), _scores(score, window, part))
        data[:, strip], valid[:, strip] = found.result()
    first = chips[-1] if how.method == "last" else chips[0]
    nodata = _nodata(first, made)
    data[~valid] = 0 if nodata is None else nodata
    transform = None if first.transform is None else first.transform.shifted(col, row)
    return replace(first, data=data, valid=valid, transform=transform, nodata=nodata)


def _windows(chips: Sequence[Chip]) -> list[Window]:
    """The pixels of each chip, counted from the first one's."""
    first = chips[0]
    windows = []
    for number, chip in enumerate(chips, 1):
        offset = pixel_offset(first, chip)
        if offset is None:
            raise InvalidArgumentError(
                f"the chips do not lie on one grid: chip 1 is {describe_grid(first)}, chip {number} is "
                f"{describe_grid(chip)}; read them on one: read_chip(..., crs := , resolution := , align := )"
            )
        if len(chip.bands) != len(first.bands):
            raise InvalidArgumentError(
                f"the chips differ in how many bands they have: chip 1 has {len(first.bands)}, chip {number} "
                f"{len(chip.bands)}; expected one number"
            )
        _, height, width = chip.data.shape
        windows.append(Window(*offset, width, height))
    return windows


def _strips(shape: tuple[int, int, int], method: str, dtype: np.dtype, chips: int) -> Iterator[slice]:
    """Rows that are put together at a time."""
    bands, height, width = shape
    rows = max(1, _AT_ONCE // max(1, held_bytes(method, (bands, 1, width), dtype, chips)))
    return (slice(begin, min(begin + rows, height)) for begin in range(0, height, rows))


def _placed(chip: Chip, window: Window, part: Window, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of a chip in a part of the mosaic, and which are valid: around it none."""
    pixels = np.zeros((len(chip.bands), *part.shape), dtype)
    valid = np.zeros(pixels.shape, bool)
    onto, of = _common(window, part)
    pixels[(slice(None), *onto)] = chip.data[(slice(None), *of)]
    valid[(slice(None), *onto)] = True if chip.valid is None else chip.valid[(slice(None), *of)]
    return pixels, valid


def _scores(score: Chip | None, window: Window, part: Window) -> Scores | None:
    if score is None:
        return None
    values, valid = _placed(score, window, part, np.dtype(np.float64))
    return values[0], valid[0]


def _common(window: Window, part: Window) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The rows and columns that a chip and a part have in common: of the part, and of the chip."""
    both = window.intersection(part)
    assert both is not None  # others are left out
    of_part, of_chip = (
        (
            slice(both.row_off - one.row_off, both.row_end - one.row_off),
            slice(both.col_off - one.col_off, both.col_end - one.col_off),
        )
        for one in (part, window)
    )
    return of_part, of_chip


def _nodata(first: Chip, dtype: np.dtype) -> float | None:
    """That of the first chip where the dtype has it, else NaN of floats."""
    if first.nodata is not None and first.data.dtype == dtype:
        return first.nodata
    return float("nan") if dtype.kind == "f" else None
