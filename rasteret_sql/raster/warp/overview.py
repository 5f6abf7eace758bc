"""Chooses the overview from which a target is warped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rasteret_sql.geo.grid import Window
from rasteret_sql.geo.pixel_map import PixelMap

_ALIKE = 1e-2
"""Part by which a level may be coarser than the target and counts as of its resolution: sizes of levels are rounded."""
_SAMPLES = 21
"""Points on each edge of the target."""


def choose_overview(pixel_map: PixelMap, target: Window, factors: Sequence[float]) -> int:
    """The coarsest level that has at least the target's resolution, on both axes.

    Args:
        pixel_map: target pixels to those of full resolution.
        target: the whole target.
        factors: pixels of full resolution for one of each level, 1 first.
    """
    across, down = source_pixels(pixel_map, target)
    most = min(across / target.width, down / target.height) * (1 + _ALIKE)
    fitting = [level for level, factor in enumerate(factors) if factor <= most]
    return max(fitting, key=lambda level: factors[level], default=0)


def source_pixels(pixel_map: PixelMap, target: Window) -> tuple[float, float]:
    """Columns and rows of the source that the edges of a target span; 0 where none of them has a place."""
    along = np.linspace(0, 1, _SAMPLES)
    none, whole = np.zeros(_SAMPLES), np.ones(_SAMPLES)
    spans = pixel_map.exact(
        target.col_off + target.width * np.concatenate([along, along, none, whole]),
        target.row_off + target.height * np.concatenate([none, whole, along, along]),
    )
    found = [each[np.isfinite(each)] for each in spans]
    across, down = (float(np.ptp(each)) if each.size else 0.0 for each in found)
    return across, down
