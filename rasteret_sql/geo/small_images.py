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

_STEPS = (3, 6, 12, 24)
"""Parts of an edge. Between two points of it the outline of a small image strays by less than 1e-4 of its size: that
part of the size grows with the size, and with the square of the distance of points. So half as many points do for a
quarter of the size."""
_AT_ONCE = 4096
"""Images whose points are held."""
_SMALL = 2.0
"""Degrees of the longer side, for the most points."""
_DEGREE = 111_000.0
"""Metres."""
_NORTHMOST, _EASTMOST = 80.0, 178.0
"""Beyond them meridians crowd, and longitudes jump."""
_SAME = 1.0
"""Metres by which a point may come back beside itself, where a projection shows the globe."""

_Doubles = npt.NDArray[np.float64]


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
            boxes = _boxes(crs, [images[n] for n in some])
            for number, box, there in zip(some, boxes.tolist(), ~np.isnan(boxes[:, 0]), strict=True):
                found[number] = tuple(box) if there else None
    return found


def _boxes(crs: str, images: Sequence[PlacedImage]) -> _Doubles:
    """The boxes of images in a CRS, shape (n, 4); NaN of those that need a closer look."""
    boxes = np.full((len(images), 4), np.nan)
    hub = lonlat_of(LONLAT)
    assert hub is not None
    if lonlat_of(crs) is not None:  # edges in longitude and latitude are straight there
        return boxes
    try:
        there, back = transformer(crs, hub.crs), transformer(hub.crs, crs)
    except RasteretError:  # a CRS newer than PROJ's, or points on a line
        return boxes
    transforms = np.array([image.transform for image in images])
    sizes = np.array([(image.width, image.height) for image in images], float)
    sides = np.hypot(transforms[:, [0, 1]], transforms[:, [3, 4]]) * sizes
    degrees = sides.max(axis=1) / metres(crs, _DEGREE)
    waiting = np.arange(len(images))
    for steps in _STEPS:
        most = _SMALL * (steps / _STEPS[-1]) ** 2
        # By their size in the CRS, which is another one on the globe; the last take all.
        some = waiting if steps == _STEPS[-1] else waiting[degrees[waiting] < most]
        if not len(some):
            continue
        xy = _edges(transforms[some], sizes[some], steps)
        lon, lat = there.transform(xy[0], xy[1])
        x, y = back.transform(lon, lat)
        with np.errstate(invalid="ignore"):  # infinite where there is no place
            shown = np.hypot(x - xy[0], y - xy[1]) <= metres(crs, _SAME)
            fits = (
                shown.all(axis=1)
                & (np.ptp(lon, axis=1) < most)
                & (np.ptp(lat, axis=1) < most)
                & (np.abs(lat).max(axis=1) < _NORTHMOST)
                & (np.abs(lon).max(axis=1) < _EASTMOST)
            )
        found = np.stack([lon.min(axis=1), lat.min(axis=1), lon.max(axis=1), lat.max(axis=1)], axis=1)
        boxes[some[fits]] = found[fits]
        waiting = np.setdiff1d(waiting, some[fits], assume_unique=True)
    return boxes


def _edges(transforms: _Doubles, sizes: _Doubles, steps: int) -> tuple[_Doubles, _Doubles]:
    """Points on the outlines of images in their CRS: x and y, shape (n, points) each.

    Args:
        transforms: of the images, shape (n, 6).
        sizes: width and height of each.
        steps: parts of an edge.
    """
    part = np.arange(steps) / steps
    one, none = np.ones(steps), np.zeros(steps)
    col = sizes[:, :1] * np.concatenate([part, one, 1 - part, none])
    row = sizes[:, 1:] * np.concatenate([none, part, one, 1 - part])
    a, b, c, d, e, f = transforms.T[..., None]
    return a * col + b * row + c, d * col + e * row + f
