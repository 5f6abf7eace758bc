"""Grows a mask by a number of pixels in all directions."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def dilate(mask: npt.NDArray[np.bool_], pixels: int) -> npt.NDArray[np.bool_]:
    """Tell which pixels have their centre at most `pixels` pixels from the centre of one that is True.

    Args:
        mask: shape (height, width).
        pixels: radius, 0 or more.

    Returns:
        Same shape. Nothing beyond the border counts as True.
    """
    if pixels <= 0 or not mask.any():
        return mask
    height, width = mask.shape
    grown = np.zeros_like(mask)
    # Row by row of the disk: along a row it is a run, in which a True is looked for by counts from the left.
    counts = np.zeros((height, width + 1), np.int64)
    np.cumsum(mask, axis=1, out=counts[:, 1:])
    columns = np.arange(width)
    for down in range(-min(pixels, height - 1), min(pixels, height - 1) + 1):
        reach = math.isqrt(pixels * pixels - down * down)
        first, last = np.maximum(columns - reach, 0), np.minimum(columns + reach + 1, width)
        near = counts[:, last] > counts[:, first]
        if down >= 0:
            grown[down:] |= near[: height - down]
        else:
            grown[:down] |= near[-down:]
    return grown
