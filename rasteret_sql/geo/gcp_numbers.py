"""Computes fits to ground control points in scaled numbers, and inverts them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Pair = tuple[Floats, Floats]
Jacobian = tuple[Floats, Floats, Floats, Floats]
"""∂p/∂a, ∂p/∂b, ∂q/∂a, ∂q/∂b of (p, q) by (a, b)."""
_ROUNDS = 30
_CONVERGED = 1e-9
"""Of the extent of the points: steps of Newton's method that end it."""
_MISSED = 1e-6
"""Of the extent of the points: what a place that was found may miss; one that misses more is none."""


class Fit(Protocol):
    """The map between places and pixels, of arrays of shape (n,); neither is finite where there is no such place."""

    def to_pixels(self, x: Floats, y: Floats) -> Pair:
        """Columns and rows at places, from the corner of the image."""

    def to_places(self, col: Floats, row: Floats) -> Pair:
        """Places of columns and rows."""


class Scaled:
    """Moves coordinates to around 0, within 1, by one scale for both axes."""

    def __init__(self, centre: Floats, scale: float) -> None:
        self.centre, self.scale = centre, scale

    @classmethod
    def over(cls, values: Floats) -> Scaled:
        """Of these, shape (n, 2)."""
        centre = values.mean(axis=0)
        return cls(centre, float(np.abs(values - centre).max()) or 1.0)

    def __call__(self, a: Floats, b: Floats) -> Pair:
        return (a - self.centre[0]) / self.scale, (b - self.centre[1]) / self.scale

    def back(self, a: Floats, b: Floats) -> Pair:
        return a * self.scale + self.centre[0], b * self.scale + self.centre[1]


def newton(
    function: Callable[[Floats, Floats], tuple[Pair, Jacobian]], target: Pair, guess: Pair, extent: tuple[float, float]
) -> Pair:
    """Positions (a, b) at which a function has some values; NaN where none is found.

    Args:
        function: (a, b) → values and derivatives, of shape (n,).
        target: the values.
        guess: to begin with.
        extent: of the points in values, and in (a, b).
    """
    a, b = (each.copy() for each in guess)
    found_a, found_b = np.full(a.shape, np.nan), np.full(a.shape, np.nan)
    todo = np.flatnonzero(np.isfinite(a) & np.isfinite(b) & np.isfinite(target[0]) & np.isfinite(target[1]))
    for _ in range(_ROUNDS):
        if not todo.size:
            break
        (p, q), (pa, pb, qa, qb) = function(a[todo], b[todo])
        off_p, off_q = p - target[0][todo], q - target[1][todo]
        det = pa * qb - pb * qa
        step_a, step_b = (qb * off_p - pb * off_q) / det, (pa * off_q - qa * off_p) / det
        a[todo] -= step_a
        b[todo] -= step_b
        ends = np.hypot(step_a, step_b) <= _CONVERGED * extent[1]
        near = ends & (np.hypot(off_p, off_q) <= _MISSED * extent[0])
        found_a[todo[near]], found_b[todo[near]] = a[todo[near]], b[todo[near]]
        todo = todo[~ends & np.isfinite(det) & (det != 0)]
    return found_a, found_b


def terms(u: Floats, v: Floats, order: int) -> Floats:
    """Terms of a polynomial of order 1 or 2, shape (n, 3) or (n, 6)."""
    found = [np.ones_like(u), u, v]
    if order == 2:
        found += [u * u, u * v, v * v]
    return np.stack(found, axis=-1)


def solved(matrix: Floats, goal: Floats) -> Floats:
    """Least squares, of each column of the goal."""
    found: Floats = np.linalg.lstsq(matrix, goal, rcond=None)[0].astype(np.float64, copy=False)
    return found


def extents(points: Floats) -> tuple[float, float]:
    """Of the pixels and of the places of points."""
    pixels, places = np.ptp(points[:, :2], axis=0).max(), np.ptp(points[:, 2:], axis=0).max()
    return float(pixels), float(places)
