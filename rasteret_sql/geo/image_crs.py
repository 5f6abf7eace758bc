"""`ImageCrs`: names the plane of the pixels of an image that ground control points place, as a CRS of its own.

Its units are pixels, from the upper left corner: columns to the right, rows downwards. So an image that has no
transform has one here, the identity, and all that is done with an image of a projected CRS (windows, masks, warps,
footprints) is done with it in the same way. `geo.crs` makes transformers to and from it. It is never shown: a chip of
such an image is on a grid of the CRS of its points, and no result or index has an `ImageCrs`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.gcp_fits import fit
from rasteret_sql.geo.gcp_numbers import Fit
from rasteret_sql.geo.gcps import Gcps
from rasteret_sql.geo.grid import Affine, Bounds

Floats = npt.NDArray[np.float64]
Move = Callable[[Any, Any], tuple[Any, Any]]
"""(x, y) of one CRS → those of another."""

PIXELS = Affine(1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""Transform of an image in its own plane."""
_STEP = 0.01
"""Part of the extent of the points over which the size of a pixel is measured."""


class ImageCrs(str):  # noqa: SLOT000 - a str has no place for slots
    """Names the plane of one image's pixels; a text like that of any CRS, for messages and as a key.

    Equal for images with the same points, CRS and method.
    """

    gcps: Gcps
    base: str
    """CRS of the points, as `geo.crs` writes it."""
    method: str | None
    """As `gcp_fits.fit` takes it."""

    @classmethod
    def of(cls, gcps: Gcps, base: str, method: str | None) -> Self:
        """Name the plane of an image with these points."""
        digest = hashlib.sha256(gcps.data + base.encode()).hexdigest()[:16]
        how = "" if method is None else f", by {method}"
        made = cls(f"pixels of an image with {len(gcps)} ground control points in {base}{how} ({digest})")
        made.gcps, made.base, made.method = gcps, base, method
        return made


def map_crs(crs: str) -> str:
    """The CRS in which pixels of an image can be shown: of one with ground control points that of these."""
    return crs.base if isinstance(crs, ImageCrs) else crs


@lru_cache(maxsize=4096)
def image_crs(gcps: Gcps, base: str, method: str | None) -> ImageCrs:
    """The plane of an image, the same object for the same points; nothing is fitted yet."""
    return ImageCrs.of(gcps, base, method)


@lru_cache(maxsize=1024)
def fit_of(crs: ImageCrs, turn: float | None) -> Fit:
    """The map between an image and the CRS of its points.

    Args:
        crs: Of the image.
        turn: Units of a whole turn where the points are longitudes and latitudes, else None.

    Raises:
        InvalidCrsError: The points do not determine it.
    """
    return fit(crs.gcps, crs.method, turn)


def onto_image(crs: ImageCrs, turn: float | None) -> Move:
    """The move from the CRS of the points to pixels; longitudes count in whole turns.

    Raises:
        InvalidCrsError: The points do not determine it.
    """
    to_pixels = fit_of(crs, turn).to_pixels
    x = crs.gcps.points[:, 2]
    if turn is not None and np.ptp(x) > turn / 2:
        x = np.where(x < 0, x + turn, x)  # as the fit has them, where they jump
    middle = float(x.min() + x.max()) / 2

    def move(x: Floats, y: Floats) -> tuple[Floats, Floats]:
        return to_pixels(x if turn is None else x + turn * np.round((middle - x) / turn), y)

    return _of_any_shape(move)


def from_image(crs: ImageCrs, turn: float | None) -> Move:
    """The move from pixels to the CRS of the points; longitudes may go on beyond half a turn.

    Raises:
        InvalidCrsError: The points do not determine it.
    """
    return _of_any_shape(fit_of(crs, turn).to_places)


def _of_any_shape(function: Callable[[Floats, Floats], tuple[Floats, Floats]]) -> Move:
    def move(x: Any, y: Any) -> tuple[Any, Any]:
        given = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        with np.errstate(all="ignore"):  # places that are not there
            found = function(given[0].ravel(), given[1].ravel())
        p, q = (each.reshape(given[0].shape) for each in found)
        return (p, q) if given[0].ndim else (float(p), float(q))

    return move


class Moves:
    """Several moves, one after the other, where PROJ's transformers stand elsewhere."""

    def __init__(self, moves: Sequence[Move]) -> None:
        self._moves = moves

    def transform(self, xx: Any, yy: Any) -> tuple[Any, Any]:
        """Positions of the first CRS in the last; not finite where there is no such place."""
        for move in self._moves:
            xx, yy = move(xx, yy)
        return xx, yy

    def transform_bounds(self, left: float, bottom: float, right: float, top: float, densify_pts: int = 21) -> Bounds:
        """Bounds in the last CRS of what lies within some in the first; not finite where nothing has a place."""
        x, y = np.meshgrid(np.linspace(left, right, densify_pts + 2), np.linspace(bottom, top, densify_pts + 2))
        found = [np.asarray(each)[np.isfinite(each)] for each in self.transform(x, y)]
        if not all(each.size for each in found):
            return math.inf, math.inf, math.inf, math.inf
        (xs, ys) = found
        return float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())


def pixel_side(crs: ImageCrs, turn: float | None, unit: float) -> float:
    """Side of a pixel in metres, in the middle of the points: that of a square of its area.

    Args:
        crs: Of the image.
        turn: Units of a whole turn where the points are longitudes and latitudes, else None.
        unit: Metres in a unit of the CRS of the points; on the equator where these are angles.

    Raises:
        InvalidCrsError: It cannot be told.
    """
    points = crs.gcps.points[:, :2]
    centre, step = points.mean(axis=0), _STEP * max(float(np.ptp(points)), 1.0)
    cols, rows = (centre + step * np.array([(-1, 0), (1, 0), (0, -1), (0, 1), (0, 0)])).T
    x, y = from_image(crs, turn)(cols, rows)
    slim = 1.0 if turn is None else math.cos(float(y[4]) * 2 * math.pi / turn)
    across, down = (x[1] - x[0]) * slim, y[1] - y[0]
    across_down, down_down = (x[3] - x[2]) * slim, y[3] - y[2]
    side = math.sqrt(abs(float(across * down_down - across_down * down))) / (2 * step) * unit
    if not (math.isfinite(side) and side > 0):
        raise InvalidCrsError(f"the {len(points)} ground control points do not tell how large the file's pixels are")
    return side
