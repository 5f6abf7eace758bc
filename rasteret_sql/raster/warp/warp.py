"""Warps one band onto a target grid, or onto a part of it, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.grid import Window
from rasteret_sql.raster.warp.areas import area_values, most_taps
from rasteret_sql.raster.warp.cells import spans
from rasteret_sql.raster.warp.neighbourhood import Mask, Pixels, Source
from rasteret_sql.raster.warp.output import off_nodata, to_pixels
from rasteret_sql.raster.warp.plan import WarpPlan
from rasteret_sql.raster.warp.points import PointMethod
from rasteret_sql.raster.warp.resampling import RADIUS
from rasteret_sql.raster.warp.shares import sum_values

_BLOCK = 1 << 16
"""Target pixels of a block: what is computed of them stays near the processor."""
_SIDE = 16
"""Blocks begin at multiples of it, as cells of the lattice of positions do."""
_TAPS_AT_ONCE = 1 << 22
"""Source pixels that are looked at for the cells of one block."""
_Work = Callable[[Window], tuple[np.ndarray, Pixels]]
"""(block) → targets that get a value, as places in it, and the value of each."""
_PLAIN = {
    "bilinear": ("uint8", "int16", "uint16", "float32", "float64"),
    "cubic": ("uint8", "int16", "uint16", "float32", "float64"),
    "cubic_spline": ("uint8", "int16", "uint16"),
}
"""dtypes for which GDAL divides weights by their sum in any case, where there is neither a mask nor nodata."""


def warp(
    data: Pixels,
    valid: Mask | None,
    plan: WarpPlan,
    *,
    nodata: float | None = None,
    fill: float | None = None,
    part: Window | None = None,
) -> tuple[Pixels, Mask]:
    """Compute target pixels.

    A pixel of the source that is not valid has no weight in any method. A target pixel has no value where its centre
    (of methods over areas: its whole cell) lies outside of the source or on what is not valid.

    Args:
        data: source pixels of `plan.source`, shape (height, width); those of the whole window, whatever part is wanted.
        valid: True where they are valid, of the same shape; None: all are.
        plan: of the whole target.
        nodata: value that says "nothing here" in the target; no result is equal to it.
        fill: value where the target has none; None: nodata, else 0.
        part: pixels of the target to compute, numbered as the plan's; None: all.

    Returns:
        Pixels in the dtype of the data, and True where they have a value, each of shape (height, width) of the part.

    Raises:
        InvalidArgumentError: the data are not those of the plan.
    """
    if data.shape != plan.source.shape or (valid is not None and valid.shape != data.shape):
        raise InvalidArgumentError(
            f"a warp needs {plan.source.height} × {plan.source.width} pixels and their mask, not data of shape "
            f"{data.shape} and a mask of shape {None if valid is None else valid.shape}"
        )
    target = plan.target if part is None else part
    source = Source(data, None if valid is None or valid.all() else valid)
    if fill is None:
        fill = 0 if nodata is None else nodata
    pixels, written = np.full(target.shape, fill, data.dtype), np.zeros(target.shape, bool)
    if plan.method == "sum":
        totals, written = sum_values(source, plan.source, plan.map, target)
        pixels[written] = off_nodata(to_pixels(totals[written], data.dtype), nodata)
        return pixels, written
    work = _points(source, plan, nodata) if plan.method in RADIUS else _areas(source, plan)
    taps = 1 if plan.method in RADIUS else most_taps(plan.scale)
    for block in _blocks(target, max(256, min(_BLOCK, _TAPS_AT_ONCE // taps))):
        at, values = work(block)
        rows = slice(block.row_off - target.row_off, block.row_end - target.row_off)
        cols = slice(block.col_off - target.col_off, block.col_end - target.col_off)
        values = off_nodata(values, nodata)
        if len(at) == block.width * block.height:
            pixels[rows, cols] = values.reshape(block.shape)
            written[rows, cols] = True
        else:
            there = pixels[rows, cols]
            row, col = np.divmod(at, block.width)
            there[row, col] = values
            written[rows, cols][row, col] = True
    return pixels, written


def _points(source: Source, plan: WarpPlan, nodata: float | None) -> _Work:
    plain = source.valid is None and nodata is None and source.data.dtype.name in _PLAIN.get(plan.method, ())
    method = PointMethod(plan.method, source, plan.scale, normalizes=plain)

    def work(block: Window) -> tuple[np.ndarray, Pixels]:
        xs, ys = (each.ravel() for each in plan.map.centres(block))
        xs, ys = xs - plan.source.col_off, ys - plan.source.row_off
        if method.method == "nearest":
            found, cols, rows = method.pixels_under(xs, ys)
            return found, source.data.ravel().take(rows * source.width + cols)
        found, values = method.values(xs, ys)
        return found, to_pixels(values, source.data.dtype)

    return work


def _areas(source: Source, plan: WarpPlan) -> _Work:
    def work(block: Window) -> tuple[np.ndarray, Pixels]:
        corners = plan.map.corners(block)
        col, row = plan.source.col_off, plan.source.row_off
        cols = spans(corners.first_x.ravel() - col, corners.last_x.ravel() - col, source.width)
        rows = spans(corners.first_y.ravel() - row, corners.last_y.ravel() - row, source.height)
        return area_values(plan.method, source, cols, rows)

    return work


def _blocks(target: Window, pixels: int) -> Iterator[Window]:
    """Cut a window into blocks of about as many pixels, along the lattice of its grid."""
    side = max(_SIDE, int(pixels**0.5) // _SIDE * _SIDE)
    for row in range(target.row_off // side * side, target.row_end, side):
        for col in range(target.col_off // side * side, target.col_end, side):
            block = Window(col, row, side, side).intersection(target)
            if block is not None:
                yield block
