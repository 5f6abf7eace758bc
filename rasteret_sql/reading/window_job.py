"""Fills one window of one or more bands as tiles arrive, and knows which of its pixels are valid."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import shapely

from rasteret_sql.engine.job import Job, TileNeed
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.index.read.scene_lookup import BandSource
from rasteret_sql.raster.window import geometry_window, whole
from rasteret_sql.reading.options import Whole
from rasteret_sql.reading.request import RowRead
from rasteret_sql.reading.resolve import check_level
from rasteret_sql.reading.tiles import TilePart, tiles_under, touched_parts
from rasteret_sql.tiff.header import BandHeader, Level
from rasteret_sql.tiff.validity import Kind, Look, layers


@dataclass(frozen=True, slots=True, eq=False)
class WindowPlan:
    """The pixels that a row reads: the same window of every band."""

    read: RowRead
    window: Window
    grid: Affine | None
    """Pixel → CRS of the level that is read; None where the file is not georeferenced."""
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
    def transform(self) -> Affine | None:
        """Of the window's corner."""
        return self.grid.shifted(self.window.col_off, self.window.row_off) if self.grid else None

    @property
    def nbytes(self) -> int:
        """Bytes of the window's pixels."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def crs(self) -> str | None:
        return self.sources[0].header.crs

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


@dataclass(frozen=True, slots=True)
class _Slot:
    band: int
    part: TilePart
    looks: tuple[Look, ...]


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
        """(bands, height, width), True where a pixel is not valid; None while all are. Whole after the last tile."""
        self._slots: list[_Slot] = []
        self._lock = threading.Lock()
        self._of_all: dict[int, np.ndarray] = {}
        """For each band whose file has NODATA_VALUES: (height, width), True where all looks so far hide the pixel."""
        self._same_file: dict[int, list[int]] = {}
        """Such a band → all bands of its file, to which what it finds applies."""

    def area(self) -> shapely.Geometry | None:
        """The geometry outside of which no pixel counts, in the image's CRS; None where all of the window do."""
        return geometry_of(self.plan.read)

    def needs(self) -> Iterable[TileNeed]:
        shared: dict[str, int] = {}
        area = self.area()
        touched: dict[tuple[int, int, int], list[TilePart]] = {}  # bands and masks mostly have the same tiles
        for band, source in enumerate(self.plan.sources):
            for layer in layers(source.header, self.plan.level, self.plan.read.options.alpha):
                looks = layer.looks
                if any(look.kind is Kind.NODATA_VALUES for look in looks):
                    first = shared.setdefault(source.address, band)
                    if band not in (members := self._same_file.setdefault(first, [])):
                        members.append(band)
                    if first != band:  # looked at once for all bands of a file
                        looks = tuple(look for look in looks if look.kind is not Kind.NODATA_VALUES)
                if not looks:
                    continue
                address, facts = source.file_of(layer.level)
                tiling = layer.level.tile_width, layer.level.tile_height, layer.level.tiles_across
                if tiling not in touched:
                    parts = window_tiles(self.plan.window, layer.level)
                    if area is not None and self.plan.grid is not None:
                        parts = touched_parts(parts, area, self.plan.grid, self.plan.window)
                    touched[tiling] = parts
                for part in touched[tiling]:
                    yield TileNeed(address, layer.level, part.tile, len(self._slots), facts, source.backend)
                    self._slots.append(_Slot(band, part, looks))

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
        part = where.part
        for look in where.looks:
            pixels = None if tile is None else tile[part.tile_rows, part.tile_cols, look.sample]
            if look.kind is Kind.PIXELS:
                target = self.pixels()[where.band, part.rows, part.cols]
                target[...] = look.default(self.plan.sources[where.band].header.dtype) if pixels is None else pixels
            elif look.kind is Kind.NODATA_VALUES:
                self._agree(where, look.hides(pixels))
            else:
                self._hide(where, look.hides(pixels))

    def finish(self) -> None:
        """Settle what is valid, then do what the job is for."""
        for first, bands in self._same_file.items():
            hidden = self._of_all[first]
            if hidden.any():
                if self.invalid is None:
                    self.invalid = np.zeros(self.plan.shape, bool)
                self.invalid[bands] |= hidden
        self._of_all.clear()
        self.reduce()

    def reduce(self) -> None:
        """Nothing more: the pixels are what is wanted."""

    def _hide(self, where: _Slot, hidden: np.ndarray | np.bool_) -> None:
        if not hidden.any():
            return
        with self._lock:  # the mask and the data of a place may come at once
            if self.invalid is None:
                self.invalid = np.zeros(self.plan.shape, bool)
            self.invalid[where.band, where.part.rows, where.part.cols] |= hidden

    def _agree(self, where: _Slot, hidden: np.ndarray | np.bool_) -> None:
        with self._lock:
            so_far = self._of_all.get(where.band)
            if so_far is None:
                so_far = self._of_all[where.band] = np.ones(self.plan.window.shape, bool)
            so_far[where.part.rows, where.part.cols] &= hidden


def window_tiles(window: Window, level: Level) -> list[TilePart]:
    """The tiles of a level under a window."""
    return tiles_under(window, level.tile_width, level.tile_height, level.tiles_across)


def geometry_of(read: RowRead) -> shapely.Geometry | None:
    """The geometry that clips a row; None where it is not to be clipped."""
    return None if read.geometry is Whole.IMAGE or not read.options.clip else read.geometry
