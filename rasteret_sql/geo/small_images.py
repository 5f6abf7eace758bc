"""Computes the boxes in longitude and latitude of many small images at once, by the points of their edges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rasteret_sql.errors import RasteretError
from rasteret_sql.geo.crs import LONLAT, lonlat_of, metres, transformer
from rasteret_sql.geo.grid import Affine, Bounds

_STEPS = 24
"""Parts of an edge. Between two points of it the outline of a small image strays by less than 1e-4 of its size."""
_AT_ONCE = 4096
"""Images whose points are held."""
_SMALL = 2.0
"""Degrees of the longer side."""
_NORTHMOST, _EASTMOST = 80.0, 178.0
"""Beyond them meridians crowd, and longitudes jump."""
_SAME = 1.0
"""Metres by which a point may come back beside itself, where a projection shows the globe."""


@dataclass(frozen=True, slots=True)
class PlacedImage:
    """An image and its place."""

    transform: Affine
    width: int
    height: int
    crs: str


def boxes_of_small_images(images: Sequence[PlacedImage]) -> list[Bounds | None]:
    """The boxes of images, west, south, east, north; as `image_region` has them.

    Returns:
        For each its box; None where it needs a closer look: it is large, near a pole or the antimeridian, in longitude
        and latitude itself, or in a part of the plane that does not show the globe.
    """
    found: list[Bounds | None] = [None] * len(images)
    of_crs: dict[str, list[int]] = defaultdict(list)
    for number, image in enumerate(images):
        of_crs[image.crs].append(number)
    for crs, numbers in of_crs.items():
        for start in range(0, len(numbers), _AT_ONCE):
            some = numbers[start : start + _AT_ONCE]
            for number, box in zip(some, _boxes(crs, [images[n] for n in some]), strict=True):
                found[number] = box
    return found


def _boxes(crs: str, images: Sequence[PlacedImage]) -> list[Bounds | None]:
    nothing: list[Bounds | None] = [None] * len(images)
    hub = lonlat_of(LONLAT)
    assert hub is not None
    if lonlat_of(crs) is not None:  # edges in longitude and latitude are straight there
        return nothing
    try:
        there, back = transformer(crs, hub.crs), transformer(hub.crs, crs)
    except RasteretError:  # a CRS newer than PROJ's, or points on a line
        return nothing
    xy = np.stack([_edges(image) for image in images])
    lon, lat = there.transform(xy[..., 0], xy[..., 1])
    x, y = back.transform(lon, lat)
    with np.errstate(invalid="ignore"):  # infinite where there is no place
        shown = np.hypot(x - xy[..., 0], y - xy[..., 1]) <= metres(crs, _SAME)
        fits = (
            shown.all(axis=1)
            & (np.ptp(lon, axis=1) < _SMALL)
            & (np.ptp(lat, axis=1) < _SMALL)
            & (np.abs(lat).max(axis=1) < _NORTHMOST)
            & (np.abs(lon).max(axis=1) < _EASTMOST)
        )
    boxes = np.stack([lon.min(axis=1), lat.min(axis=1), lon.max(axis=1), lat.max(axis=1)], axis=1)
    return [tuple(box) if small else None for box, small in zip(boxes.tolist(), fits.tolist(), strict=True)]


def _edges(image: PlacedImage) -> npt.NDArray[np.float64]:
    """Points on the outline of an image in its CRS, shape (n, 2)."""
    part = np.arange(_STEPS) / _STEPS
    one, none = np.ones(_STEPS), np.zeros(_STEPS)
    col = image.width * np.concatenate([part, one, 1 - part, none])
    row = image.height * np.concatenate([none, part, one, 1 - part])
    a, b, c, d, e, f = image.transform
    return np.stack([a * col + b * row + c, d * col + e * row + f], axis=1)
