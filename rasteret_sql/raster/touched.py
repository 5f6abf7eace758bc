"""Finds the pixels that lines pass through: borders of `all_touched` polygons, lines and points as zones.

The rules are GDAL's, tolerances included, since the pixels must be the same ones: a line is followed from pixel to
pixel, and each step starts from the last one's rounded position. That shows only where a line meets a corner of
pixels. Lines that stay clear of corners are solved for all their pixels at once; the others are walked, all of them one
step at a time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rasteret_sql.raster.edges import Floats, Ints, Lines
from rasteret_sql.raster.expand import expand

_ON_BORDER = 1e-4
"""Pixels. An edge of a polygon this close to a pixel border lies on it and touches nothing beyond."""
_STRAIGHT = 0.01
"""Pixels. A line that strays less than this from a column or row is drawn along it."""
_LEAST_STEP = 1e-9
"""Pixels. The least a step moves over a row border, so that rounding cannot stop the walk."""
_CLEAR = 1e-6
"""Pixels. A line this far from every corner of pixels is not moved past one by rounding."""


def touched_pixels(lines: Lines, width: int, height: int, *, polygon: bool) -> tuple[Ints, Ints]:
    """Pixels that lines pass through.

    Args:
        lines: (x1, y1, x2, y2) in pixels, each shape (n,).
        width: columns of the window.
        height: rows of the window.
        polygon: True for borders of polygons: what lies on a pixel border is left out.

    Returns:
        (row, column), each shape (n,); a pixel can occur more than once.
    """
    x1, y1, x2, y2 = lines
    w, h = float(width), float(height)
    off = ((y1 < 0) & (y2 < 0)) | ((y1 > h) & (y2 > h)) | ((x1 < 0) & (x2 < 0)) | ((x1 > w) & (x2 > w))
    x1, y1, x2, y2 = (v[~off] for v in (x1, y1, x2, y2))
    back = x1 > x2
    x1, x2 = np.where(back, x2, x1), np.where(back, x1, x2)
    y1, y2 = np.where(back, y2, y1), np.where(back, y1, y2)

    vertical = (np.floor(x1) == np.floor(x2)) | (np.abs(x1 - x2) < _STRAIGHT)
    horizontal = ~vertical & ((np.floor(y1) == np.floor(y2)) | (np.abs(y1 - y2) < _STRAIGHT))
    found: list[tuple[Ints, Ints]] = []

    at = np.flatnonzero(vertical & ~(_on_border(x1, x2) if polygon else False))
    if len(at):
        top, bottom = np.minimum(y1[at], y2[at]), np.maximum(y1[at], y2[at])
        own, rows = _runs(top, bottom, h)
        columns = np.floor(x2[at])[own]
        inside = (columns >= 0) & (columns < w)
        found.append((rows[inside], columns[inside].astype(np.int64)))

    at = np.flatnonzero(horizontal & ~(_on_border(y1, y2) if polygon else False))
    if len(at):
        own, columns = _runs(x1[at], x2[at], w)
        rows = np.floor(y1[at])[own]
        inside = (rows >= 0) & (rows < h)
        found.append((rows[inside].astype(np.int64), columns[inside]))

    at = np.flatnonzero(~vertical & ~horizontal)
    if len(at):
        found.extend(_walk((x1[at], y1[at], x2[at], y2[at]), w, h))
    if not found:
        none = np.empty(0, dtype=np.int64)
        return none, none
    rows, columns = (np.concatenate(v) for v in zip(*found, strict=True))
    return rows, columns


def line_pixels(lines: Lines, last: npt.NDArray[np.bool_], width: int, height: int) -> tuple[Ints, Ints]:
    """Pixels of lines of one pixel's breadth (Bresenham), as GDAL draws lines that are not `all_touched`.

    Args:
        lines: segments (x1, y1, x2, y2) in pixels, each shape (n,).
        last: True for the last segment of each line, which alone includes its end pixel.
        width: columns of the window.
        height: rows of the window.

    Returns:
        (row, column), each shape (n,).
    """
    x1, y1, x2, y2 = lines
    col, row = np.floor(x1), np.floor(y1)
    across, down = np.floor(x2) - col, np.floor(y2) - row
    flat = np.abs(across) >= np.abs(down)
    long, short = np.where(flat, np.abs(across), np.abs(down)), np.where(flat, np.abs(down), np.abs(across))
    # Only steps whose position along the long axis is in the window; lines may come from far outside.
    start, ahead = np.where(flat, col, row), np.where(flat, across >= 0, down >= 0)
    limit = np.where(flat, float(width), float(height))
    first = np.maximum(np.where(ahead, -start, start - limit + 1), 0)
    end = np.minimum(np.where(ahead, limit - start, start + 1), long + last)
    own, step = _expand(first, np.maximum(end - first, 0).astype(np.int64))
    # After k steps the short axis has moved by k·short/long, rounded, halves towards the start.
    part = 2 * long[own]
    moved = np.where(part > 0, -np.floor((long[own] - 2 * step * short[own]) / np.where(part > 0, part, 1)), 0)
    along, beside = (
        np.where(ahead[own], step, -step),
        np.where(np.where(flat, down >= 0, across >= 0)[own], moved, -moved),
    )
    columns = col[own] + np.where(flat[own], along, beside)
    rows = row[own] + np.where(flat[own], beside, along)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    return rows[inside].astype(np.int64), columns[inside].astype(np.int64)


def _on_border(first: Floats, second: Floats) -> npt.NDArray[np.bool_]:
    """True where both ends lie on a pixel border."""
    return (np.abs(first - np.round(first)) < _ON_BORDER) & (np.abs(second - np.round(second)) < _ON_BORDER)


def _runs(start: Floats, end: Floats, limit: float) -> tuple[Ints, Ints]:
    """Pixels along straight lines: (which line, position), clipped to 0..limit."""
    first = np.maximum(np.floor(start), 0)
    last = np.minimum(np.floor(end - _ON_BORDER), limit - 1)
    own, position = _expand(first, np.maximum(last - first + 1, 0).astype(np.int64))
    return own, position.astype(np.int64)


def _expand(first: Floats, count: Ints) -> tuple[Ints, Floats]:
    """first, first + 1, ..., `count` of them for each entry: (which entry, value)."""
    return np.repeat(np.arange(len(count)), count), expand(first, count)


def _walk(lines: Lines, width: float, height: float) -> list[tuple[Ints, Ints]]:
    """Follow sloped lines, which run from left to right, from pixel to pixel."""
    x1, y1, x2, y2 = lines
    slope = (y2 - y1) / (x2 - x1)
    # Clip to the window's columns, then to its rows. The order matters to the last bit.
    over = x2 > width
    y2 = np.where(over, y2 - (x2 - width) * slope, y2)
    x2 = np.where(over, width, x2)
    before = x1 < 0
    y1 = np.where(before, y1 + (0.0 - x1) * slope, y1)
    x1 = np.where(before, 0.0, x1)
    falling = y2 > y1
    above = falling & (y1 < 0)
    below = ~falling & (y1 >= height)
    enter = np.where(above, 0.0, height)
    x1 = np.where(above | below, x1 + (enter - y1) / slope, x1)
    y1 = np.where(above | below, enter, y1)
    leaves_below = falling & (y2 >= height)
    x2 = np.where(leaves_below, np.minimum(x2 + (y2 - height) / slope, width), x2)
    x2 = np.where(~falling & (y2 < 0), x2 - y2 / slope, x2)

    going = (x1 >= 0) & (x1 < x2)
    clear, found = _solve((x1, y1, x2, slope), height, going)
    going &= ~clear
    while going.any():
        if not going.all():
            x1, y1, x2, slope = (v[going] for v in (x1, y1, x2, slope))
        row = np.floor(y1)
        inside = (row >= 0) & (row < height)
        found.append((row[inside].astype(np.int64), np.floor(x1[inside]).astype(np.int64)))
        step_x = np.floor(x1 + 1.0) - x1
        step_y = step_x * slope
        leaves = np.floor(y1 + step_y) != row
        to_row = np.where(slope < 0, np.minimum(row - y1, -_LEAST_STEP), np.maximum(row + 1 - y1, _LEAST_STEP))
        step_y = np.where(leaves, to_row, step_y)
        step_x = np.where(leaves, to_row / slope, step_x)
        x1 = x1 + step_x
        y1 = y1 + step_y
        going = (x1 >= 0) & (x1 < x2)
    return found


def _solve(
    lines: Lines, height: float, going: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.bool_], list[tuple[Ints, Ints]]]:
    """Pixels of those sloped lines that stay clear of all corners, column by column.

    Args:
        lines: (x1, y1, x2, slope) of each, clipped to the window's columns.
        height: rows of the window.
        going: True for lines that have a pixel.

    Returns:
        (True for each line that was solved, their pixels).
    """
    x1, y1, x2, slope = lines
    first = np.floor(x1)
    own, column = _expand(first, np.where(going, np.floor(x2) - first + 1, 0).astype(np.int64))
    enter, leave = np.maximum(column, x1[own]), np.minimum(column + 1, x2[own])
    y_enter, y_leave = (y1[own] + (x - x1[own]) * slope[own] for x in (enter, leave))
    clear = going & (np.abs(x2 - np.round(x2)) > _CLEAR)
    near = (np.abs(y_enter - np.round(y_enter)) < _CLEAR) | (np.abs(y_leave - np.round(y_leave)) < _CLEAR)
    clear[own[near]] = False
    kept = clear[own]
    own, column, y_enter, y_leave = own[kept], column[kept], y_enter[kept], y_leave[kept]
    top = np.maximum(np.floor(np.minimum(y_enter, y_leave)), 0)
    bottom = np.minimum(np.floor(np.maximum(y_enter, y_leave)), height - 1)
    piece, row = _expand(top, np.maximum(bottom - top + 1, 0).astype(np.int64))
    return clear, [(row.astype(np.int64), column[piece].astype(np.int64))]
