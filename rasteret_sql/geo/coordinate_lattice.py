"""`CoordinateLattice`: computes positions of many pixels from exact nodes, by cubics that are checked in each cell.

The lattice is anchored to the grid itself: nodes lie at each 32nd pixel of it, wherever a window begins. So the
positions of a part are those of the whole, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from rasteret_sql.geo.grid import Window

Positions = npt.NDArray[np.float64]
Exact = Callable[[Positions, Positions], tuple[Positions, Positions]]
"""(columns, rows) of the target → (columns, rows) of the source."""

STEP = 32
"""Pixels between nodes."""
TILE = 512
"""Pixels across a tile that is computed at once."""
TOLERANCE = 1e-6
"""Source pixels by which the cubic may miss the place where a cell is checked; where it misses more, all are exact."""
_CHECKED = 13
"""Pixels from the corner of a cell to that place: not in the middle, where jumps at two sides may cancel each other."""
_CELLS = TILE // STEP


def _cubic(t: Positions) -> Positions:
    """Weights of the nodes at -1, 0, 1 and 2 for positions between 0 and 1, shape (n, 4) (Lagrange)."""
    return np.stack(
        [
            -t * (t - 1) * (t - 2) / 6,
            (t + 1) * (t - 1) * (t - 2) / 2,
            -(t + 1) * t * (t - 2) / 2,
            (t + 1) * t * (t - 1) / 6,
        ],
        axis=1,
    )


_OF_CHECKED = _cubic(np.array([_CHECKED / STEP]))[0]
_WEIGHTS = {offset: _cubic((np.arange(STEP) + offset) / STEP) for offset in (0.0, 0.5)}


class CoordinateLattice:
    """Positions of the pixels of a window.

    Args:
        exact: the map.
        window: of the target, in pixels of its grid.
        offset: 0.5: of the centres of pixels; 0: of their upper left corners.
    """

    def __init__(self, exact: Exact, window: Window, offset: float) -> None:
        self._exact = exact
        self._offset = offset
        self._weights = _WEIGHTS[offset]
        self._tile, self._row = window.col_off // TILE, window.row_off // STEP
        """The first tile and the first row of cells."""
        tiles, down = -(-window.col_end // TILE) - self._tile, -(-window.row_end // STEP) - self._row
        at_cols = np.arange(self._tile * _CELLS - 1, (self._tile + tiles) * _CELLS + 2) * float(STEP)
        at_rows = np.arange(self._row - 1, self._row + down + 2) * float(STEP)
        self._nodes = exact(*np.meshgrid(at_cols, at_rows))
        true = exact(*np.meshgrid(at_cols[1:-2] + _CHECKED, at_rows[1:-2] + _CHECKED))
        with np.errstate(invalid="ignore", over="ignore"):  # of nodes that have no place
            guess = [_where_checked(each) for each in self._nodes]
            off = np.abs(guess[0] - true[0]) + np.abs(guess[1] - true[1])
        self._misses = ~(off <= TOLERANCE)
        """True for cells whose pixels are exact."""
        self._some_miss = bool(self._misses.any())

    def positions(self, window: Window) -> tuple[Positions, Positions]:
        """Source columns and rows of a part of the window, each of shape (height, width)."""
        with np.errstate(invalid="ignore", over="ignore"):
            x, y = (self._pixels(nodes, window) for nodes in self._nodes)
        if self._some_miss:
            left, top = window.col_off - self._tile * TILE, window.row_off - self._row * STEP
            rows, cols = np.nonzero(
                self._misses[(np.arange(window.height) + top) // STEP][:, (np.arange(window.width) + left) // STEP]
            )
            if rows.size:
                at_cols = np.asarray(cols + (window.col_off + self._offset), np.float64)
                at_rows = np.asarray(rows + (window.row_off + self._offset), np.float64)
                x[rows, cols], y[rows, cols] = self._exact(at_cols, at_rows)
        return x, y

    def _pixels(self, nodes: Positions, window: Window) -> Positions:
        """Positions between nodes: along the rows of the lattice, then down, `STEP` × `TILE` pixels at a time.

        Products of matrices are added up in an order that may hang on their shape. So it is always the same one,
        whatever part of a tile is wanted.
        """
        found = np.empty(window.shape)
        tile = np.empty((STEP, TILE))
        for row in range(window.row_off // STEP, -(-window.row_end // STEP)):
            begin, end = max(row * STEP, window.row_off), min((row + 1) * STEP, window.row_end)
            for number in range(window.col_off // TILE, -(-window.col_end // TILE)):
                west, east = max(number * TILE, window.col_off), min((number + 1) * TILE, window.col_end)
                first = (number - self._tile) * _CELLS
                np.matmul(self._weights, self._lines(nodes, row - self._row, first), out=tile)
                found[begin - window.row_off : end - window.row_off, west - window.col_off : east - window.col_off] = (
                    tile[begin - row * STEP : end - row * STEP, west - number * TILE : east - number * TILE]
                )
        return found

    def _lines(self, nodes: Positions, row: int, cell: int) -> Positions:
        """Positions of the pixels of a tile on the four rows of the lattice around it, shape (4, TILE)."""
        four = nodes[row : row + 4]
        parts = [four[:, cell + at : cell + at + _CELLS, np.newaxis] * self._weights[:, at] for at in range(4)]
        lines: Positions = ((parts[0] + parts[1]) + (parts[2] + parts[3])).reshape(4, TILE)
        return lines


def _where_checked(nodes: Positions) -> Positions:
    """The cubic at the place of each cell where it is checked."""
    down, across = nodes.shape[0] - 3, nodes.shape[1] - 3
    lines = sum(weight * nodes[at : at + down] for at, weight in enumerate(_OF_CHECKED))
    return np.asarray(sum(weight * lines[:, at : at + across] for at, weight in enumerate(_OF_CHECKED)))
