"""Computes the derived bands of a window from windows of their inputs, which may lie on other grids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rasteret_sql.engine.job import TileNeed
from rasteret_sql.expr.pixel_chunk import Pixels
from rasteret_sql.expr.pixels import Computation
from rasteret_sql.expr.tree import Node
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.geo.pixel_map import pixel_map
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.raster.dilate import dilate
from rasteret_sql.raster.warp.plan import WarpPlan, plan_warp
from rasteret_sql.raster.warp.warp import warp
from rasteret_sql.raster.window import whole
from rasteret_sql.reading.class_bands import is_of_classes
from rasteret_sql.reading.derived_band import DerivedBand
from rasteret_sql.reading.input_level import level_of_input
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.reading.window_plan import Edges, WindowPlan, fill_value, overlap

_Key = tuple[int, int, str]
"""Identity of an input, the pixels around the window that are read of it, and how they are resampled: empty on the
grid of the window."""


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
    warp: WarpPlan | None
    """Brings its pixels onto those of the window with what is around; None: they are the same."""
    shape: tuple[int, int]
    """Of the window with what is around."""

    def own_pixels(self) -> Pixels:
        """Pixels on the grid of the input, and where they are valid."""
        assert self.job is not None
        return self.job.pixels()[0], None if self.job.invalid is None else ~self.job.invalid[0]

    def pixels(self, source: BandSource) -> Pixels:
        """Pixels on the grid of the window, and where they are valid."""
        if self.job is None:
            return np.zeros(self.shape, source.header.dtype), np.zeros(self.shape, bool)
        values, valid = self.own_pixels()
        if self.warp is None:
            return values, valid
        # Nearest makes no values, so none has to be moved off nodata.
        nodata = None if self.warp.method == "nearest" else source.header.nodata
        warped, written = warp(values, valid, self.warp, nodata=nodata, fill=0)
        return warped, None if written.all() else written


class DerivedWindow:
    """The derived bands of a window.

    Args:
        plan: the window; some of its sources are derived.
        make_job: makes the job that reads a window of an input.
    """

    def __init__(self, plan: WindowPlan, make_job: MakeJob) -> None:
        self._plan = plan
        self._make_job = make_job
        first = plan.sources[0].header.levels[plan.level]
        self._grid = plan.grid, first.width, first.height
        """Transform, width and height of the image that the window is of."""
        self._inputs: dict[_Key, _Input] = {}
        self._jobs: list[tuple[int, InputJob]] = []
        """First slot of each job that reads an input, and the job."""
        self._masks: dict[tuple[Node, int, tuple[int, ...]], npt.NDArray[np.bool_]] = {}

    def needs(self, first: int) -> Iterator[TileNeed]:
        """The tiles of all inputs; their slots are counted from `first`."""
        self._inputs.clear()
        self._jobs.clear()
        for source in self._plan.sources:
            if not isinstance(source, DerivedBand):
                continue
            for one, margin, of_mask in _inputs_of(source):
                key = self._key(one, margin, of_mask=of_mask)
                if key in self._inputs:
                    continue
                made = self._inputs[key] = self._input(one, margin, key[-1])
                if made.job is None:
                    continue
                self._jobs.append((first, made.job))
                for need in made.job.needs():
                    yield need.at(first + need.slot)
                first += made.job.slots

    def place(self, slot: int, tile: np.ndarray | None) -> None:
        """Take a tile."""
        first, job = next(one for one in reversed(self._jobs) if one[0] <= slot)
        job.place(slot - first, tile)

    def _key(self, source: BandSource, margin: int, *, of_mask: bool) -> _Key:
        """Tells reads of inputs apart; a value and a mask that want the same share one."""
        if self._grid_of(source)[1:] == self._grid:
            return id(source), margin, ""
        return id(source), margin, resampling(source, self._plan.read.options, of_mask=of_mask)

    def _grid_of(self, source: BandSource) -> tuple[int, Affine | None, int, int]:
        """The level that is read of an input, its transform, width and height."""
        level = level_of_input(source, self._plan.sources[0].header, self._plan.level)
        own = source.header.levels[level]
        return level, source.header.level_transform(level), own.width, own.height

    def _input(self, source: BandSource, margin: int, method: str) -> _Input:
        """The part of an input for the window and so many pixels around it."""
        plan, header = self._plan, source.header
        window = _grown(plan.window, margin, *self._grid[1:])
        level, transform, width, height = self._grid_of(source)
        onto: WarpPlan | None = None
        inner: Window | None = window
        if method:
            assert transform is not None and plan.grid is not None  # noqa: PT018 - derive() refuses others
            onto = plan_warp(
                pixel_map(plan.grid, header.crs, transform, header.crs, (width, height)),
                window,
                (width, height),
                method,
            )
            inner = None if onto is None else onto.source
        if inner is None:
            return _Input(None, None, window.shape)
        options = replace(plan.read.options, overview=level)
        read = replace(plan.read, sources=(source,), options=options)
        edges = _widened(plan.edges, margin, 0 if onto is None else max(onto.reach))
        sub = replace(plan, read=read, window=inner, grid=transform, dtype=header.dtype, edges=edges)
        # What is resampled needs pixels beside those that the geometry touches.
        with_area = margin == 0 and (onto is None or onto.reach == (0, 0))
        return _Input(self._make_job(sub, with_area=with_area), onto, window.shape)

    def fill(
        self, data: npt.NDArray[np.generic], invalid: npt.NDArray[np.bool_] | None
    ) -> npt.NDArray[np.bool_] | None:
        """Compute the derived bands.

        Args:
            data: (bands, height, width) of the window, gets their pixels.
            invalid: of the other bands; None while all are valid.

        Returns:
            The same for all bands: True where a pixel is not valid; None while all are.
        """
        for _, job in self._jobs:
            job.finish()
        for band, source in enumerate(self._plan.sources):
            if not isinstance(source, DerivedBand):
                continue
            fill = fill_value(self._plan.read, source.header.nodata)
            computation = source.computation()
            values, valid = computation.compute(self._pixels(source, computation, 0, of_mask=False))
            data[band] = values
            if valid is not None and not computation.is_band:
                data[band][~valid] = fill
            if source.mask is not None:
                masked = self._mask(source)
                if source.fill is not None:
                    np.copyto(data[band], source.fill, casting="unsafe", where=masked)
                elif masked.any():
                    np.copyto(data[band], fill, casting="unsafe", where=masked)
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
        return {one.band: self._inputs[self._key(one, margin, of_mask=of_mask)].pixels(one) for one in inputs}

    def _mask(self, source: DerivedBand) -> npt.NDArray[np.bool_]:
        """The mask of a band; bands of the same one share it."""
        assert source.mask is not None
        # By the condition itself: each band has an object of its own for it.
        key = source.mask.node, source.dilate, tuple(id(source.input(name)) for name in source.mask.bands)
        if key not in self._masks:
            masked = self._true(source, source.mask)
            if source.dilate:
                plan = self._plan
                around = _grown(plan.window, source.dilate, *self._grid[1:])
                row, col = plan.window.row_off - around.row_off, plan.window.col_off - around.col_off
                masked = dilate(masked, source.dilate)[row : row + plan.window.height, col : col + plan.window.width]
            self._masks[key] = masked
        return self._masks[key]

    def _true(self, source: DerivedBand, condition: Computation) -> npt.NDArray[np.bool_]:
        """True where a mask's condition is true, in the window with what is around.

        Nearest chooses pixels: where all bands lie on one grid, the condition is computed there, of fewer pixels as a
        rule, and what it gives is chosen.
        """
        sources = [source.input(name) for name in condition.bands]
        inputs = [self._inputs[self._key(one, source.dilate, of_mask=True)] for one in sources]
        onto = inputs[0].warp
        if onto is None or any(one.warp is not onto for one in inputs):
            return condition.true(self._pixels(source, condition, source.dilate, of_mask=True))
        found = condition.true({one.band: given.own_pixels() for one, given in zip(sources, inputs, strict=True)})
        nothing = {one.band: (np.zeros(1, one.header.dtype), np.zeros(1, bool)) for one in sources}
        warped, _ = warp(found.view(np.uint8), None, onto, fill=int(condition.true(nothing)[0]))
        return warped.view(bool)

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


def _widened(edges: Edges | None, margin: int, reach: int) -> Edges | None:
    """The edges of a window that is read with so many pixels around it, and as many more as are under a kernel.

    Twice, since the window of a neighbour grows as much. On a coarser grid they are fewer pixels, which is no matter.
    """
    if edges is None:
        return None
    more = 2 * margin + (overlap(reach) if reach else 0)
    left, top, right, bottom = (one if one < 0 else one + more for one in edges)
    return left, top, right, bottom


def _grown(window: Window, margin: int, width: int, height: int) -> Window:
    if not margin:
        return window
    grown = Window(
        window.col_off - margin, window.row_off - margin, window.width + 2 * margin, window.height + 2 * margin
    ).intersection(whole(width, height))
    assert grown is not None
    return grown
