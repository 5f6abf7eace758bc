"""Computes positions of many pixels from a lattice of exact nodes, by cubics that are checked in each cell.

The lattice is anchored to the grid itself: nodes lie at each 16th pixel of it, wherever a window begins. So the
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

STEP = 16
"""Pixels between nodes."""
TOLERANCE = 1e-6
"""Source pixels by which the cubic may miss the middle of a cell; pixels of a cell where it misses more are exact."""


def _cubic(t: Positions) -> Positions:
    """Weights of the nodes at -1, 0, 1 and 2 for positions between 0 and 1, shape (4, n) (Lagrange)."""
    return np.stack(
        [
            -t * (t - 1) * (t - 2) / 6,
            (t + 1) * (t - 1) * (t - 2) / 2,
            -(t + 1) * t * (t - 2) / 2,
            (t + 1) * t * (t - 1) / 6,
        ]
    )


_OF_CENTRES = _cubic((np.arange(STEP) + 0.5) / STEP)
_OF_CORNERS = _cubic(np.arange(STEP) / STEP)
_OF_MIDDLE = _cubic(np.array([0.5]))[:, 0]


def centres_by_lattice(exact: Exact, window: Window) -> tuple[Positions, Positions]:
    """Source positions of the centres of a window's pixels, each of shape (height, width)."""
    return _by_lattice(exact, window, 0.5, _OF_CENTRES)


def corners_by_lattice(exact: Exact, window: Window) -> tuple[Positions, Positions]:
    """Source positions of the corners of a window's pixels, each of shape (height + 1, width + 1)."""
    more = Window(window.col_off, window.row_off, window.width + 1, window.height + 1)
    return _by_lattice(exact, more, 0.0, _OF_CORNERS)


def _by_lattice(exact: Exact, window: Window, offset: float, weights: Positions) -> tuple[Positions, Positions]:
    if not window.width or not window.height:
        return np.empty(window.shape), np.empty(window.shape)
    col, row = window.col_off // STEP, window.row_off // STEP
    across, down = (window.col_end - 1) // STEP + 1 - col, (window.row_end - 1) // STEP + 1 - row
    at_cols = np.arange(col - 1, col + across + 2) * float(STEP)
    at_rows = np.arange(row - 1, row + down + 2) * float(STEP)
    nodes = exact(*np.meshgrid(at_cols, at_rows))
    left, top = window.col_off - col * STEP, window.row_off - row * STEP
    with np.errstate(invalid="ignore", over="ignore"):  # nodes that have no place
        found = [_spread(_along_rows(each, weights, left, window.width), weights, top, window.height) for each in nodes]
        guess = [_in_middles(each) for each in nodes]
    true = exact(*np.meshgrid(at_cols[1:-2] + STEP / 2, at_rows[1:-2] + STEP / 2))
    with np.errstate(invalid="ignore"):
        misses = ~(np.abs(guess[0] - true[0]) + np.abs(guess[1] - true[1]) <= TOLERANCE)
    if misses.any():
        cells = misses.repeat(STEP, 0)[top : top + window.height].repeat(STEP, 1)[:, left : left + window.width]
        rows, cols = np.nonzero(cells)
        x, y = exact(np.asarray(cols + (window.col_off + offset)), np.asarray(rows + (window.row_off + offset)))
        found[0][cells], found[1][cells] = x, y
    return found[0], found[1]


def _along_rows(nodes: Positions, weights: Positions, first: int, width: int) -> Positions:
    """Positions between the nodes of each row of the lattice."""
    cells = nodes.shape[1] - 3
    parts = [nodes[:, at : at + cells, np.newaxis] * weights[at] for at in range(4)]
    whole: Positions = (parts[0] + parts[1]) + (parts[2] + parts[3])
    found: Positions = whole.reshape(len(nodes), -1)[:, first : first + width]
    return found


def _spread(lines: Positions, weights: Positions, first: int, height: int) -> Positions:
    """Positions between rows of the lattice: a number for each pixel, with as few passes as there can be."""
    found = np.empty((height, lines.shape[1]))
    part = np.empty((STEP, lines.shape[1]))
    for cell in range(len(lines) - 3):
        begin, end = max(cell * STEP, first), min((cell + 1) * STEP, first + height)
        rows = slice(begin - cell * STEP, end - cell * STEP)
        target, other = found[begin - first : end - first], part[: end - begin]
        np.multiply(lines[cell], weights[0, rows, np.newaxis], out=target)
        for at in (1, 2, 3):
            np.multiply(lines[cell + at], weights[at, rows, np.newaxis], out=other)
            target += other
    return found


def _in_middles(nodes: Positions) -> Positions:
    """The cubic in the middle of each cell."""
    down, across = nodes.shape[0] - 3, nodes.shape[1] - 3
    lines = sum(weight * nodes[at : at + down] for at, weight in enumerate(_OF_MIDDLE))
    return np.asarray(sum(weight * lines[:, at : at + across] for at, weight in enumerate(_OF_MIDDLE)))
