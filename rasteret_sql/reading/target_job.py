"""`TargetJob`: reads the source pixels of each band of a target as tiles arrive, and warps them onto it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from rasteret_sql.engine.job import TileNeed
from rasteret_sql.geo.grid import Window
from rasteret_sql.raster.warp.output import off_nodata
from rasteret_sql.raster.warp.places import share_places
from rasteret_sql.raster.warp.warp import moved_part, places_ahead, warp
from rasteret_sql.reading.array_job import ArrayJob
from rasteret_sql.reading.target_plan import BandWarp, TargetPlan
from rasteret_sql.reading.window_job import WindowJob
from rasteret_sql.reading.window_plan import WindowPlan, fill_value

_SMALL = 1 << 20
"""Pixels of a target that one thread warps."""
_MOST_THREADS = 8


class TargetJob(ArrayJob[TargetPlan]):
    """Fills `data` (bands, height, width) of a target.

    Args:
        plan: what to read.
        data: where its pixels go; None: an array that is made when they are computed.
    """

    def __init__(self, plan: TargetPlan, data: np.ndarray | None) -> None:
        super().__init__(plan, data)
        self._bands = [None if each is None else self._source(band, each) for band, each in enumerate(plan.warps)]
        self.memory = sum(job.memory for job in self._bands if job is not None) + (plan.nbytes if data is None else 0)
        self._slots: list[tuple[WindowJob, int]] = []
        self._shared = [None if each is None else share_places(each.warp) for each in plan.warps]

    def _source(self, band: int, each: BandWarp) -> WindowJob:
        """The job that reads the source of a band: onto the target itself where pixels are only moved."""
        part = None
        if each.window.dtype == self.plan.dtype and _columns(each) is None:
            part = moved_part(each.warp)
        if part is None:
            return WindowJob(each.window)
        at = slice(band, band + 1), *part.slices
        return _Moved(each.window, part, lambda: self.pixels()[at])

    def needs(self) -> Iterable[TileNeed]:
        for job in self._bands:
            for need in () if job is None else job.needs():
                assert job is not None
                yield need.at(len(self._slots))
                self._slots.append((job, need.slot))

    def ahead(self) -> Sequence[Callable[[], object]]:
        """Find where the pixels lie, once for all that share a plan."""
        return [
            work
            for shared, each in zip(self._shared, self.plan.warps, strict=True)
            if shared is not None and each is not None and shared.claim()
            for work in places_ahead(each.warp, shared)
        ]

    def place(self, slot: int, tile: np.ndarray | None) -> None:
        job, its_slot = self._slots[slot]
        job.place(its_slot, tile)

    def finish(self) -> None:
        """Warp each band, and free what it was read from."""
        for band, (job, each) in enumerate(zip(self._bands, self.plan.warps, strict=True)):
            if job is not None:
                job.finish()
            invalid = self._settle(band, job) if isinstance(job, _Moved) else self._warp(band, job, each)
            if invalid is not None:
                if self.invalid is None:
                    self.invalid = np.zeros(self.plan.shape, bool)
                self.invalid[band] = invalid
            self._bands[band] = self._shared[band] = None
        self._slots.clear()
        self.reduce()

    def reduce(self) -> None:
        """Nothing more: the pixels are what is wanted."""

    def _settle(self, band: int, job: _Moved) -> np.ndarray | None:
        """Finish a band whose pixels are there; True where it has none, None where all are valid."""
        nodata = self.plan.sources[band].header.nodata
        found = job.pixels()[0]
        off_nodata(found, nodata)
        if found.shape == self.plan.shape[1:]:
            invalid = None if job.invalid is None else job.invalid[0]
        else:
            invalid = np.ones(self.plan.shape[1:], bool)
            invalid[job.part.slices] = False if job.invalid is None else job.invalid[0]
        if invalid is not None:
            self.pixels()[band][invalid] = fill_value(self.plan.read, nodata)
        return invalid

    def _warp(self, band: int, job: WindowJob | None, each: BandWarp | None) -> np.ndarray | None:
        """Fill a band; True where it has no value, None where all are valid."""
        nodata = self.plan.sources[band].header.nodata
        fill = fill_value(self.plan.read, nodata)
        if job is None or each is None:
            self.pixels()[band] = fill
            return np.ones(self.plan.shape[1:], bool)
        target, columns = self.pixels()[band], _columns(each)
        pixels, invalid = job.pixels()[0], None if job.invalid is None else job.invalid[0]
        if columns is not None:
            pixels, invalid = pixels[:, columns], None if invalid is None else invalid[:, columns]
        found, written = warp(
            pixels,
            None if invalid is None else ~invalid,
            each.warp,
            nodata=nodata,
            fill=fill,
            threads=_threads(self.plan),
            shared=self._shared[band],
            out=target if each.window.dtype == target.dtype else None,
        )
        if found is not target:
            target[...] = found
        return None if written.all() else ~written


class _Moved(WindowJob):
    """Reads pixels that are those of a target, into their part of it.

    Args:
        plan: what to read.
        part: of the target, numbered from its first pixel.
        onto: gives the array of this part, (1, height, width).
    """

    def __init__(self, plan: WindowPlan, part: Window, onto: Callable[[], np.ndarray]) -> None:
        super().__init__(plan)
        self.memory -= plan.nbytes
        self.part = part
        self._onto = onto

    def pixels(self) -> np.ndarray:
        """The part of the target."""
        return self._onto()


def _columns(each: BandWarp) -> np.ndarray | None:
    """The columns of the window read that are those of the warp's source; None where it has just these, in order."""
    source, read = each.warp.source, each.window
    width = read.sources[0].header.levels[read.level].width
    if (source.col_off + each.warp.map.rolled) % width == read.window.col_off and source.width == read.window.width:
        return None
    # The window has all columns around the globe.
    columns: np.ndarray = (np.arange(source.col_off, source.col_end) + each.warp.map.rolled) % width
    return columns


def _threads(plan: TargetPlan) -> int:
    """Threads that share the pixels of a target: a small one has a thread of the engine, as other jobs do."""
    return min(_MOST_THREADS, os.cpu_count() or 1) if plan.window.width * plan.window.height > _SMALL else 1
