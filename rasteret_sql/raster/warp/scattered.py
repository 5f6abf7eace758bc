"""Computes pixels that lie anywhere on many targets of one lattice, each as the warp of its own target has it.

Small targets take longer to begin than to compute, and each has a kernel of its own scale. So the pixels of all are
placed together, and a kernel has a scale for each pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rasteret_sql.geo.grid import Window
from rasteret_sql.geo.pixel_map import Corners, PixelMap
from rasteret_sql.raster.warp.areas import area_values
from rasteret_sql.raster.warp.cells import Spans, spans
from rasteret_sql.raster.warp.neighbourhood import Index, Mask, Numbers, Pixels, Source, cut_around
from rasteret_sql.raster.warp.output import off_nodata
from rasteret_sql.raster.warp.places import Places
from rasteret_sql.raster.warp.plan import Ints, WarpPlans
from rasteret_sql.raster.warp.points import EDGE, FULL, OF_FOUR, PointMethod, Values, divides, reach_of
from rasteret_sql.raster.warp.resampling import RADIUS
from rasteret_sql.raster.warp.warp import keep_freed_memory, warp

_AT_ONCE = 1 << 15
"""Pixels that are computed at once, by a method at points."""
_TAPS_AT_ONCE = 1 << 22
"""Source pixels that are looked at for cells at once."""
_Positions = tuple[Numbers, Numbers]
"""Source columns and rows, each of shape (n,)."""


@dataclass(frozen=True, slots=True, eq=False)
class TargetPixels:
    """Some pixels of targets; fields have shape (n,)."""

    target: Ints
    """Number of the target of each."""
    cols: Ints
    """In the pixels of the lattice."""
    rows: Ints

    def take(self, some: Index) -> TargetPixels:
        """Some of them."""
        return TargetPixels(self.target[some], self.cols[some], self.rows[some])


@dataclass(frozen=True, slots=True, eq=False)
class PixelPositions:
    """The places of pixels on the source: the same for all images of a grid."""

    first: _Positions
    """Of their centres for a method at points, else of their upper left corners."""
    last: _Positions | None
    """Of their lower right corners; None for a method at points."""


def can_scatter(plans: WarpPlans) -> Mask:
    """True for targets that meet the source, and whose pixels do not depend on how small their source is."""
    large = plans.meets
    if plans.method == "sum":  # what is added up in parts depends on these
        return np.zeros(len(large), np.bool_)
    if plans.method in RADIUS:
        reach = np.ceil(RADIUS[plans.method] / np.minimum(plans.scales, 1.0))
        large = large & (plans.moved | ((plans.sources[:, 2:] > 1) & (plans.sources[:, 2:] >= reach)).all(1))
    return large


def taps_of(plans: WarpPlans) -> Numbers:
    """About as many source pixels as a pixel of each target is computed from."""
    wide = 2.0 * RADIUS.get(plans.method, 0.5)
    found: Numbers = np.maximum(np.ceil(wide / np.minimum(plans.scales, 1.0)), 1.0).prod(1)
    return np.where(plans.moved, 1.0, found)


def place_scattered(pixel_map: PixelMap, method: str, pixels: TargetPixels) -> PixelPositions:
    """Place pixels on the source.

    Args:
        pixel_map: pixels of the lattice to source pixels.
        method: of their plans.
        pixels: near to each other: between CRSs, all of the window around them is placed.
    """
    at_points = method in RADIUS
    if pixel_map.is_affine or not len(pixels.cols):
        cols, rows = pixels.cols.astype(np.float64), pixels.rows.astype(np.float64)
        if at_points:
            return PixelPositions(pixel_map.exact(cols + 0.5, rows + 0.5), None)
        return PixelPositions(pixel_map.exact(cols, rows), pixel_map.exact(cols + 1, rows + 1))
    col, row = int(pixels.cols.min()), int(pixels.rows.min())
    around = Window(col, row, int(pixels.cols.max()) + 1 - col, int(pixels.rows.max()) + 1 - row)
    at = pixels.rows - row, pixels.cols - col
    if at_points:
        x, y = pixel_map.centres(around)(around)
        return PixelPositions((x[at], y[at]), None)
    corners: Corners = pixel_map.corners(around)(around)
    return PixelPositions((corners.first_x[at], corners.first_y[at]), (corners.last_x[at], corners.last_y[at]))


_Found = tuple[Index, Pixels]
"""Places of pixels that have a value, and their values."""
_Kind = tuple[bool, bool]
"""True for kernels that look at four pixels alone, and for those that divide by their sum in any case."""


@dataclass(frozen=True, slots=True, eq=False)
class ScatteredWarp:
    """Computes pixels of targets from one image."""

    source: Source
    """Pixels of a window of the image that has those of all plans."""
    window: Window
    plans: WarpPlans
    """Of targets that `can_scatter` allows."""
    nodata: float | None
    """As `warp` takes it."""

    def values(self, pixels: TargetPixels, positions: PixelPositions) -> tuple[Pixels, Mask]:
        """Compute pixels.

        Args:
            pixels: sorted by target.
            positions: where they lie.

        Returns:
            Pixels in the dtype of the source, and True where they have a value, each of shape (n,).
        """
        values, written = np.zeros(len(pixels.cols), self.source.data.dtype), np.zeros(len(pixels.cols), np.bool_)
        keep_freed_memory()
        with np.errstate(invalid="ignore", over="ignore"):  # of pixels that nobody has read
            if self._adds_by_rows() or not self._is_finite():
                self._one_by_one(pixels, values, written)
                return values, written
            moved = self.plans.moved[pixels.target]
            found = [self._moved(pixels, np.flatnonzero(moved))] if moved.any() else []
            rest = np.flatnonzero(~moved)
            if len(rest):
                compute = self._at_points if self.plans.method in RADIUS else self._over_areas
                found += compute(pixels.target, rest, positions)
            for at, of_some in found:
                values[at], written[at] = off_nodata(of_some, self.nodata), True
        return values, written

    def _adds_by_rows(self) -> bool:
        """True where a warp adds up rows by themselves, so that the last digits are others, and these are kept."""
        keeps = self.plans.method == "rms" or self.source.data.dtype.kind == "f"
        return self.plans.map.is_separable and self.plans.method in ("average", "rms") and keeps

    def _is_finite(self) -> bool:
        """True where all valid pixels are finite numbers: others are no number by a weight of 0, beside a cell."""
        data, valid = self.source.data, self.source.valid
        return data.dtype.kind != "f" or bool(np.isfinite(data if valid is None else data[valid]).all())

    def _one_by_one(self, pixels: TargetPixels, values: Pixels, written: Mask) -> None:
        """Warp each target by itself, and pick its pixels."""
        borders = np.searchsorted(pixels.target, np.arange(len(self.plans.targets) + 1)).tolist()
        for number, some in enumerate(map(slice, borders, borders[1:])):
            if some.start == some.stop:
                continue
            plan, valid = self.plans.one(number), self.source.valid
            at = plan.source.moved(-self.window.col_off, -self.window.row_off).slices
            found, has = warp(self.source.data[at], None if valid is None else valid[at], plan, nodata=self.nodata)
            place = pixels.rows[some] - plan.target.row_off, pixels.cols[some] - plan.target.col_off
            values[some], written[some] = found[place], has[place]

    def _moved(self, pixels: TargetPixels, some: Index) -> _Found:
        """Pixels that are those of the source, moved by whole pixels."""
        plans, of = self.plans, pixels.target[some]
        inside, under = np.ones(len(some), np.bool_), []
        for axis, (positions, numbers) in enumerate(((plans.map.columns, pixels.cols), (plans.map.rows, pixels.rows))):
            shift = np.round(positions(plans.targets[:, axis])).astype(np.int64) - plans.targets[:, axis]
            at = numbers[some] + shift[of]
            first = plans.sources[of, axis]
            inside &= (at >= first) & (at < first + plans.sources[of, 2 + axis])
            under.append(at)
        some, cols, rows = some[inside], under[0][inside] - self.window.col_off, under[1][inside] - self.window.row_off
        if self.source.valid is not None:
            has = self.source.valid[rows, cols]
            some, cols, rows = some[has], cols[has], rows[has]
        return some, self.source.data[rows, cols]

    def _at_points(self, target: Ints, some: Index, positions: PixelPositions) -> list[_Found]:
        """Compute some pixels by a method at points."""
        x, y = positions.first
        found = []
        for kind, members in self._kinds(np.unique(target[some])).items():
            of_kind = np.zeros(len(self.plans.targets), np.bool_)
            of_kind[members] = True
            chosen = some[of_kind[target[some]]]
            for begin in range(0, len(chosen), _AT_ONCE):
                part = chosen[begin : begin + _AT_ONCE]
                one = self._of_kind(target[part], (x[part], y[part]), kind)
                if one is not None:
                    found.append((part[one[0]], one[1]))
        return found

    def _kinds(self, members: Ints) -> dict[_Kind, Ints]:
        """Sort targets by what their kernels do."""
        four = (self.plans.scales[members].min(1) >= FULL) & (self.plans.method in OF_FOUR)
        divide = np.full(len(members), divides(self.plans.method, self.source.data.dtype, self.nodata))
        if self.source.valid is not None and divide.any():
            divide = np.array([self._is_valid(Window(*at)) for at in self.plans.sources[members].tolist()])
        chosen = {
            kind: members[(four == kind[0]) & (divide == kind[1])]
            for kind in ((one, other) for one in (False, True) for other in (False, True))
        }
        return {kind: some for kind, some in chosen.items() if len(some)}

    def _is_valid(self, source: Window) -> bool:
        """True where all pixels of a source are valid."""
        assert self.source.valid is not None
        return bool(self.source.valid[source.moved(-self.window.col_off, -self.window.row_off).slices].all())

    def _of_kind(self, target: Ints, positions: _Positions, kind: _Kind) -> _Found | None:
        """Those of some pixels whose kernels do the same that get values, and these; None where none does."""
        own, source = self.plans.sources[target], self.source
        inside, under, centres = np.ones(len(target), np.bool_), [], []
        for axis, (position, offset) in enumerate(
            zip(positions, (self.window.col_off, self.window.row_off), strict=True)
        ):
            # From the first pixel of the target's own source, as its warp has it.
            at = position - own[:, axis]
            inside &= (at >= 0) & (at + EDGE <= own[:, 2 + axis])
            centres.append(np.where(inside, at, 0.0))
            pixel = np.minimum((centres[axis] + EDGE).astype(np.intp), own[:, 2 + axis] - 1)
            under.append(pixel + own[:, axis] - offset)
        if source.valid is not None:
            inside &= source.valid[under[1], under[0]]
        found = np.flatnonzero(inside)
        if not len(found):
            return None
        if self.plans.method == "nearest":
            return found, source.data[under[1][found], under[0][found]]
        method = _ManyScales(self.plans.method, source, self.plans.scales[target[found]], kind)
        offsets = own[found, :2] - (self.window.col_off, self.window.row_off)
        values = method.values(method.placed((centres[0][found], centres[1][found]), offsets))
        return (found, values.pixels) if values.has is None else (found[values.has], values.pixels[values.has])

    def _over_areas(self, target: Ints, some: Index, positions: PixelPositions) -> list[_Found]:
        """Compute some pixels by a method over areas."""
        assert positions.last is not None
        at_once = max(_TAPS_AT_ONCE // (int(taps_of(self.plans).max()) + 1), 1)
        found = []
        for begin in range(0, len(some), at_once):
            part = some[begin : begin + at_once]
            own = self.plans.sources[target[part]]
            cells: list[Spans] = []
            for axis, offset in enumerate((self.window.col_off, self.window.row_off)):
                first, last = (side[axis][part] - own[:, axis] for side in (positions.first, positions.last))
                cells.append(spans(first, last, own[:, 2 + axis]).moved(own[:, axis] - offset))
            values = area_values(self.plans.method, self.source, *cells)
            at = part if values.found is None else part[values.found]
            found.append((at, values.pixels) if values.has is None else (at[values.has], values.pixels[values.has]))
        return found


class _ManyScales(PointMethod):
    """A method at points whose scale each pixel has for itself.

    Args:
        method: one with a kernel.
        source: the pixels.
        scales: of each pixel, shape (n, 2).
        kind: what the kernels do.
    """

    def __init__(self, method: str, source: Source, scales: Numbers, kind: _Kind) -> None:
        lowest = float(min(scales[:, 0].min(), 1.0)), float(min(scales[:, 1].min(), 1.0))
        super().__init__(method, source, lowest, normalizes=kind[1])
        self.name = method
        self.four = kind[0]
        self.reach = reach_of(method, lowest)
        if not self.four and (scales != scales[0]).any():
            self._wider = None
            self.scale = np.minimum(scales[:, 0], 1.0), np.minimum(scales[:, 1], 1.0)

    def placed(self, centres: _Positions, offsets: Ints) -> Places:
        """Places of pixels that are on valid ones.

        Args:
            centres: from the first pixel of the source of their own targets.
            offsets: of these in the whole source, shape (n, 2).
        """
        xs, ys = centres[0] - 0.5, centres[1] - 0.5
        cols, rows = np.floor(xs), np.floor(ys)
        at = cols.astype(np.intp) + offsets[:, 0], rows.astype(np.intp) + offsets[:, 1]
        near, line = cut_around(at, *self._around())
        return Places(None, None, near, line, xs - cols, ys - rows)

    def values(self, places: Places) -> Values:
        """Values of pixels, all of which are on valid ones."""
        return self.of_kernel(places, None)
