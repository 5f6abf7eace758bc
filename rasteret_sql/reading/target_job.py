"""`TargetJob`: reads the source pixels of each band of a target as tiles arrive, and warps them onto it."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np

from rasteret_sql.engine.job import Job, TileNeed
from rasteret_sql.raster.warp.places import share_places
from rasteret_sql.raster.warp.warp import warp
from rasteret_sql.reading.target_plan import BandWarp, TargetPlan
from rasteret_sql.reading.window_job import WindowJob
from rasteret_sql.reading.window_plan import fill_value

_SMALL = 1 << 20
"""Pixels of a target that one thread warps."""
_MOST_THREADS = 8


class TargetJob(Job):
    """Fills `data` (bands, height, width) of a target.

    Args:
        plan: what to read.
        data: where its pixels go; None: an array that is made when they are computed.
    """

    def __init__(self, plan: TargetPlan, data: np.ndarray | None) -> None:
        self.plan = plan
        self.data = data
        self.invalid: np.ndarray | None = None
        """(bands, height, width), True where a pixel is not valid; None while all are. Whole after the last tile."""
        self._bands = [None if each is None else WindowJob(each.window) for each in plan.warps]
        self.memory = sum(job.memory for job in self._bands if job is not None) + (plan.nbytes if data is None else 0)
        self._slots: list[tuple[WindowJob, int]] = []
        self._shared = [None if each is None else share_places(each.warp) for each in plan.warps]

    def needs(self) -> Iterable[TileNeed]:
        for job in self._bands:
            for need in () if job is None else job.needs():
                assert job is not None
                yield need.at(len(self._slots))
                self._slots.append((job, need.slot))

    def place(self, slot: int, tile: np.ndarray | None) -> None:
        job, its_slot = self._slots[slot]
        job.place(its_slot, tile)

    def describe(self) -> str:
        return self.plan.read.describe()

    def pixels(self) -> np.ndarray:
        """The array of the target."""
        if self.data is None:
            self.data = np.empty(self.plan.shape, self.plan.dtype)
        return self.data

    def finish(self) -> None:
        """Warp each band, and free what it was read from."""
        for band, (job, each) in enumerate(zip(self._bands, self.plan.warps, strict=True)):
            if job is not None and each is not None:
                job.finish()
            written = self._warp(band, job, each)
            if not written.all():
                if self.invalid is None:
                    self.invalid = np.zeros(self.plan.shape, bool)
                self.invalid[band] = ~written
            self._bands[band] = self._shared[band] = None
        self._slots.clear()
        self.reduce()

    def reduce(self) -> None:
        """Nothing more: the pixels are what is wanted."""

    def _warp(self, band: int, job: WindowJob | None, each: BandWarp | None) -> np.ndarray:
        """Fill a band; True where it has a value."""
        nodata = self.plan.sources[band].header.nodata
        fill = fill_value(self.plan.read, nodata)
        if job is None or each is None:
            self.pixels()[band] = fill
            return np.zeros(self.plan.shape[1:], bool)
        valid = None if job.invalid is None else ~job.invalid[0]
        self.pixels()[band], written = warp(
            job.pixels()[0],
            valid,
            each.warp,
            nodata=nodata,
            fill=fill,
            threads=_threads(self.plan),
            shared=self._shared[band],
        )
        return written


def _threads(plan: TargetPlan) -> int:
    """Threads that share the pixels of a target: a small one has a thread of the engine, as other jobs do."""
    return min(_MOST_THREADS, os.cpu_count() or 1) if plan.window.width * plan.window.height > _SMALL else 1
