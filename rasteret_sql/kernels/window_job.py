"""A job that fills one window of one or more bands, and knows which of its pixels are valid."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import shapely

from rasteret_sql.engine.job import Job, TileNeed
from rasteret_sql.errors import InvalidArgumentError, MemoryLimitError
from rasteret_sql.index.lookup import BandSource
from rasteret_sql.kernels.rows import RowRead, Scenes, check_level
from rasteret_sql.plan.tiles import TilePart, tiles_under
from rasteret_sql.plan.window import geometry_window, whole
from rasteret_sql.tiff.header import BandHeader, Level
from rasteret_sql.tiff.nodata import matches_nodata
from rasteret_sql.types import Affine, Window


@dataclass(frozen=True, slots=True, eq=False)
class WindowPlan:
    """The pixels that a row reads: the same window of every band."""

    read: RowRead
    window: Window
    transform: Affine | None
    """Of the window's corner; None where the file is not georeferenced."""
    dtype: np.dtype
    """Common dtype of the bands."""

    @property
    def sources(self) -> tuple[BandSource, ...]:
        return self.read.sources

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, height, width)"""
        return len(self.sources), self.window.height, self.window.width

    @property
    def window_at_origin(self) -> Window:
        """The window in its own pixels, for use with `transform`."""
        return whole(self.window.width, self.window.height)

    @property
    def nbytes(self) -> int:
        """Bytes of the window's pixels."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def level(self) -> int:
        return self.read.options.overview


def plan_window(read: RowRead) -> WindowPlan | None:
    """Place a row's geometry on its image; None where they do not meet.

    Raises:
        InvalidArgumentError: the bands lie on different grids, no dtype holds them all, or there is no such overview.
    """
    first = read.sources[0].header
    for source in read.sources:
        check_level(source, read.options.overview)
        _check_same_grid(read, first, source.header)
        _check_same_size(read, first, source.header)
    level = first.levels[read.options.overview]
    transform = first.level_transform(read.options.overview)
    if read.geometry is None:
        window: Window | None = whole(level.width, level.height)
    else:
        assert transform is not None  # `resolve` refuses a geometry on a file without one
        window = geometry_window(read.geometry, transform, level.width, level.height)
    if window is None:
        return None
    dtype = np.result_type(*(source.header.dtype for source in read.sources))
    for source in read.sources:
        # numpy calls 64-bit integers safe in float64, though those beyond 2^53 are not.
        wide = source.header.dtype.kind in "iu" and source.header.dtype.itemsize == 8 and dtype.kind == "f"
        if wide or not np.can_cast(source.header.dtype, dtype, "safe"):
            raise InvalidArgumentError(
                f"{read.describe()}: no dtype holds {source.header.dtype} and the other bands exactly; read them apart"
            )
    placed = transform.shifted(window.col_off, window.row_off) if transform else None
    return WindowPlan(read, window, placed, dtype)


def check_memory(plan: WindowPlan, scenes: Scenes) -> None:
    """Raise if one row alone needs more pixels than a call may hold."""
    if plan.nbytes > scenes.max_call_bytes:
        raise MemoryLimitError(
            f"{plan.read.describe()}: the window of {plan.window.width} × {plan.window.height} pixels needs "
            f"{plan.nbytes:,} bytes at once, more than max_call_bytes = {scenes.max_call_bytes:,}; nothing was "
            "fetched. Use an overview := n, a smaller geometry, or connect(max_call_bytes=...)"
        )


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
    at = read.options.overview
    if (one.levels[at].width, one.levels[at].height) != (other.levels[at].width, other.levels[at].height):
        sizes = ", ".join(f"{s.band} {s.header.levels[at].width} × {s.header.levels[at].height}" for s in read.sources)
        raise InvalidArgumentError(
            f"{read.describe()}: overview := {at} has a different size in each file ({sizes}); read each band in a "
            "call of its own"
        )


@dataclass(frozen=True, slots=True)
class _Slot:
    band: int
    part: TilePart
    is_mask: bool


class WindowJob(Job):
    """Fills `data` (bands, height, width) from tiles and keeps track of what is valid.

    Args:
        plan: what to read.
        data: where pixels go, made by `begin` when it is None: jobs that keep no pixels allocate late and free early.
    """

    def __init__(self, plan: WindowPlan, data: np.ndarray | None = None) -> None:
        self.plan = plan
        self.data = data
        self.memory = 0 if data is not None else plan.nbytes
        self.invalid: np.ndarray | None = None
        """(bands, height, width), True where a pixel is not valid; None while all are."""
        self._slots: list[_Slot] = []
        self._lock = threading.Lock()

    def needs(self) -> Iterable[TileNeed]:
        for band, source in enumerate(self.plan.sources):
            levels = [(source.header.levels[self.plan.level], False)]
            mask = source.header.masks[self.plan.level] if source.header.masks else None
            if mask is not None:
                levels.append((mask, True))
            for level, is_mask in levels:
                for part in window_tiles(self.plan.window, level):
                    yield TileNeed(source.address, level, part.tile, len(self._slots), source.facts)
                    self._slots.append(_Slot(band, part, is_mask))

    def describe(self) -> str:
        return self.plan.read.describe()

    def pixels(self) -> np.ndarray:
        """The window's array, made at the first tile."""
        data = self.data
        if data is None:
            with self._lock:
                if self.data is None:
                    self.data = np.empty(self.plan.shape, self.plan.dtype)
                data = self.data
        return data

    def place(self, slot: int, tile: np.ndarray | None) -> None:
        where = self._slots[slot]
        header = self.plan.sources[where.band].header
        part = where.part
        if where.is_mask:
            hidden = np.True_ if tile is None else tile[part.tile_rows, part.tile_cols, header.mask_sample] == 0
            self._hide(where, hidden)
            return
        target = self.pixels()[where.band, part.rows, part.cols]
        if tile is None:
            # A tile that is not stored: GDAL gives nodata, or 0 where there is none.
            target[...] = 0 if header.nodata is None else header.nodata
            self._hide(where, np.bool_(header.nodata is not None and not header.internal_mask))
            return
        pixels = tile[part.tile_rows, part.tile_cols, header.sample]
        target[...] = pixels
        if header.nodata is not None and not header.internal_mask:
            self._hide(where, matches_nodata(pixels, header.nodata))

    def finish(self) -> None:
        """Nothing more: the pixels are what is wanted."""

    def _hide(self, where: _Slot, hidden: np.ndarray | np.bool_) -> None:
        if not hidden.any():
            return
        with self._lock:  # the mask and the data of a place may come at once
            if self.invalid is None:
                self.invalid = np.zeros(self.plan.shape, bool)
            self.invalid[where.band, where.part.rows, where.part.cols] |= hidden


def window_tiles(window: Window, level: Level) -> list[TilePart]:
    """The tiles of a level under a window."""
    return tiles_under(window, level.tile_width, level.tile_height, level.tiles_across)


def geometry_of(read: RowRead) -> shapely.Geometry | None:
    """The polygon that clips a row, if it is to be clipped."""
    return read.geometry if read.options.clip else None
