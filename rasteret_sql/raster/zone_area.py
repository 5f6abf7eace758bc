"""Counts the pixels of a zone in a window of any size, looking closely only where its edges are."""

from __future__ import annotations

import numpy as np
import shapely

from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster.coverage import coverage_fraction
from rasteret_sql.raster.scanline import polygon_mask

_CLOSE = 1 << 14
"""Pixels of a window that is looked at pixel by pixel."""
_MARGIN = 1.0
"""Pixels by which a window may miss a zone and is looked at all the same: positions round."""


def zone_pixels(
    geometry: shapely.Geometry, grid: Affine, window: Window, *, weighted: bool = False, all_touched: bool = False
) -> float:
    """Number of pixels of a window that are in a zone.

    Args:
        geometry: a Polygon or MultiPolygon, in the CRS of the grid.
        grid: pixel → CRS.
        window: of any size; its numbers may be negative.
        weighted: True: the fractions of them that it covers, added up.
        all_touched: True: pixels that it touches; False: pixels whose centre it holds.
    """
    # Of a geometry that crosses itself, GEOS does not say what lies inside of it.
    known = bool(shapely.is_valid(geometry))
    if known:
        shapely.prepare(geometry)
    total, open_windows = 0.0, [window]
    while open_windows:
        one = open_windows.pop()
        small = one.width * one.height <= _CLOSE
        if known and shapely.contains_properly(geometry, _box(one, grid, 0.0)):
            total += one.width * one.height
        elif known and not shapely.intersects(geometry, _box(one, grid, _MARGIN)):
            continue
        elif small and weighted:
            total += float(coverage_fraction(geometry, grid, one).sum())
        elif small:
            total += int(np.count_nonzero(polygon_mask(geometry, grid, one, all_touched)))
        else:
            open_windows += _halves(one)
    return total


def _halves(window: Window) -> list[Window]:
    """A window cut across its longer side."""
    if window.width >= window.height:
        half = window.width // 2
        return [
            Window(window.col_off, window.row_off, half, window.height),
            Window(window.col_off + half, window.row_off, window.width - half, window.height),
        ]
    half = window.height // 2
    return [
        Window(window.col_off, window.row_off, window.width, half),
        Window(window.col_off, window.row_off + half, window.width, window.height - half),
    ]


def _box(window: Window, grid: Affine, margin: float) -> shapely.Polygon:
    """A window in the CRS, with so many pixels more on each side."""
    left, right = window.col_off - margin, window.col_end + margin
    top, bottom = window.row_off - margin, window.row_end + margin
    return shapely.Polygon([grid.apply(*at) for at in ((left, top), (right, top), (right, bottom), (left, bottom))])
