"""Draws small pictures of pixels, for notebooks and terminals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rasteret_sql.raster.render import render_png


def draw_small(data: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None, longest: int) -> bytes:
    """Draw pixels as a PNG of a limited size: of larger ones every n-th pixel.

    Args:
        data: shape (bands, height, width).
        valid: same shape, True is valid; None where all are.
        longest: most pixels of the longer side.
    """
    step = max(1, math.ceil(max(data.shape[1:]) / longest))
    small = None if valid is None else np.logical_and.reduce(valid[:, ::step, ::step], axis=0)
    return render_png(data[:, ::step, ::step], small)
