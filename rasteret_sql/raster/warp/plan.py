"""`WarpPlan`: tells which source pixels a target needs, and the scale of the kernel, once for the whole target."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rasteret_sql.geo.grid import Window
from rasteret_sql.geo.pixel_map import PixelMap, Positions
from rasteret_sql.raster.expand import expand
from rasteret_sql.raster.warp.resampling import RADIUS

_SAMPLES = 21
"""Points on each edge of the target whose extremes give the scale, as in GDAL."""
_DENSE = 64
"""Points inside the target, an axis, that tell which source pixels it may need besides."""
_AT_ONCE = 1 << 20
"""Such points that are placed together, about."""
_WHOLE = 1e-6
"""Source pixels by which a border may miss a whole number."""
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class WarpPlan:
    """One target grid over one source image, and the method."""

    map: PixelMap
    method: str
    """Of `RESAMPLINGS`; nearest where the pixels are only moved."""
    target: Window
    """The whole target."""
    source: Window
    """Pixels of the source that it needs. Outside of them there is nothing."""
    reached: Window
    """The part of the target that the source may reach: all else gets no value."""
    scale: tuple[float, float]
    """Target pixels for each source pixel, of columns and rows: kernels are as much wider as it is below 1."""

    @property
    def reach(self) -> tuple[int, int]:
        """Source pixels to each side under the kernel, of columns and rows."""
        radius = RADIUS.get(self.method, 0)
        across, down = (math.ceil(radius / scale) if scale < 1 else radius for scale in self.scale)
        return across, down


@dataclass(frozen=True, slots=True, eq=False)
class WarpPlans:
    """Many target grids of one lattice over one source image, each as `plan_warp` plans it."""

    map: PixelMap
    method: str
    """Of `RESAMPLINGS`, as it was asked for."""
    targets: Ints
    """Shape (n, 4): first column and row, width and height."""
    sources: Ints
    """Of the same shape; without pixels where a target misses the source."""
    scales: npt.NDArray[np.float64]
    """Shape (n, 2)"""
    moved: npt.NDArray[np.bool_]
    """True where pixels are only moved: by nearest, whatever was asked for."""

    @property
    def meets(self) -> npt.NDArray[np.bool_]:
        """True for targets that meet the source."""
        found: npt.NDArray[np.bool_] = self.sources[:, 2] > 0
        return found

    def take(self, some: Ints) -> WarpPlans:
        """Those of some targets."""
        return WarpPlans(
            self.map, self.method, self.targets[some], self.sources[some], self.scales[some], self.moved[some]
        )

    def one(self, at: int) -> WarpPlan:
        """The plan of one target, which meets the source; all of it counts as reached."""
        method = "nearest" if self.moved[at] else self.method
        target, source = (Window(*map(int, side[at])) for side in (self.targets, self.sources))
        return WarpPlan(
            self.map, method, target, source, target, (float(self.scales[at, 0]), float(self.scales[at, 1]))
        )


@lru_cache(maxsize=4096)
def plan_warp(pixel_map: PixelMap, target: Window, size: tuple[int, int], method: str) -> WarpPlan | None:
    """Plan a warp; None where the target misses the source. Images of one grid share the plan.

    Args:
        pixel_map: target pixels to source pixels.
        target: the whole target, in pixels of its grid.
        size: width and height of the source.
        method: one of `RESAMPLINGS`.
    """
    targets = np.array([(target.col_off, target.row_off, target.width, target.height)])
    plans = plan_warps(pixel_map, targets, size, method)
    if not plans.meets[0]:
        return None
    plan = plans.one(0)
    return replace(plan, reached=_reached(pixel_map, target, plan.source))


def plan_warps(pixel_map: PixelMap, targets: Ints, size: tuple[int, int], method: str) -> WarpPlans:
    """Plan the warps of many targets.

    Args:
        pixel_map: pixels of their lattice to source pixels.
        targets: shape (n, 4), as `WarpPlans` has them; each with pixels.
        size: width and height of the source.
        method: one of `RESAMPLINGS`.
    """
    moved = pixel_map.are_shifts(targets)
    radius = np.where(moved, 0, RADIUS.get(method, 0))
    edges = edge_positions(pixel_map, targets)
    on_edges = [_extent(each) for each in edges]
    reached = on_edges
    if not pixel_map.is_affine:
        reached = [one.joined(other) for one, other in zip(on_edges, _inside(pixel_map, targets), strict=True)]
    (col, width, across), (row, height, down) = (
        _axis(on_edges[axis], reached[axis], targets[:, 2 + axis], size[axis], radius) for axis in (0, 1)
    )
    meets = (width > 0) & (height > 0)
    sources = np.where(meets[:, np.newaxis], np.stack([col, row, width, height], 1), 0)
    return WarpPlans(pixel_map, method, targets, sources, np.stack([across, down], 1), moved)


def _axis(edges: _Extent, reached: _Extent, length: Ints, full: int, radius: Ints) -> tuple[Ints, Ints, Positions]:
    """First source pixel, number of source pixels and scale on one axis, of each target; no pixels where it misses."""
    # The scale is that of the extremes on the edges; what is read also has what the inside reaches.
    low, high = _whole_ends(np.where(edges.number > 1, (edges.low, edges.high), (reached.low, reached.high)))
    least, most = _whole_ends(np.stack([reached.low, reached.high]))
    misses = (reached.number == 0) | (least > full) | (most < 0)
    low, high, least, most = (np.where(misses, 0.0, each) for each in (low, high, least, most))
    spread = np.maximum(high - low, 1e-9)
    rough = np.maximum(1e-3, length / spread)
    reach = np.where(rough < 0.95, np.ceil(radius / rough), radius)
    first, end = _within(low, high, full)
    is_whole = end - first > 0.9 * full
    start = np.where(is_whole, 0, np.maximum(0, first - reach))
    size = np.where(is_whole, full, np.minimum(full, end + reach) - start)
    extra = size - np.minimum(full - first, spread)
    with np.errstate(divide="ignore", invalid="ignore"):  # where it misses
        scale = np.where((length <= size) & (size <= length + extra), 1.0, length / (size - extra))
    scale = np.where(end > first, scale, 1.0)
    first, end = _within(least, most, full)
    misses |= end <= first
    is_whole = end - first > 0.9 * full
    start = np.where(is_whole, 0, np.maximum(0, first - reach))
    size = np.where(is_whole, full, np.minimum(full, end + reach) - start)
    start, size = (np.where(misses, 0, each).astype(np.int64) for each in (start, size))
    return start, size, _snapped(scale)


def _within(low: Positions, high: Positions, full: int) -> tuple[Positions, Positions]:
    return np.floor(np.maximum(0.0, low)), np.minimum(np.ceil(high), full)


class _Extent(NamedTuple):
    """The extremes of some positions on one axis, of each target; shape (n,)."""

    low: Positions
    high: Positions
    number: Ints
    """How many are finite: without any the others say nothing."""

    def joined(self, other: _Extent) -> _Extent:
        """That of both."""
        return _Extent(np.minimum(self.low, other.low), np.maximum(self.high, other.high), self.number + other.number)


def _extent(positions: Positions) -> _Extent:
    """The extent of positions of shape (n, some)."""
    finite = np.isfinite(positions)
    if finite.all():
        return _Extent(positions.min(1), positions.max(1), np.full(len(positions), positions.shape[1]))
    low, high = np.where(finite, positions, np.inf).min(1), np.where(finite, positions, -np.inf).max(1)
    return _Extent(low, high, finite.sum(1))


def _whole_ends(ends: Positions) -> Positions:
    """Positions; those next to a whole number as that."""
    with np.errstate(invalid="ignore"):  # of targets without a place
        near = np.round(ends)
        return np.where(np.abs(near - ends) < _WHOLE, near, ends)


def _snapped(scale: Positions) -> Positions:
    """Scales; one that is a whole factor, or nearly, as that factor."""
    factor = np.floor(1 / scale + 0.5)
    snaps = (scale < 1) & (np.abs(1 / scale - factor) < 0.05)
    return np.where(snaps, 1 / np.maximum(factor, 1), scale)


def edge_positions(pixel_map: PixelMap, targets: Ints) -> tuple[Positions, Positions]:
    """Source positions of points on the edges of targets, each of shape (n, points)."""
    along = np.linspace(0, 1, _SAMPLES)
    none, all_ = np.zeros(_SAMPLES), np.ones(_SAMPLES)
    col, row, width, height = targets.T[:, :, np.newaxis]
    cols = col + width * np.concatenate([along, along, none, all_])
    rows = row + height * np.concatenate([none, all_, along, along])
    return pixel_map.exact(cols, rows)


def _inside(pixel_map: PixelMap, targets: Ints) -> list[_Extent]:
    """The extents of points inside the targets: of a pole that lies there, the edges know nothing."""
    parts = np.minimum(targets[:, 2:], _DENSE)
    counts = (parts + 1).prod(1)
    found: list[list[_Extent]] = [[], []]
    begin, ends = 0, np.cumsum(counts)
    while begin < len(targets):
        before = int(ends[begin - 1]) if begin else 0
        end = max(int(np.searchsorted(ends, before + _AT_ONCE, side="right")), begin + 1)
        some = slice(begin, end)
        for extents, extent in zip(found, _inside_of_some(pixel_map, targets[some], parts[some]), strict=True):
            extents.append(extent)
        begin = end
    return [_Extent(*map(np.concatenate, zip(*extents, strict=True))) for extents in found]


def _inside_of_some(pixel_map: PixelMap, targets: Ints, parts: Ints) -> list[_Extent]:
    """The same of some; their points divide columns and rows into so many parts."""
    counts = (parts + 1).prod(1)
    of = np.repeat(np.arange(len(targets)), counts)
    row, col = np.divmod(expand(np.zeros(len(targets), np.int64), counts), parts[of, 0] + 1)
    steps = targets[:, 2:] / parts
    x, y = pixel_map.exact(targets[of, 0] + col * steps[of, 0], targets[of, 1] + row * steps[of, 1])
    first = np.cumsum(counts) - counts
    found = []
    for positions in (x, y):
        finite = np.isfinite(positions)
        low, high = np.where(finite, positions, np.inf), np.where(finite, positions, -np.inf)
        number = np.add.reduceat(finite, first, dtype=np.int64)
        found.append(_Extent(np.minimum.reduceat(low, first), np.maximum.reduceat(high, first), number))
    return found


def _reached(pixel_map: PixelMap, target: Window, source: Window) -> Window:
    """The part of a target that its source may reach; all of it where that is not plain.

    Not plain is a source that holds a pole or reaches over the end of a map: then its inside has places beyond those of
    its outline.
    """
    if not pixel_map.keeps_order:
        return target
    outline = _points_of(source, edges=True)
    places = [pixel_map.back(*points) for points in (outline, _points_of(source, edges=False))]
    (out_x, out_y), (in_x, in_y) = places
    if not all(np.isfinite(each).all() for each in (out_x, out_y, in_x, in_y)):
        return target
    spans = []
    for outer, inner, first, size in (
        (out_x, in_x, target.col_off, target.width),
        (out_y, in_y, target.row_off, target.height),
    ):
        low, high = float(outer.min()), float(outer.max())
        if inner.min() < low or inner.max() > high:
            return target
        # Between two points the outline may go beyond both, by about as much as they are apart.
        steps = float(np.abs(np.diff(outer.reshape(4, -1), axis=1)).max())
        margin = 2 + max(0.02 * (high - low), steps)
        begin, end = max(math.floor(low - margin), first), min(math.ceil(high + margin), first + size)
        spans.append((begin, max(end - begin, 0)))
    (col, width), (row, height) = spans
    return Window(col, row, width, height)


def _points_of(window: Window, *, edges: bool) -> tuple[Positions, Positions]:
    """Points on the edges of a window, or inside of it."""
    if edges:
        along = np.linspace(0, 1, _DENSE)
        none, all_ = np.zeros(_DENSE), np.ones(_DENSE)
        cols, rows = np.concatenate([along, along, none, all_]), np.concatenate([none, all_, along, along])
    else:
        inner = np.linspace(0, 1, 9)[1:-1]
        cols, rows = (each.ravel() for each in np.meshgrid(inner, inner))
    return window.col_off + window.width * cols, window.row_off + window.height * rows
