"""Coordinate reference systems: one spelling for each, and vectorised transforms between them.

A CRS is a string throughout the package: `EPSG:n` where the CRS has an EPSG code, else WKT2. Axes are always x, y
(longitude, latitude), whatever the authority says. pyproj objects are not safe to share between threads, so each
thread keeps its own transformers; the strings are shared.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from pyproj.exceptions import CRSError, ProjError

from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.types import Bounds

LONLAT = "EPSG:4326"
"""The CRS of geometries that do not say theirs."""

ACCEPTED = "an EPSG code (32632), 'EPSG:32632', 'OGC:CRS84', a urn:ogc:def:crs name, WKT or PROJJSON"

_TRANSFORMERS_PER_THREAD = 64
_local = threading.local()


def normalize_crs(value: int | str | dict[str, Any]) -> str:
    """Give a CRS its one spelling: `EPSG:n` where it has a code, else WKT2.

    A code is given only where the definition is exactly that CRS: a likely match would move pixels unseen. OGC:CRS84
    is EPSG:4326, since axes are x, y here.

    Args:
        value: EPSG code, authority string, WKT, PROJJSON (text or dict), or anything else PROJ reads.

    Raises:
        InvalidCrsError: PROJ does not know it.
    """
    if isinstance(value, bool) or not isinstance(value, int | str | dict | np.integer):
        raise InvalidCrsError(f"a CRS cannot be read from {value!r} ({type(value).__name__}); give {ACCEPTED}")
    text = json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value).strip()
    return _normalize_text(text)


@lru_cache(maxsize=1024)
def _normalize_text(text: str) -> str:
    try:
        # A bare number would be taken for a name by PROJ when it has leading zeros or a sign.
        crs = pyproj.CRS.from_epsg(int(text)) if text.isdecimal() else pyproj.CRS.from_user_input(text)
    except (CRSError, ValueError, OverflowError) as error:
        raise InvalidCrsError(f"the CRS {_shorten(text)} is not known; give {ACCEPTED}") from error
    authority = crs.to_authority(min_confidence=100)
    if authority is not None:
        name, code = authority
        if name == "EPSG" and code.isdecimal():
            return f"EPSG:{code}"
        if (name, code) == ("OGC", "CRS84"):
            return LONLAT
    return str(crs.to_wkt())


def transformer(src: str, dst: str) -> pyproj.Transformer:
    """The transformer between two CRS, x before y, kept for this thread.

    Raises:
        InvalidCrsError: a CRS is unknown, or PROJ has no way from one to the other.
    """
    cache: OrderedDict[tuple[str, str], pyproj.Transformer] | None = getattr(_local, "transformers", None)
    if cache is None:
        cache = _local.transformers = OrderedDict()
    found = cache.get((src, dst))
    if found is not None:
        cache.move_to_end((src, dst))
        return found
    known_src, known_dst = normalize_crs(src), normalize_crs(dst)
    try:
        made = pyproj.Transformer.from_crs(known_src, known_dst, always_xy=True)
    except (CRSError, ProjError) as error:
        raise InvalidCrsError(f"PROJ has no transform from {_shorten(src)} to {_shorten(dst)}") from error
    cache[src, dst] = made
    if len(cache) > _TRANSFORMERS_PER_THREAD:
        cache.popitem(last=False)
    return made


def same_crs(first: str, second: str) -> bool:
    """True where both strings mean the same CRS."""
    return first == second or normalize_crs(first) == normalize_crs(second)


def transform_points(
    xs: npt.ArrayLike, ys: npt.ArrayLike, src: str, dst: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Transform coordinates; those that the target CRS cannot express come back as inf.

    Args:
        xs: x or longitude of each point, any shape.
        ys: y or latitude, same shape.
        src: CRS of the points.
        dst: CRS wanted.
    """
    x, y = np.asarray(xs, dtype=np.float64), np.asarray(ys, dtype=np.float64)
    if x.size == 0 or same_crs(src, dst):
        return x, y
    out_x, out_y = transformer(src, dst).transform(x, y)
    return np.asarray(out_x, dtype=np.float64), np.asarray(out_y, dtype=np.float64)


def transform_geometries(geometries: npt.NDArray[np.object_], src: str, dst: str) -> npt.NDArray[np.object_]:
    """Transform geometries vertex by vertex, without adding vertices, all in one call to PROJ.

    Args:
        geometries: shapely geometries or None, shape (n,). Not changed.
        src: CRS of the geometries.
        dst: CRS wanted.

    Returns:
        New 2-D geometries, shape (n,); the same array where both CRS are equal.

    Raises:
        InvalidCrsError: a vertex has no finite coordinates in `dst`; names the geometry's bounds.
    """
    moved = transform_where_possible(geometries, src, dst)
    lost: npt.NDArray[np.bool_] = shapely.is_missing(moved) & ~shapely.is_missing(geometries)
    if lost.any():
        raise no_place(geometries[np.argmax(lost)], src, dst)
    return moved


def transform_where_possible(geometries: npt.NDArray[np.object_], src: str, dst: str) -> npt.NDArray[np.object_]:
    """As `transform_geometries`, but None for a geometry with a vertex that has no finite coordinates in `dst`."""
    if geometries.size == 0 or same_crs(src, dst):
        return geometries
    coordinates, owner = shapely.get_coordinates(geometries, return_index=True)
    if len(coordinates) == 0:
        return geometries
    xy = np.column_stack(transform_points(coordinates[:, 0], coordinates[:, 1], src, dst))
    finite = np.asarray(np.isfinite(xy).all(axis=1))
    moved = np.asarray(shapely.set_coordinates(geometries.copy(), np.where(finite[:, None], xy, 0.0)))
    moved[np.unique(owner[~finite])] = None
    return moved


def no_place(geometry: shapely.Geometry, src: str, dst: str) -> InvalidCrsError:
    """The error for a geometry that cannot be transformed."""
    bounds = ", ".join(f"{v:.10g}" for v in shapely.bounds(geometry))
    return InvalidCrsError(
        f"a geometry with bounds ({bounds}) in {_shorten(src)} has no place in {_shorten(dst)}: "
        "check geom_crs := and the order of axes (x before y, longitude before latitude)"
    )


def lies_elsewhere(geometry: shapely.Geometry, src: str, bounds: Bounds, dst: str) -> bool:
    """True where a geometry is a sound place on Earth, and one that does not meet `bounds`.

    A projection reaches only so far: what is on the other side of the globe has no coordinates in it, and yet it is
    sure that it misses an image.

    Args:
        geometry: not empty, in `src`.
        src: its CRS.
        bounds: of the image, in `dst`.
        dst: CRS of the image.
    """
    coordinates = shapely.get_coordinates(geometry)
    lon, lat = transform_points(coordinates[:, 0], coordinates[:, 1], src, LONLAT)
    image = _lonlat_bounds(bounds, dst)
    # `not` takes infinite and NaN along, and numbers that are no longitude and latitude at all.
    if image is None or not (np.abs(lon).max() <= 360 and np.abs(lat).max() <= 90):
        return False
    west, south, east, north = image
    here = shapely.box(lon.min(), lat.min(), lon.max(), lat.max())
    return not any(shapely.box(west + turn, south, east + turn, north).intersects(here) for turn in (-360, 0, 360))


@lru_cache(maxsize=4096)
def _lonlat_bounds(bounds: Bounds, crs: str) -> Bounds | None:
    """Bounds in lon/lat, east beyond 180 across the antimeridian; None where they have none."""
    west, south, east, north = transformer(crs, LONLAT).transform_bounds(*bounds, densify_pts=21)
    if not np.isfinite((west, south, east, north)).all():
        return None
    return west, south, east + 360 if east < west else east, north


def _shorten(text: str, limit: int = 80) -> str:
    """A CRS as it stands in a message: WKT and PROJJSON are cut."""
    shown = " ".join(text.split())
    return repr(shown if len(shown) <= limit else shown[: limit - 1] + "…")
