"""Places pixels by a thin plate spline through all ground control points, as GDAL's transformer does."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.gcp_layout import named, require_plane
from rasteret_sql.geo.gcp_numbers import Fit, Floats, Jacobian, Pair, Scaled, extents, newton, terms

_MOST_OF_SPLINE = 2_500
"""Points of a thin plate spline: their equations take memory by the square, and time by the cube of their number."""
_AT_ONCE = 1 << 15
"""Distances between places and points that are computed at a time: so they stay near the processor."""
_NO_DISTANCE = 1e-300
"""Added to squares of distances, so that 0 ln 0 is 0."""
_MISSED = 1e-6
"""Of the extent of the points: what the spline may miss them by."""


class _Spline:
    """A thin plate spline (a, b) → (p, q) through its points: s ln s of the squared distance s, no smoothing."""

    def __init__(self, given: Floats, values: Floats) -> None:
        self._in, self._out = Scaled.over(given), Scaled.over(values)
        self._u, self._v = self._in(*given.T)
        count = len(given)
        equations = np.zeros((count + 3, count + 3))
        plane = terms(self._u, self._v, 1)
        equations[:count, count:], equations[count:, :count] = plane, plane.T
        equations[:count, :count] = _radial((self._u[:, None] - self._u) ** 2 + (self._v[:, None] - self._v) ** 2)
        goal = np.zeros((count + 3, 2))
        goal[:count] = np.column_stack(self._out(*values.T))
        found = np.linalg.solve(equations, goal)
        self._weights, self._plane = found[:count], found[count:]

    def __call__(self, a: Floats, b: Floats) -> Pair:
        return self.with_derivatives(a, b, derivatives=False)[0]

    def with_derivatives(self, a: Floats, b: Floats, *, derivatives: bool = True) -> tuple[Pair, Jacobian]:
        """Values, and these by a and b; shape (n,)."""
        u, v = self._in(a, b)
        found = np.empty((6 if derivatives else 2, len(u)))
        step = max(1, _AT_ONCE // len(self._u))
        for begin in range(0, len(u), step):
            some = slice(begin, begin + step)
            found[:, some] = self._some(u[some], v[some], derivatives=derivatives)
        values = self._out.back(found[0], found[1])
        slopes = found[2:] * (self._out.scale / self._in.scale) if derivatives else np.empty((4, 0))
        return values, (slopes[0], slopes[1], slopes[2], slopes[3])

    def _some(self, u: Floats, v: Floats, *, derivatives: bool) -> Floats:
        """Values, and derivatives in scaled numbers, shape (2, n) or (6, n)."""
        off_u, off_v = u[:, None] - self._u, v[:, None] - self._v
        squares = off_u * off_u
        squares += off_v * off_v
        squares += _NO_DISTANCE
        logs = np.log(squares)
        squares *= logs
        values = squares @ self._weights + terms(u, v, 1) @ self._plane
        if not derivatives:
            return values.T
        logs += 1
        logs *= 2
        off_u *= logs
        off_v *= logs
        by_u, by_v = off_u @ self._weights + self._plane[1], off_v @ self._weights + self._plane[2]
        return np.stack([values[:, 0], values[:, 1], by_u[:, 0], by_v[:, 0], by_u[:, 1], by_v[:, 1]])


def _radial(squares: Floats) -> Floats:
    return squares * np.log(squares + _NO_DISTANCE)


class _ThinPlate:
    """The spline of GDAL's warp: from pixels to places through all points, and inverted from a second spline on."""

    def __init__(self, points: Floats) -> None:
        self._places = _Spline(points[:, :2], points[:, 2:])
        self._guess = _Spline(points[:, 2:], points[:, :2])
        pixels, places = extents(points)
        self._extent = places, pixels

    def to_pixels(self, x: Floats, y: Floats) -> Pair:
        return newton(self._places.with_derivatives, (x, y), self._guess(x, y), self._extent)

    def to_places(self, col: Floats, row: Floats) -> Pair:
        return self._places(col, row)

    def misses(self, points: Floats) -> bool:
        """True where it does not go through its points: their equations are too near to singular."""
        found = np.column_stack([*self._guess(*points[:, 2:].T), *self._places(*points[:, :2].T)])
        return not bool((np.abs(found - points) <= _MISSED * np.ptp(points, axis=0)).all())


def spline(points: Floats) -> Fit:
    """Fit a thin plate spline to points, shape (n, 4): column, row, x, y. Points that are the same count once.

    Raises:
        InvalidCrsError: They do not determine it, or are too many.
    """
    require_plane(points, "a thin plate spline", 3)
    if len(points) > _MOST_OF_SPLINE:
        raise InvalidCrsError(
            f"{named(points)} are too many for a thin plate spline, which takes {_MOST_OF_SPLINE:,} at most; use "
            "gcp := 'polynomial'"
        )
    points = points[np.sort(np.unique(points, axis=0, return_index=True)[1])]
    for values, of, twice in ((points[:, :2], "pixel", "places"), (points[:, 2:], "place", "pixels")):
        distinct, counts = np.unique(values, axis=0, return_counts=True)
        if (counts > 1).any():
            at = ", ".join(f"{each:.10g}" for each in distinct[np.argmax(counts)])
            raise InvalidCrsError(
                f"of {named(points)} some have {of} ({at}) and different {twice}, so no thin plate spline goes "
                "through them; use gcp := 'polynomial'"
            )
    with suppress(np.linalg.LinAlgError):
        found = _ThinPlate(points)
        if not found.misses(points):
            return found
    raise InvalidCrsError(
        f"{named(points)} lie too close to each other, or to one line, for a thin plate spline; use gcp := 'polynomial'"
    )
