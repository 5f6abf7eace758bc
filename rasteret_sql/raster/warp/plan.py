"""`WarpPlan`: tells which source pixels a target needs, and the scale of the kernel, once for the whole target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rasteret_sql.geo.grid import Window
from rasteret_sql.geo.pixel_map import PixelMap, Positions
from rasteret_sql.raster.warp.resampling import RADIUS

_SAMPLES = 21
"""Points on each edge of the target whose extremes give the scale, as in GDAL."""
_DENSE = 64
"""Points inside the target, an axis, that tell which source pixels it may need besides."""
_WHOLE = 1e-6
"""Source pixels by which a border may miss a whole number."""


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


@lru_cache(maxsize=4096)
def plan_warp(pixel_map: PixelMap, target: Window, size: tuple[int, int], method: str) -> WarpPlan | None:
    """Plan a warp; None where the target misses the source. Images of one grid share the plan.

    Args:
        pixel_map: target pixels to source pixels.
        target: the whole target, in pixels of its grid.
        size: width and height of the source.
        method: one of `RESAMPLINGS`.
    """
    if pixel_map.is_shift(target):
        method = "nearest"
    radius = RADIUS.get(method, 0)
    edges = _edges(pixel_map, target)
    inside = edges if pixel_map.is_affine else [*map(np.append, edges, _inside(pixel_map, target))]
    axes = []
    for at_edges, everywhere, length, full in zip(edges, inside, (target.width, target.height), size, strict=True):
        axis = _axis(at_edges, everywhere, length, full, radius)
        if axis is None:
            return None
        axes.append(axis)
    (col, width, across), (row, height, down) = axes
    source = Window(col, row, width, height)
    return WarpPlan(pixel_map, method, target, source, _reached(pixel_map, target, source), (across, down))


def _axis(edges: Positions, inside: Positions, length: int, full: int, radius: int) -> tuple[int, int, float] | None:
    """First source pixel, number of source pixels and scale on one axis; None where there are none."""
    reached = inside[np.isfinite(inside)]
    if not reached.size:
        return None
    # The scale is that of the extremes on the edges; what is read also has what the inside reaches.
    on_edges = edges[np.isfinite(edges)]
    low, high = _extremes(on_edges if on_edges.size > 1 else reached)
    least, most = _extremes(reached)
    if least > full or most < 0:
        return None
    spread = max(high - low, 1e-9)
    rough = max(1e-3, length / spread)
    reach = math.ceil(radius / rough) if rough < 0.95 else radius
    first, end = _within(low, high, full)
    scale = 1.0
    if end > first:
        whole = end - first > 0.9 * full
        start = 0 if whole else max(0, first - reach)
        size = full if whole else min(full, end + reach) - start
        raw = min(full - first, spread)
        extra = size - raw
        scale = 1.0 if length <= size <= length + extra else length / (size - extra)
        scale = _snapped(scale)
    first, end = _within(least, most, full)
    if end <= first:
        return None
    if end - first > 0.9 * full:
        return 0, full, scale
    start = max(0, first - reach)
    return start, min(full, end + reach) - start, scale


def _within(low: float, high: float, full: int) -> tuple[int, int]:
    return int(max(0.0, low)), min(math.ceil(high), full)


def _extremes(positions: Positions) -> tuple[float, float]:
    low, high = float(positions.min()), float(positions.max())
    low, high = (float(np.round(each)) if abs(np.round(each) - each) < _WHOLE else each for each in (low, high))
    return low, high


def _snapped(scale: float) -> float:
    """A scale that is a whole factor, or nearly one, as that factor."""
    if scale >= 1:
        return scale
    factor = int(1 / scale + 0.5)
    return 1 / factor if abs(1 / scale - factor) < 0.05 else scale


def _edges(pixel_map: PixelMap, target: Window) -> tuple[Positions, Positions]:
    """Source positions of points on the edges of the target."""
    along = np.linspace(0, 1, _SAMPLES)
    none, all_ = np.zeros(_SAMPLES), np.ones(_SAMPLES)
    cols = target.col_off + target.width * np.concatenate([along, along, none, all_])
    rows = target.row_off + target.height * np.concatenate([none, all_, along, along])
    return pixel_map.exact(cols, rows)


def _inside(pixel_map: PixelMap, target: Window) -> tuple[Positions, Positions]:
    """Source positions of points inside the target: of a pole that lies there, the edges know nothing."""
    cols = target.col_off + np.linspace(0, target.width, min(_DENSE, target.width) + 1)
    rows = target.row_off + np.linspace(0, target.height, min(_DENSE, target.height) + 1)
    x, y = pixel_map.exact(*np.meshgrid(cols, rows))
    return x.ravel(), y.ravel()


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
        margin = 2 + 0.02 * (high - low)
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
