"""Fills one window of one or more bands as tiles arrive, and knows which of its pixels are valid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import shapely

from rasteret_sql.engine.job import TileNeed
from rasteret_sql.geo.grid import Window
from rasteret_sql.reading.array_job import ArrayJob
from rasteret_sql.reading.derived_band import DerivedBand
from rasteret_sql.reading.derived_window import DerivedWindow
from rasteret_sql.reading.tiles import TilePart, tiles_under, touched_parts
from rasteret_sql.reading.window_plan import WindowPlan, geometry_of
from rasteret_sql.tiff.header import Level
from rasteret_sql.tiff.tiles import TiffTiles
from rasteret_sql.tiff.validity import Kind, Look, layers


@dataclass(frozen=True, slots=True)
class _Slot:
    band: int
    part: TilePart
    looks: tuple[Look, ...]


class WindowJob(ArrayJob[WindowPlan]):
    """Fills `data` (bands, height, width) from tiles and keeps track of what is valid.

    Args:
        plan: what to read.
        data: where pixels go, made by `begin` when it is None: jobs that keep no pixels allocate late and free early.
    """

    def __init__(self, plan: WindowPlan, data: np.ndarray | None = None) -> None:
        super().__init__(plan, data)
        self.memory = 0 if data is not None else plan.nbytes
        self.slots = 0
        """Tiles that it waits for."""
        self._derived: DerivedWindow | None = None
        if any(isinstance(source, DerivedBand) for source in plan.sources):
            self._derived = DerivedWindow(plan, self._input_job)
            self.memory += self._derived.nbytes
        self._slots: list[_Slot] = []
        self._of_all: dict[int, np.ndarray] = {}
        """For each band whose file has NODATA_VALUES: (height, width), True where all looks so far hide the pixel."""
        self._same_file: dict[int, list[int]] = {}
        """Such a band → all bands of its file, to which what it finds applies."""

    def _input_job(self, plan: WindowPlan, *, with_area: bool) -> WindowJob:
        """The job that reads an input of derived bands; `with_area` False: all of its window counts."""
        return WindowJob(plan) if with_area and self.area() is not None else _AllOfWindow(plan)

    def area(self) -> shapely.Geometry | None:
        """The geometry outside of which no pixel counts, in the image's CRS; None where all of the window do."""
        return geometry_of(self.plan.read)

    def parts(self, level: Level) -> list[TilePart]:
        """The tiles of a level that count, without those that hold no pixel of the area."""
        parts, area = window_tiles(self.plan.window, level), self.area()
        if area is None or self.plan.grid is None:
            return parts
        return touched_parts(parts, area, self.plan.grid, self.plan.window)

    def needs(self) -> Iterable[TileNeed]:
        shared: dict[str, int] = {}
        touched: dict[tuple[int, int, int], list[TilePart]] = {}  # bands and masks mostly have the same tiles
        self._slots.clear()
        for band, source in enumerate(self.plan.sources):
            if isinstance(source, DerivedBand):
                continue
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
                tiles = TiffTiles(layer.level)
                tiling = layer.level.tile_width, layer.level.tile_height, layer.level.tiles_across
                if tiling not in touched:
                    touched[tiling] = self.parts(layer.level)
                for part in touched[tiling]:
                    once = self._is_inside(part, layer.level)
                    yield TileNeed(address, tiles, part.tile, len(self._slots), facts, source.backend, once)
                    self._slots.append(_Slot(band, part, looks))
        self.slots = len(self._slots)
        if self._derived is not None:
            for need in self._derived.needs(len(self._slots)):
                self.slots = need.slot + 1
                yield need

    def _is_inside(self, part: TilePart, level: Level) -> bool:
        """True for a tile away from the borders of the window, beyond which other windows need it."""
        if self.plan.edges is None:
            return False
        left, top, right, bottom = self.plan.edges
        window = self.plan.window
        across = part.cols, part.tile_cols, left, right, window.width, window.col_end == level.width, level.tile_width
        down = part.rows, part.tile_rows, top, bottom, window.height, window.row_end == level.height, level.tile_height
        return all(
            (before < 0 or (own.start >= before and of_tile.start == 0))
            and (after < 0 or (own.stop <= length - after and (is_end or of_tile.stop == side)))
            for own, of_tile, before, after, length, is_end, side in (across, down)
        )

    def place(self, slot: int, tile: np.ndarray | None) -> None:
        if self._derived is not None and slot >= len(self._slots):
            self._derived.place(slot, tile)
            return
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
        if self._derived is not None:
            self.invalid = self._derived.fill(self.pixels(), self.invalid)
            # It knows this job: the pixels of both would stay until Python looks for such circles.
            self._derived = None
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


class _AllOfWindow(WindowJob):
    """Reads the whole window, whatever the geometry: a mask grows from pixels beside it."""

    def area(self) -> None:
        """All of the window counts."""


def window_tiles(window: Window, level: Level) -> list[TilePart]:
    """The tiles of a level under a window."""
    return tiles_under(window, level.tile_width, level.tile_height, level.tiles_across)
