"""Chooses the overview from which a target is warped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rasteret_sql.geo.grid import Window
from rasteret_sql.geo.pixel_map import PixelMap, Positions
from rasteret_sql.raster.warp.plan import Ints, edge_positions

_ALIKE = 1e-2
"""Part by which a level may be coarser than the target and counts as of its resolution: sizes of levels are rounded."""


def choose_overview(pixel_map: PixelMap, target: Window, factors: Sequence[float]) -> int:
    """The coarsest level that has at least the target's resolution, on both axes.

    Args:
        pixel_map: target pixels to those of full resolution.
        target: the whole target.
        factors: pixels of full resolution for one of each level, 1 first.
    """
    targets = np.array([(target.col_off, target.row_off, target.width, target.height)])
    return int(choose_overviews(pixel_map, targets, factors)[0])


def choose_overviews(pixel_map: PixelMap, targets: Ints, factors: Sequence[float]) -> Ints:
    """The same of many targets: first column and row, width and height of each, shape (n, 4)."""
    across, down = (_spread(each) for each in edge_positions(pixel_map, targets))
    most = np.minimum(across / targets[:, 2], down / targets[:, 3]) * (1 + _ALIKE)
    # Of those that fit the coarsest, the first of these; where none does, full resolution.
    of_each = np.array(factors)
    fitting = np.where(of_each <= most[:, np.newaxis], of_each, 0.0)
    chosen: Ints = fitting.argmax(1)
    return chosen


def _spread(positions: Positions) -> Positions:
    """The source pixels that positions span, of each target; 0 where none of them has a place."""
    finite = np.isfinite(positions)
    low, high = np.where(finite, positions, np.inf).min(1), np.where(finite, positions, -np.inf).max(1)
    return np.where(finite.any(1), high - low, 0.0)
