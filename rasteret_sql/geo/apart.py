"""Tells pairs of a geometry and an image that surely do not meet, by comparing boxes as arrays.

A geometry's box is known in its own CRS. So that of an image is found there, or both are found in longitude and
latitude, large enough: what is not surely apart is placed exactly (`geo.placement`). Longitudes count in whole turns.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyproj

from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.crs import LONLAT, lonlat_of, metres, metres_a_unit, normalize_crs, same_crs, transformer
from rasteret_sql.geo.densify import wrapped
from rasteret_sql.geo.grid import Affine, Bounds, Grid

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_POSITIONS = 21
"""Positions along each side of an image at which it is looked up on the globe."""
_LARGEST_STEP = 5.0
"""Degrees between two of them; an image for which they are more is not compared."""
_HIGHEST = 85.0
"""Latitude up to which geometries and images are compared."""
_SHIFT = 0.02
"""Degrees by which datums may differ, and ways there and back (see `geo.small_geometries`)."""
_SIZES = 16.0
"""How many times its own size a geometry is kept away from the image: that much may its box grow by being turned and
stretched in the CRS of the image. Where its box there meets the image, it has pixels to look at."""
_DEGREE = 111_000.0
"""Metres in a degree of latitude, rather fewer."""
_REGULAR = (
    "Transverse Mercator",
    "Mercator",
    "Popular Visualisation Pseudo Mercator",
    "Lambert Conic Conformal",
    "Lambert Azimuthal Equal Area",
    "Albers Equal Area",
    "Polar Stereographic",
    "Oblique Stereographic",
)
"""Beginnings of the names of projections in which lengths are about as long as they are on the ground."""


class ImageBox(NamedTuple):
    """The box outside of which a geometry surely misses an image."""

    bounds: Bounds
    turn: float
    """Longitude of a whole turn, in the units of the box; 0 where it is in the plane of the image itself."""
    lifted: str
    """CRS of geometries that are to be taken to longitude and latitude first; empty where the box is in theirs."""


@lru_cache(maxsize=4096)
def image_box(source: str, native: str, grid: Grid) -> ImageBox | None:
    """The box with which geometries can be compared; None where they have to be placed.

    Args:
        source: CRS of the geometries.
        native: CRS of the image.
        grid: the image.
    """
    try:
        hub = lonlat_of(source)
        if hub is None and same_crs(source, native):
            return ImageBox(_grown(grid), 0.0, "") if grid.transform.is_rectilinear else None
        if hub is None and not _is_regular(source):
            return None
        bounds = _on_lonlat(grid, native, source if hub is not None else LONLAT, 360.0 if hub is None else hub.turn)
    except InvalidCrsError:
        return None  # placing it says so
    if bounds is None:
        return None
    return ImageBox(bounds, 360.0 if hub is None else hub.turn, source if hub is None else "")


def _grown(grid: Grid) -> Bounds:
    """The box of an image and a pixel around it."""
    west, south, east, north = grid.bounds
    across, down = abs(grid.transform.a), abs(grid.transform.e)
    return west - across, south - down, east + across, north + down


@lru_cache(maxsize=1024)
def _is_regular(crs: str) -> bool:
    known = pyproj.CRS.from_user_input(normalize_crs(crs))
    method = known.coordinate_operation.method_name if known.is_projected and known.coordinate_operation else ""
    return not known.is_bound and method.startswith(_REGULAR)


def _on_lonlat(grid: Grid, native: str, lonlat: str, turn: float) -> Bounds | None:
    """A box that surely holds an image in longitude and latitude; None where that is not clear.

    The image is looked up at positions all over it. Between two of them it may stray by no more than these are apart.
    """
    cols, rows = np.meshgrid(np.linspace(0, grid.width, _POSITIONS), np.linspace(0, grid.height, _POSITIONS))
    x, y = _applied(grid.transform, cols, rows)
    lon, lat = (np.asarray(each) for each in transformer(native, lonlat).transform(x, y))
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return None
    if lonlat_of(native) is None:
        back = transformer(lonlat, native).transform(lon, lat)
        if not (np.hypot(back[0] - x, back[1] - y) <= metres(native, 100.0)).all():
            return None
    degree = turn / 360
    across, down = wrapped(np.diff(lon, axis=1), turn), wrapped(np.diff(lon, axis=0), turn)
    # Round a pole the steps around a cell do not come back to where they began.
    around = across[:-1] + down[:, 1:] - across[1:] - down[:, :-1]
    step = max(float(np.abs(across).max()), float(np.abs(down).max()))
    climb = max(float(np.abs(np.diff(lat, axis=axis)).max()) for axis in (0, 1))
    highest = float(np.abs(lat).max()) + climb
    if max(step, climb) > _LARGEST_STEP * degree or np.abs(around).max() > degree or highest > _HIGHEST * degree:
        return None
    unrolled = lon[:1, :1] + np.vstack([np.zeros((1, 1)), np.cumsum(down[:, :1], axis=0)])
    unrolled = np.hstack([unrolled, unrolled + np.cumsum(across, axis=1)])
    shift = _SHIFT * degree
    beside = step + shift / np.cos(highest * (2 * np.pi / turn))
    above = climb + shift
    return (
        float(unrolled.min()) - beside,
        float(lat.min()) - above,
        float(unrolled.max()) + beside,
        float(lat.max()) + above,
    )


def _applied(transform: Affine, cols: Floats, rows: Floats) -> tuple[Floats, Floats]:
    return (
        transform.a * cols + transform.b * rows + transform.c,
        transform.d * cols + transform.e * rows + transform.f,
    )


class Apart:
    """Compares the boxes of many geometries with those of their images."""

    def __init__(self, images: list[ImageBox | None]) -> None:
        """Know these images; geometries name them by their position."""
        self._bounds = np.array(
            [(np.nan,) * 4 if image is None else image.bounds for image in images], np.float64
        ).reshape(-1, 4)
        self._turns = np.array([0.0 if image is None else image.turn for image in images])
        lifted = ["" if image is None else image.lifted for image in images]
        self._lifted = {crs: np.array([one == crs for one in lifted], bool) for crs in dict.fromkeys(lifted) if crs}

    def surely(self, boxes: Floats, image: npt.NDArray[np.int64]) -> Bools:
        """True for geometries that surely have no pixel of their image, and a place on the globe.

        Args:
            boxes: in the CRS for which the image's box was made, shape (n, 4); NaN where unknown.
            image: of each, shape (n,).
        """
        boxes, size = self._comparable(boxes, image)
        turn = self._turns[image]
        around = turn > 0
        with np.errstate(invalid="ignore"):  # unknown boxes
            highest = np.maximum(np.abs(boxes[:, 1]), np.abs(boxes[:, 3]))
            sound = ~around | (
                (highest <= _HIGHEST / 360 * turn) & (boxes[:, 0] >= -1.5 * turn) & (boxes[:, 2] <= 1.5 * turn)
            )
            reach = self._bounds[image]
            off = np.abs((boxes[:, 0] + boxes[:, 2]) - (reach[:, 0] + reach[:, 2])) / 2
            one = np.where(around, turn, 1.0)
            off = np.where(around, np.abs(off - turn * np.round(off / one)), off)
            grow = np.where(around, _SIZES * size, 0.0)
            shrink = np.cos(np.where(around & sound, highest * (2 * np.pi) / one, 0.0))
            beside = off > ((boxes[:, 2] - boxes[:, 0]) + (reach[:, 2] - reach[:, 0])) / 2 + grow / shrink
            beyond = (boxes[:, 1] > reach[:, 3] + grow) | (boxes[:, 3] < reach[:, 1] - grow)
            return np.asarray(sound & (beside | beyond))

    def swapped_may_meet(self, boxes: Floats, image: npt.NDArray[np.int64]) -> Bools:
        """True for geometries in longitude and latitude that would perhaps meet their image with the two swapped."""
        turn = self._turns[image]
        with np.errstate(invalid="ignore"):
            places = np.maximum(np.abs(boxes[:, 0]), np.abs(boxes[:, 2])) <= turn / 4 * (1 + 1e-9)
        asked = (turn > 0) & places
        for images in self._lifted.values():
            asked &= ~images[image]
        found = np.zeros(len(boxes), bool)
        found[asked] = ~self.surely(boxes[asked][:, (1, 0, 3, 2)], image[asked])
        return found

    def _comparable(self, boxes: Floats, image: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Boxes in the CRS of the image's box, and the larger side of each."""
        size = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        for crs, images in self._lifted.items():
            rows = np.flatnonzero(images[image] & np.isfinite(size))
            boxes, size = boxes.copy(), size.copy()
            x, y = ((boxes[rows, side] + boxes[rows, side + 2]) / 2 for side in (0, 1))
            lon, lat = (np.asarray(each) for each in transformer(crs, LONLAT).transform(x, y))
            placed = np.isfinite(lon) & np.isfinite(lat) & (np.abs(lat) <= _HIGHEST)
            high = np.where(placed, size[rows] * metres_a_unit(crs) / _DEGREE, np.nan)
            with np.errstate(invalid="ignore"):
                wide = high / np.cos(np.radians(np.where(placed, lat, 0.0)))
            boxes[rows] = np.column_stack([lon - wide, lat - high, lon + wide, lat + high])
            size[rows] = 2 * high
        return boxes, size
