"""Computes the weights of source pixels by their distance from the centre of a target pixel, as GDAL does."""

from __future__ import annotations

import numpy as np

from rasteret_sql.raster.warp.neighbourhood import Numbers


def kernel(method: str, distance: Numbers) -> Numbers:
    """Weights at distances in pixels of the kernel, of any shape.

    The cubic is that of Keys with a = -0.5, cubic_spline six times the B-spline of third order, lanczos has three
    lobes. GDAL's own cubic_spline and lanczos are off where they make pixels smaller; these are the true ones.

    Args:
        method: bilinear, cubic, cubic_spline or lanczos.
        distance: of source pixels from the target's centre.
    """
    return _KERNELS[method](np.abs(distance))


def _bilinear(u: Numbers) -> Numbers:
    return np.maximum(1 - u, 0)


def _cubic(u: Numbers) -> Numbers:
    square = u * u
    near = square * (1.5 * u - 2.5) + 1
    far = square * (-0.5 * u + 2.5) - 4 * u + 2
    return np.where(u <= 1, near, np.where(u <= 2, far, 0.0))


def _cubic_spline(u: Numbers) -> Numbers:
    outer, inner = np.maximum(2 - u, 0), np.maximum(1 - u, 0)
    weights: Numbers = outer * outer * outer - 4 * (inner * inner * inner)
    return weights


def _lanczos(u: Numbers) -> Numbers:
    return np.where(u < 1e-12, 1.0, np.where(u < 3, np.sinc(u) * np.sinc(u / 3), 0.0))


_KERNELS = {"bilinear": _bilinear, "cubic": _cubic, "cubic_spline": _cubic_spline, "lanczos": _lanczos}


def cubic_weights(t: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Weights of the pixels at -1, 0, 1 and 2 for positions between 0 and 1, in the order of GDAL's arithmetic."""
    half, triple = 0.5 * t, 3 * t
    half_square = half * t
    return (
        half * (-1 + t * (2 - t)),
        1 + half_square * (-5 + triple),
        half * (1 + t * (4 - triple)),
        half_square * (-1 + t),
    )
