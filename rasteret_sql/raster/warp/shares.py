"""Divides values of source pixels among target pixels, by the part of each that lies there: the method sum."""

from __future__ import annotations

import numpy as np
import shapely

from rasteret_sql.geo.grid import Window
from rasteret_sql.geo.pixel_map import PixelMap
from rasteret_sql.raster.expand import expand
from rasteret_sql.raster.warp.neighbourhood import Mask, Numbers, Source

_PIXELS_AT_ONCE = 1 << 18
"""Source pixels that are dealt out at once."""


def sum_values(source: Source, window: Window, pixel_map: PixelMap, target: Window) -> tuple[Numbers, Mask]:
    """Sum of what each target pixel gets, and True where it gets anything, each of shape (height, width).

    Args:
        source: the pixels.
        window: where they lie in the image.
        pixel_map: target pixels to source pixels.
        target: pixels of the target to compute.
    """
    total, shares = np.zeros(target.width * target.height), np.zeros(target.width * target.height)
    down = max(1, _PIXELS_AT_ONCE // window.width)
    for top in range(0, window.height, down):
        height = min(down, window.height - top)
        cols, rows = np.meshgrid(
            np.arange(window.width + 1.0) + window.col_off, np.arange(height + 1.0) + (window.row_off + top)
        )
        x, y = pixel_map.back(cols, rows)
        quads = _quads(x, y)
        values = source.data[top : top + height].ravel()
        valid = np.isfinite(quads).all(axis=(1, 2))
        if source.valid is not None:
            valid &= source.valid[top : top + height].ravel()
        _deal(quads[valid], values[valid].astype(np.float64), target, total, shares)
    return total.reshape(target.shape), shares.reshape(target.shape) > 0


def _quads(x: Numbers, y: Numbers) -> Numbers:
    """Corners of the pixels in target pixels, shape (n, 4, 2)."""
    corners = [
        np.stack([x[rows, cols], y[rows, cols]], axis=-1).reshape(-1, 2)
        for rows, cols in (
            (slice(None, -1), slice(None, -1)),
            (slice(None, -1), slice(1, None)),
            (slice(1, None), slice(1, None)),
            (slice(1, None), slice(None, -1)),
        )
    ]
    return np.stack(corners, axis=1)


def _deal(quads: Numbers, values: Numbers, target: Window, total: Numbers, shares: Numbers) -> None:
    low, high = quads.min(axis=1), quads.max(axis=1)
    start, stop = np.array([target.col_off, target.row_off]), np.array([target.col_end, target.row_end])
    meets = ((low < stop) & (high > start)).all(axis=1)
    quads, values, low, high = quads[meets], values[meets], low[meets], high[meets]
    first = np.maximum(np.floor(low), start).astype(np.int64)
    span = np.maximum(np.minimum(np.ceil(high), stop).astype(np.int64) - first, 0)
    counts = span[:, 0] * span[:, 1]
    pixel, number = np.repeat(np.arange(len(quads)), counts), expand(np.zeros(len(quads), np.int64), counts)
    row, col = np.divmod(number, span[pixel, 0])
    col += first[pixel, 0]
    row += first[pixel, 1]
    part = _parts(quads, (low, high), pixel, np.stack([col, row], axis=1))
    place = (row - target.row_off) * target.width + (col - target.col_off)
    total += np.bincount(place, values[pixel] * part, len(total))
    shares += np.bincount(place, part, len(total))


def _parts(quads: Numbers, extent: tuple[Numbers, Numbers], pixel: np.ndarray, cell: np.ndarray) -> Numbers:
    """The part of source pixels that lies in a target pixel, for each pair of them."""
    low, high = extent
    upright = (
        (quads[:, 0, 0] == quads[:, 3, 0])
        & (quads[:, 1, 0] == quads[:, 2, 0])
        & (quads[:, 0, 1] == quads[:, 1, 1])
        & (quads[:, 2, 1] == quads[:, 3, 1])
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        lengths = np.maximum(np.minimum(high[pixel], cell + 1) - np.maximum(low[pixel], cell), 0)
        part: Numbers = (lengths / (high - low)[pixel]).prod(axis=1)
    inside = (low[pixel] >= cell).all(axis=1) & (high[pixel] <= cell + 1).all(axis=1)
    part[inside] = 1.0
    cut = np.flatnonzero(~inside & ~upright[pixel])
    if cut.size:
        shapes = shapely.polygons(quads[pixel[cut]])
        boxes = shapely.box(*cell[cut].T, *(cell[cut].T + 1))
        areas = shapely.area(shapes)
        with np.errstate(divide="ignore", invalid="ignore"):
            part[cut] = np.where(areas > 0, shapely.area(shapely.intersection(shapes, boxes)) / areas, 0.0)
    return part
