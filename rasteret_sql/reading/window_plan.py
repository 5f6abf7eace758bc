"""Plans the window of one or more bands that a row reads."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.index.read.scene_lookup import BandSource
from rasteret_sql.raster.window import geometry_window, whole
from rasteret_sql.reading.options import Whole
from rasteret_sql.reading.request import RowRead
from rasteret_sql.reading.resolve import check_level
from rasteret_sql.tiff.header import BandHeader

_SPARE = 3
Edges = tuple[int, int, int, int]
"""Pixels along the left, upper, right and lower border."""


def overlap(reach: int) -> int:
    """Pixels by which neighbouring source windows overlap for a kernel that reaches so many pixels to each side.

    Both have it on their side of the common border, twice at most, and some since positions round.
    """
    return 2 * (2 * reach + _SPARE)


@dataclass(frozen=True, slots=True, eq=False)
class WindowPlan:
    """The pixels that a row reads: the same window of every band."""

    read: RowRead
    window: Window
    grid: Affine | None
    """Pixel → CRS of the level that is read, or the plane of its pixels; None where the file is not georeferenced."""
    dtype: np.dtype
    """Common dtype of the bands."""
    edges: Edges | None = None
    """Pixels along its left, upper, right and lower border that other windows of the call may need, too, -1 where there
    are no others; None: all may be needed by others."""

    @property
    def sources(self) -> tuple[BandSource, ...]:
        return self.read.sources

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, height, width)"""
        return len(self.sources), self.window.height, self.window.width

    @property
    def transform(self) -> Affine | None:
        """Of the window's corner; None of pixels that no transform places."""
        if self.grid is None or self.sources[0].header.is_by_points:
            return None
        return self.grid.shifted(self.window.col_off, self.window.row_off)

    @property
    def nbytes(self) -> int:
        """Bytes of the window's pixels."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def crs(self) -> str | None:
        return self.sources[0].header.map_crs

    @property
    def level(self) -> int:
        return self.read.options.level


def plan_window(read: RowRead) -> WindowPlan | None:
    """Place a row's geometry on its image; None where they do not meet.

    Raises:
        InvalidArgumentError: the bands lie on different grids, no dtype holds them all, or there is no such overview.
    """
    first = read.sources[0].header
    for source in read.sources:
        check_level(source, read.options.level)
        _check_same_grid(read, first, source.header)
        _check_same_size(read, first, source.header)
    level = first.levels[read.options.level]
    transform = first.level_transform(read.options.level)
    if read.geometry is Whole.IMAGE:
        window: Window | None = whole(level.width, level.height)
    else:
        assert transform is not None  # `resolve` refuses a geometry on a file without one
        tile = level.tile_width, level.tile_height
        window = geometry_window(read.geometry, transform, level.width, level.height, tile)
    if window is None:
        return None
    return WindowPlan(read, window, transform, common_dtype(read))


def common_dtype(read: RowRead) -> np.dtype:
    """The dtype that holds all bands of a row.

    Raises:
        InvalidArgumentError: there is none.
    """
    dtype: np.dtype = np.result_type(*(source.header.dtype for source in read.sources))
    for source in read.sources:
        # numpy calls 64-bit integers safe in float64, though those beyond 2^53 are not.
        wide = source.header.dtype.kind in "iu" and source.header.dtype.itemsize == 8 and dtype.kind == "f"
        if wide or not np.can_cast(source.header.dtype, dtype, "safe"):
            raise InvalidArgumentError(
                f"{read.describe()}: no dtype holds {source.header.dtype} and the other bands exactly; read them apart"
            )
    return dtype


def _check_same_grid(read: RowRead, one: BandHeader, other: BandHeader) -> None:
    if (one.width, one.height, one.transform, one.crs) != (other.width, other.height, other.transform, other.crs):
        sizes = ", ".join(f"{s.band} {_grid(s.header, one.crs == other.crs)}" for s in read.sources)
        raise InvalidArgumentError(
            f"{read.describe()}: the bands lie on different grids ({sizes}); read each in a call of its own"
        )


def _grid(header: BandHeader, one_crs: bool) -> str:
    size = f"{header.width} × {header.height}"
    return size if one_crs else f"{size} in {header.crs or 'no CRS'}"


def _check_same_size(read: RowRead, one: BandHeader, other: BandHeader) -> None:
    """Files of one grid may still have been given different overviews."""
    at = read.options.level
    if (one.levels[at].width, one.levels[at].height) != (other.levels[at].width, other.levels[at].height):
        sizes = ", ".join(f"{s.band} {s.header.levels[at].width} × {s.header.levels[at].height}" for s in read.sources)
        raise InvalidArgumentError(
            f"{read.describe()}: overview := {at} has a different size in each file ({sizes}); read each band in a "
            "call of its own"
        )


def geometry_of(read: RowRead) -> shapely.Geometry | None:
    """The geometry that clips a row; None where it is not to be clipped."""
    return None if read.geometry is Whole.IMAGE or not read.options.clip else read.geometry


def fill_value(read: RowRead, nodata: float | None) -> float:
    """Value of pixels that have none of their own: the argument, else the nodata, else 0."""
    if read.options.fill is not None:
        return read.options.fill
    return 0 if nodata is None else nodata
