"""Finds the stored tiles under a window, and those of them that a geometry touches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.geo.grid import Affine, Window

FEW_TILES = 4
"""Tiles that are read without a look at which are touched: the look costs about as much as it saves."""
_MARGIN = 1.0
"""Pixels around a tile in which an edge counts as touching it, so that rounding leaves out no pixel."""


class TilePart(NamedTuple):
    """The part of one tile that a window takes: `tile[tile_rows, tile_cols]` goes to `window[rows, cols]`."""

    tile: int
    """Position in the level's tile table."""
    tile_rows: slice
    tile_cols: slice
    rows: slice
    cols: slice


def tiles_under(window: Window, tile_width: int, tile_height: int, tiles_across: int) -> list[TilePart]:
    """The tiles that a window needs, row-major, each with the part that it gives.

    Args:
        window: inside the image.
        tile_width: pixels across a tile.
        tile_height: pixels down a tile.
        tiles_across: tiles in a row of the tile table.
    """
    parts = []
    for tile_row in range(window.row_off // tile_height, -(-window.row_end // tile_height)):
        top = tile_row * tile_height
        row, row_end = max(window.row_off, top), min(window.row_end, top + tile_height)
        tile_rows, rows = slice(row - top, row_end - top), slice(row - window.row_off, row_end - window.row_off)
        for tile_col in range(window.col_off // tile_width, -(-window.col_end // tile_width)):
            left = tile_col * tile_width
            col, col_end = max(window.col_off, left), min(window.col_end, left + tile_width)
            parts.append(
                TilePart(
                    tile_row * tiles_across + tile_col,
                    tile_rows,
                    slice(col - left, col_end - left),
                    rows,
                    slice(col - window.col_off, col_end - window.col_off),
                )
            )
    return parts


def touched_parts(
    parts: list[TilePart], geometry: shapely.Geometry, grid: Affine, window: Window, few: int = FEW_TILES
) -> list[TilePart]:
    """Leave out the tiles that hold no pixel of a geometry.

    Args:
        parts: of `tiles_under`.
        geometry: in the image's CRS; a MultiPolygon counts as the union of its parts.
        grid: pixel → CRS of the image.
        window: for which the parts are.
        few: so many parts are not looked at.
    """
    if len(parts) <= few:
        return parts
    spans = [(p.cols.start, p.rows.start, p.cols.stop, p.rows.stop) for p in parts]
    kept = touched_boxes(np.array(spans, np.float64) + np.tile((window.col_off, window.row_off), 2), geometry, grid)
    return [part for part, keep in zip(parts, kept, strict=True) if keep]


def touched_boxes(spans: npt.NDArray[np.float64], geometry: shapely.Geometry, grid: Affine) -> npt.NDArray[np.bool_]:
    """True for boxes of pixels that a geometry touches, or comes near to by a pixel.

    Args:
        spans: shape (n, 4): first column, first row, and the column and row after the last.
        geometry: in the image's CRS.
        grid: pixel → CRS of the image.
    """
    left, top, right, bottom = (spans + np.array([-_MARGIN, -_MARGIN, _MARGIN, _MARGIN])).T
    cols, rows = np.stack([left, right, right, left], 1), np.stack([top, top, bottom, bottom], 1)
    corners = np.stack([grid.a * cols + grid.b * rows + grid.c, grid.d * cols + grid.e * rows + grid.f], 2)
    tree = shapely.STRtree(shapely.polygons(corners))
    # Each part by itself: GEOS takes a place that two parts of a MultiPolygon cover for one outside of it.
    _, boxes = tree.query(shapely.get_parts(geometry), predicate="intersects")
    touched = np.zeros(len(spans), bool)
    touched[boxes] = True
    return touched


def blocks(window: Window, tile_width: int, tile_height: int, most: int) -> Sequence[Window]:
    """Cut a window along the borders of tiles into blocks.

    Args:
        window: inside the image.
        tile_width: pixels across a tile.
        tile_height: pixels down a tile.
        most: pixels of a block, unless a single tile has more.
    """
    side = max(1, int(most**0.5))
    across = tile_width * max(1, min(side, window.width) // tile_width)
    down = tile_height * max(1, most // min(across, window.width) // tile_height)
    found = []
    for row in range(window.row_off // down * down, window.row_end, down):
        for col in range(window.col_off // across * across, window.col_end, across):
            block = Window(col, row, across, down).intersection(window)
            if block is not None:
                found.append(block)
    return found
