"""Computes the derived bands of a window from windows of their inputs, which may lie on other grids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rasteret_sql.engine.job import TileNeed
from rasteret_sql.expr.pixels import Computation, Pixels
from rasteret_sql.geo.grid import Window
from rasteret_sql.geo.pixel_map import PixelMap
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.raster.dilate import dilate
from rasteret_sql.raster.grid_nearest import Under, pixels_under
from rasteret_sql.raster.warp.plan import WarpPlan, plan_warp
from rasteret_sql.raster.warp.warp import warp
from rasteret_sql.raster.window import whole
from rasteret_sql.reading.class_bands import is_of_classes
from rasteret_sql.reading.derived_band import DerivedBand
from rasteret_sql.reading.input_level import level_of_input
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.reading.window_plan import WindowPlan

_Key = tuple[int, int, bool]
"""Identity of an input, the pixels around the window that are read of it, and whether it is of a mask."""


class InputJob(Protocol):
    """The job that reads a window of one input."""

    plan: WindowPlan
    invalid: npt.NDArray[np.bool_] | None
    slots: int

    def needs(self) -> Iterable[TileNeed]:
        """The tiles; afterwards `slots` says how many."""

    def place(self, slot: int, tile: np.ndarray | None) -> None:
        """Take a tile."""

    def finish(self) -> None:
        """Settle which pixels are valid."""

    def pixels(self) -> np.ndarray:
        """Shape (1, height, width)."""


class MakeJob(Protocol):
    """Makes the job that reads a window of an input."""

    def __call__(self, plan: WindowPlan, *, with_area: bool) -> InputJob:
        """`with_area` False: all of the window counts, not only what the geometry of the read touches."""


@dataclass(frozen=True, slots=True, eq=False)
class _Input:
    """A band that is read for others."""

    job: InputJob | None
    """Reads it; None where the window lies beyond it."""
    under: Under | WarpPlan | None
    """Its pixels under those of the window with what is around, or how they are resampled; None: they are the same."""
    shape: tuple[int, int]
    """Of the window with what is around."""

    def pixels(self, source: BandSource) -> Pixels:
        """Pixels on the grid of the window, and where they are valid."""
        if self.job is None:
            return np.zeros(self.shape, source.header.dtype), np.zeros(self.shape, bool)
        values = self.job.pixels()[0]
        valid = None if self.job.invalid is None else ~self.job.invalid[0]
        if self.under is None:
            return values, valid
        if isinstance(self.under, WarpPlan):
            warped, written = warp(values, valid, self.under, nodata=source.header.nodata, fill=0)
            return warped, None if written.all() else written
        window = self.job.plan.window
        inside = (self.under.rows >= 0) & (self.under.cols >= 0)
        rows = np.clip(self.under.rows - window.row_off, 0, window.height - 1)
        cols = np.clip(self.under.cols - window.col_off, 0, window.width - 1)
        there = None if inside.all() else np.broadcast_to(inside, self.shape)
        if valid is not None:
            there = valid[rows, cols] if there is None else there & valid[rows, cols]
        return values[rows, cols], there


class DerivedWindow:
    """The derived bands of a window.

    Args:
        plan: the window; some of its sources are derived.
        make_job: makes the job that reads a window of an input.
    """

    def __init__(self, plan: WindowPlan, make_job: MakeJob) -> None:
        self._plan = plan
        self._make_job = make_job
        self._inputs: dict[_Key, _Input] = {}
        self._jobs: list[tuple[int, InputJob]] = []
        """First slot of each job that reads an input, and the job."""
        self._masks: dict[tuple[int, ...], npt.NDArray[np.bool_]] = {}

    def needs(self, first: int) -> Iterator[TileNeed]:
        """The tiles of all inputs; their slots are counted from `first`."""
        self._inputs.clear()
        self._jobs.clear()
        for source in self._plan.sources:
            if not isinstance(source, DerivedBand):
                continue
            for one, margin, of_mask in _inputs_of(source):
                key = id(one), margin, of_mask
                if key in self._inputs:
                    continue
                made = self._inputs[key] = self._input(one, margin, of_mask=of_mask)
                if made.job is None:
                    continue
                self._jobs.append((first, made.job))
                for need in made.job.needs():
                    yield replace(need, slot=first + need.slot)
                first += made.job.slots

    def place(self, slot: int, tile: np.ndarray | None) -> None:
        """Take a tile."""
        first, job = next(one for one in reversed(self._jobs) if one[0] <= slot)
        job.place(slot - first, tile)

    def _input(self, source: BandSource, margin: int, *, of_mask: bool) -> _Input:
        """The part of an input for the window and so many pixels around it."""
        plan = self._plan
        first = plan.sources[0].header.levels[plan.level]
        window = _grown(plan.window, margin, first.width, first.height)
        level = level_of_input(source, plan.sources[0].header, plan.level)
        header = source.header
        transform = header.level_transform(level)
        own = header.levels[level]
        under: Under | WarpPlan | None = None
        inner: Window | None = window
        if (transform, own.width, own.height) != (plan.grid, first.width, first.height):
            assert transform is not None and plan.grid is not None  # noqa: PT018 - derive() refuses others
            method = resampling(source, plan.read.options, of_mask=of_mask)
            if method == "nearest":
                under = pixels_under(plan.grid, window, transform, own.width, own.height)
                inner = under.window
            else:
                size = own.width, own.height
                under = plan_warp(PixelMap(plan.grid, header.crs, transform, header.crs, size), window, size, method)
                inner = None if under is None else under.source
        if inner is None:
            return _Input(None, None, window.shape)
        options = replace(plan.read.options, overview=level)
        read = replace(plan.read, sources=(source,), options=options)
        sub = replace(plan, read=read, window=inner, grid=transform, dtype=header.dtype)
        # What is resampled needs pixels beside those that the geometry touches.
        with_area = margin == 0 and not isinstance(under, WarpPlan)
        return _Input(self._make_job(sub, with_area=with_area), under, window.shape)

    def fill(
        self, data: npt.NDArray[np.generic], invalid: npt.NDArray[np.bool_] | None, fill: float | None
    ) -> npt.NDArray[np.bool_] | None:
        """Compute the derived bands.

        Args:
            data: (bands, height, width) of the window, gets their pixels.
            invalid: of the other bands; None while all are valid.
            fill: value of pixels without one; None: nodata, else 0.

        Returns:
            The same for all bands: True where a pixel is not valid; None while all are.
        """
        for _, job in self._jobs:
            job.finish()
        for band, source in enumerate(self._plan.sources):
            if not isinstance(source, DerivedBand):
                continue
            values, valid = source.computation().compute(self._pixels(source, source.computation(), 0, of_mask=False))
            data[band] = values
            if valid is not None and not source.computation().is_band:
                data[band][~valid] = _filled(source, fill)
            if source.mask is not None:
                masked = self._mask(source)
                if masked.any():
                    data[band][masked] = _filled(source, fill)
                    valid = ~masked if valid is None else valid & ~masked
            if valid is not None and not valid.all():
                if invalid is None:
                    invalid = np.zeros(data.shape, bool)
                invalid[band] |= ~valid
        self._inputs.clear()
        self._masks.clear()
        return invalid

    def _pixels(
        self, source: DerivedBand, computation: Computation, margin: int, *, of_mask: bool
    ) -> dict[str, Pixels]:
        inputs = [source.input(name) for name in computation.bands]
        return {one.band: self._inputs[id(one), margin, of_mask].pixels(one) for one in inputs}

    def _mask(self, source: DerivedBand) -> npt.NDArray[np.bool_]:
        """The mask of a band; bands of the same one share it."""
        assert source.mask is not None
        key = (id(source.mask.node), source.dilate, *(id(source.input(name)) for name in source.mask.bands))
        if key not in self._masks:
            masked = source.mask.true(self._pixels(source, source.mask, source.dilate, of_mask=True))
            if source.dilate:
                plan = self._plan
                first = plan.sources[0].header.levels[plan.level]
                around = _grown(plan.window, source.dilate, first.width, first.height)
                row, col = plan.window.row_off - around.row_off, plan.window.col_off - around.col_off
                masked = dilate(masked, source.dilate)[row : row + plan.window.height, col : col + plan.window.width]
            self._masks[key] = masked
        return self._masks[key]

    @property
    def nbytes(self) -> int:
        """Bytes of the inputs, about."""
        pixels = self._plan.window.width * self._plan.window.height
        inputs = {
            id(one): one.header.dtype.itemsize
            for source in self._plan.sources
            if isinstance(source, DerivedBand)
            for one in source.inputs
        }
        return pixels * sum(inputs.values())


def _inputs_of(source: DerivedBand) -> Iterable[tuple[BandSource, int, bool]]:
    """The inputs of a band, the pixels around a window that are read of each, and whether it is of the mask."""
    for name in source.computation().bands:
        yield source.input(name), 0, False
    if source.mask is not None:
        for name in source.mask.bands:
            yield source.input(name), source.dilate, True


def resampling(source: BandSource, options: PixelOptions, *, of_mask: bool) -> str:
    """Says how an input of another grid is brought to that of the band: masks and classes by nearest alone."""
    if of_mask or is_of_classes(source):
        return "nearest"
    return options.resampling or "bilinear"


def _grown(window: Window, margin: int, width: int, height: int) -> Window:
    if not margin:
        return window
    grown = Window(
        window.col_off - margin, window.row_off - margin, window.width + 2 * margin, window.height + 2 * margin
    ).intersection(whole(width, height))
    assert grown is not None
    return grown


def _filled(source: DerivedBand, fill: float | None) -> float:
    if fill is not None:
        return fill
    nodata = source.header.nodata
    return 0 if nodata is None else nodata
