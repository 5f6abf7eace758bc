"""GDAL's approximating transformer, which rasterio uses with an error of up to 0.125 pixels, as a `PixelMap`.

A row of target points is a straight line where its middle misses it by less; else each half is done likewise. Tests
that compare warps across CRS use it, so that both look at the same places.
"""

from __future__ import annotations

import numpy as np

from rasteret_sql.geo.pixel_map import Corners, PixelMap

TOLERANCE = 0.125


class ApproximatingMap(PixelMap):
    def centres(self, target):
        x, y = self._rows(self.exact, *_positions(target, 0.5))
        return lambda part: (x[_within(part, target)], y[_within(part, target)])

    def corners(self, target):
        cols, rows = _positions(target, 0.0)
        of_all = *self._rows(self.exact, cols, rows), *self._rows(self.exact, cols + 1, rows + 1)
        return lambda part: Corners(*(each[_within(part, target)] for each in of_all))

    def back(self, cols, rows):
        return self._rows(super().back, cols, rows) if cols.ndim == 2 else super().back(cols, rows)

    @staticmethod
    def _rows(exact, cols, rows):
        x, y = zip(*(_line(exact, *line) for line in zip(cols, rows, strict=True)), strict=True)
        return np.array(x), np.array(y)


def _positions(window, offset):
    return np.meshgrid(
        np.arange(window.col_off, window.col_end) + offset, np.arange(window.row_off, window.row_end) + offset
    )


def _within(part, target):
    row, col = part.row_off - target.row_off, part.col_off - target.col_off
    return slice(row, row + part.height), slice(col, col + part.width)


def _line(exact, x, y):
    if len(x) <= 5:
        return exact(x, y)
    ends = [0, (len(x) - 1) // 2, len(x) - 1]
    return _halves(exact, x, y, *exact(x[ends], y[ends]))


def _halves(exact, x, y, sx, sy):
    """Positions of a line of which those of the first, middle and last point are known."""
    middle, length = (len(x) - 1) // 2, x[-1] - x[0]
    slope_x, slope_y = (sx[2] - sx[0]) / length, (sy[2] - sy[0]) / length
    step = x[middle] - x[0]
    if abs(sx[0] + slope_x * step - sx[1]) + abs(sy[0] + slope_y * step - sy[1]) <= TOLERANCE:
        return sx[0] + slope_x * (x - x[0]), sy[0] + slope_y * (x - x[0])
    parts = []
    for some, known_first, known_last in ((slice(middle), 0, None), (slice(middle, None), 1, 2)):
        part_x, part_y = x[some], y[some]
        if len(part_x) <= 5:
            parts.append(exact(part_x, part_y))
            continue
        ends = [(len(part_x) - 1) // 2, len(part_x) - 1]
        ex, ey = exact(part_x[ends], part_y[ends])
        last_x, last_y = (ex[1], ey[1]) if known_last is None else (sx[2], sy[2])
        parts.append(_halves(exact, part_x, part_y, (sx[known_first], ex[0], last_x), (sy[known_first], ey[0], last_y)))
    return tuple(np.concatenate(both) for both in zip(*parts, strict=True))
