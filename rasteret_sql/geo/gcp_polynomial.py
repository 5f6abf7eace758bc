"""Places pixels by a polynomial, as GDAL's transformer of ground control points does."""

from __future__ import annotations

import numpy as np

from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.gcp_layout import named, rank_lacks, require_plane, rounded_out
from rasteret_sql.geo.gcp_numbers import Fit, Floats, Jacobian, Pair, Scaled, extents, newton, solved, terms


class _Surface:
    """A pair of polynomials (a, b) → (p, q), by least squares; the unweighted ones of GDAL's GCP transformer."""

    def __init__(self, given: Floats, values: Floats, order: int) -> None:
        self.order = order
        self._in, self._out = Scaled.over(given), Scaled.over(values)
        goal = np.column_stack(self._out(*values.T))
        self._k = solved(terms(*self._in(*given.T), order), goal)

    def __call__(self, a: Floats, b: Floats) -> Pair:
        u, v = self._in(a, b)
        p, q = (self._value(k, u, v) for k in self._k.T)
        return self._out.back(p, q)

    def _value(self, k: Floats, u: Floats, v: Floats) -> Floats:
        value: Floats = k[0] + k[1] * u + k[2] * v
        return value if self.order == 1 else value + (k[3] * u + k[4] * v) * u + k[5] * v * v

    def derivatives(self, a: Floats, b: Floats) -> Jacobian:
        """Of the values by a and b."""
        u, v = self._in(a, b)
        scale = self._out.scale / self._in.scale
        found = []
        for k in self._k.T:
            if self.order == 1:
                found += [np.full(u.shape, k[1] * scale), np.full(u.shape, k[2] * scale)]
            else:
                found += [(k[1] + 2 * k[3] * u + k[4] * v) * scale, (k[2] + k[4] * u + 2 * k[5] * v) * scale]
        return found[0], found[1], found[2], found[3]


class _Polynomial:
    """The polynomial of GDAL's warp: fitted from places to pixels."""

    def __init__(self, points: Floats, order: int) -> None:
        self._pixels = _Surface(points[:, 2:], points[:, :2], order)
        self._guess = _Surface(points[:, :2], points[:, 2:], order)
        self._extent = extents(points)
        centre = points[:, 2:].mean(axis=0)
        self._side = float(np.sign(_determinant(self._pixels.derivatives(*centre[:, np.newaxis]))[0]))
        """Of the determinant in the image; on the other side of a fold it is the other one."""

    def to_pixels(self, x: Floats, y: Floats) -> Pair:
        col, row = self._pixels(x, y)
        if self._pixels.order == 1:
            return col, row
        here = _determinant(self._pixels.derivatives(x, y)) * self._side > 0
        return np.where(here, col, np.nan), np.where(here, row, np.nan)

    def to_places(self, col: Floats, row: Floats) -> Pair:
        x, y = newton(
            lambda x, y: (self._pixels(x, y), self._pixels.derivatives(x, y)),
            (col, row), self._guess(col, row), self._extent,
        )  # fmt: skip
        if self._pixels.order == 1:
            return x, y
        here = _determinant(self._pixels.derivatives(x, y)) * self._side > 0
        return np.where(here, x, np.nan), np.where(here, y, np.nan)


def _determinant(jacobian: Jacobian) -> Floats:
    return jacobian[0] * jacobian[3] - jacobian[1] * jacobian[2]


def polynomial(points: Floats, order: int) -> Fit:
    """Fit a polynomial of order 1 or 2 to points, shape (n, 4): column, row, x, y.

    Raises:
        InvalidCrsError: They do not determine it.
    """
    require_plane(points, f"a polynomial of order {order}", 6 if order == 2 else 3)
    for values, of in ((points[:, :2], "pixels"), (points[:, 2:], "places")):
        if order == 2 and rank_lacks(terms(*rounded_out(values), 2), 6):
            raise InvalidCrsError(
                f"the {of} of {named(points)} lie on two lines, or on another curve of second order, so they "
                "determine no polynomial of order 2; use gcp := 'tps'"
            )
    return _Polynomial(points, order)
