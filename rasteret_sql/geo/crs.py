"""Spells each coordinate reference system in one way, and makes the transformers between them.

A CRS is a string throughout the package: `EPSG:n` where the CRS has an EPSG code, else WKT2. Axes are always x, y
(longitude, latitude), whatever the authority says. pyproj objects are not safe to share between threads, so each
thread keeps its own transformers; the strings are shared.
"""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
import shapely
from pyproj.exceptions import CRSError, ProjError

from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.image_crs import ImageCrs, Move, Moves, from_image, map_crs, onto_image, pixel_side

LONLAT = "EPSG:4326"
"""The CRS of geometries that do not say theirs."""

ACCEPTED = "an EPSG code (32632), 'EPSG:32632', 'OGC:CRS84', a urn:ogc:def:crs name, WKT or PROJJSON"

EPSG_CODES = (1024, 32766)
"""Smallest and largest code that EPSG gives to a CRS (GeoTIFF 1.1, 6.2.1)."""

_EPSG_CODE = re.compile(r"(?:EPSG:{1,2}|urn:ogc:def:crs:EPSG:[\d.]*:)?(\d{4,5})", re.IGNORECASE)
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
    if isinstance(value, ImageCrs):
        return value
    if isinstance(value, bool) or not isinstance(value, int | str | dict | np.integer):
        raise InvalidCrsError(f"a CRS cannot be read from {value!r} ({type(value).__name__}); give {ACCEPTED}")
    text = json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value).strip()
    return _normalize_text(text)


def crs_or_code(value: int | str | dict[str, Any]) -> str:
    """As `normalize_crs`, but an EPSG code that this PROJ does not know stays as `EPSG:n`.

    EPSG adds CRS every few months. A file of a newer one is read as it is, and a geometry in the very same CRS lies on
    it without PROJ; anything else raises when it asks PROJ for a way.

    Raises:
        InvalidCrsError: it is neither.
    """
    try:
        return normalize_crs(value)
    except InvalidCrsError:
        code = _EPSG_CODE.fullmatch(str(value).strip())
        if code is None or not EPSG_CODES[0] <= int(code[1]) <= EPSG_CODES[1]:
            raise
        return f"EPSG:{int(code[1])}"


@lru_cache(maxsize=1024)
def is_known(crs: str) -> bool:
    """True where PROJ knows a CRS, as `crs_or_code` gives it."""
    try:
        normalize_crs(crs)
    except InvalidCrsError:
        return False
    return True


def epsg_number(crs: str | None) -> int | None:
    """The number of a CRS in EPSG's list, as `normalize_crs` gives it; None where it has none."""
    name, _, code = (crs or "").partition(":")
    return int(code) if name == "EPSG" and code.isdecimal() else None


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


class ProjWay:
    """A way of PROJ from one CRS to another."""

    def __init__(self, way: pyproj.Transformer) -> None:
        self._transform = way.transform
        self.transform_bounds = way.transform_bounds

    def transform(self, xx: Any, yy: Any) -> tuple[Any, Any]:
        """Positions of the first CRS in the second; not finite where there is no such place.

        Of an array of one position pyproj first asks for the number, which numpy before 2.4 warns of: it goes in twice.
        """
        if getattr(xx, "shape", ()) and xx.size == 1:
            x, y = self._transform(np.repeat(xx, 2), np.repeat(yy, 2))
            return x[:1].reshape(xx.shape), y[:1].reshape(xx.shape)
        x, y = self._transform(xx, yy)
        return x, y


def transformer(src: str, dst: str) -> ProjWay | Moves:
    """The transformer between two CRS, x before y, kept for this thread.

    Raises:
        InvalidCrsError: a CRS is unknown, PROJ has no way from one to the other, or ground control points do not place
            an image.
    """
    cache: OrderedDict[tuple[str, str], ProjWay | Moves] | None = getattr(_local, "transformers", None)
    if cache is None:
        cache = _local.transformers = OrderedDict()
    found = cache.get((src, dst))
    if found is not None:
        cache.move_to_end((src, dst))
        return found
    known_src, known_dst = normalize_crs(src), normalize_crs(dst)
    made: ProjWay | Moves
    try:
        made = _by_points(known_src, known_dst) or ProjWay(
            pyproj.Transformer.from_crs(known_src, known_dst, always_xy=True)
        )
    except (CRSError, ProjError) as error:
        raise InvalidCrsError(f"PROJ has no transform from {_shorten(src)} to {_shorten(dst)}") from error
    cache[src, dst] = made
    if len(cache) > _TRANSFORMERS_PER_THREAD:
        cache.popitem(last=False)
    return made


@lru_cache(maxsize=1024)
def require_way(src: str, dst: str) -> None:
    """Raise as `transformer` does where there is none; a way that was found is known to all threads."""
    transformer(src, dst)


def _by_points(src: str, dst: str) -> Moves | None:
    """Moves from or to the pixels of an image with ground control points; None where neither CRS is one."""
    if not isinstance(src, ImageCrs) and not isinstance(dst, ImageCrs):
        return None
    moves: list[Move] = []
    if isinstance(src, ImageCrs):
        moves.append(from_image(src, _turn_of(src.base)))
    between = map_crs(src), map_crs(dst)
    if not same_crs(*between):
        moves.append(transformer(*between).transform)
    if isinstance(dst, ImageCrs):
        moves.append(onto_image(dst, _turn_of(dst.base)))
    return Moves(moves)


def _turn_of(crs: str) -> float | None:
    lonlat = lonlat_of(crs)
    return None if lonlat is None else lonlat.turn


def reaches(src: str, dst: str) -> bool:
    """True where PROJ has a way from one known CRS to another; there is none between celestial bodies."""
    try:
        transformer(src, dst)
    except InvalidCrsError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class LonLat:
    """A CRS of longitude and latitude."""

    crs: str
    turn: float
    """Longitude of a whole turn in the units of the CRS: 360, or 400 where it counts in grads."""


@lru_cache(maxsize=1024)
def lonlat_of(crs: str) -> LonLat | None:
    """A CRS as longitudes and latitudes; None where it is projected, rotated, unknown, or not of the Earth."""
    if isinstance(crs, ImageCrs) or not is_known(crs):
        return None
    known = pyproj.CRS.from_user_input(normalize_crs(crs))
    if not known.is_geographic or known.is_derived:
        return None
    unit = known.axis_info[0].unit_conversion_factor  # radians
    return LonLat(crs, round(2 * np.pi / unit, 9))


@lru_cache(maxsize=1024)
def geographic_base(crs: str) -> str | None:
    """The longitudes and latitudes from which a CRS is projected; None where it has none, or shifts them first.

    Raises:
        InvalidCrsError: it is not known.
    """
    known = pyproj.CRS.from_user_input(normalize_crs(map_crs(crs)))
    if known.is_bound or known.geodetic_crs is None or not known.geodetic_crs.is_geographic:
        return None
    base = normalize_crs(known.geodetic_crs.to_2d().to_wkt())
    found = lonlat_of(base)
    return base if found is not None and found.turn == 360 else None


@lru_cache(maxsize=1024)
def area_of_use(crs: str) -> tuple[float, float, float, float] | None:
    """The box in longitude and latitude for which a CRS is made; None where it is unknown, or crosses 180 degrees."""
    if isinstance(crs, ImageCrs):
        return None
    area = pyproj.CRS.from_user_input(normalize_crs(crs)).area_of_use
    if area is None or not area.west < area.east:
        return None
    return float(area.west), float(area.south), float(area.east), float(area.north)


@lru_cache(maxsize=1024)
def metres_a_unit(crs: str) -> float:
    """Metres in a unit of a CRS; on a sphere's equator where these are angles."""
    if isinstance(crs, ImageCrs):
        return pixel_side(crs, _turn_of(crs.base), metres_a_unit(crs.base))
    unit = pyproj.CRS.from_user_input(normalize_crs(crs)).axis_info[0]
    angular = unit.unit_name in ("degree", "grad", "radian") or "degree" in unit.unit_name
    return float(unit.unit_conversion_factor) * (6_371_000.0 if angular else 1.0)


def metres(crs: str, length: float) -> float:
    """A length in metres in the units of a CRS; on a sphere's equator where these are angles."""
    return length / metres_a_unit(crs)


def same_crs(first: str, second: str) -> bool:
    """True where both strings mean the same CRS."""
    return first == second or normalize_crs(first) == normalize_crs(second)


def no_place(geometry: shapely.Geometry, src: str, dst: str) -> InvalidCrsError:
    """The error for a geometry that cannot be transformed."""
    bounds = ", ".join(f"{v:.10g}" for v in shapely.bounds(geometry))
    return InvalidCrsError(
        f"a geometry with bounds ({bounds}) in {_shorten(src)} has no place in {_shorten(dst)}: "
        "check geom_crs := and the order of axes (x before y, longitude before latitude)"
    )


def _shorten(text: str, limit: int = 80) -> str:
    """A CRS as it stands in a message: WKT and PROJJSON are cut."""
    shown = " ".join(text.split())
    return repr(shown if len(shown) <= limit else shown[: limit - 1] + "…")
