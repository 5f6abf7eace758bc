"""The bbox of a search, in lon/lat, also across the antimeridian, and whether an item meets it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from shapely.errors import ShapelyError
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.geometry import parse_geometry
from rasteret_sql.types import Bounds

_FORM = "(west, south, east, north) in degrees, such as (11.3, 48.1, 11.5, 48.3), or a geometry in lon/lat"


def parse_bbox(value: Sequence[float] | str | BaseGeometry | None) -> Bounds | None:
    """Check a bbox and give it as four floats, east > west: one across the antimeridian ends beyond 180.

    A geometry, shapely's or as text, stands for its bounds.

    RFC 7946 writes a box across the antimeridian with west > east. It is taken so where the box is then narrower
    than 180 degrees; any other west > east is two swapped numbers and an error.

    Raises:
        InvalidArgumentError: Not four finite numbers, outside the globe, empty or swapped.
    """
    if value is None:
        return None
    if isinstance(value, BaseGeometry) or (isinstance(value, str) and value.lstrip()[:1].isalpha()):
        return parse_bbox(_bounds_of(value))
    parts: Sequence[Any] = value.strip("[]() ").split(",") if isinstance(value, str) else value
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError):
        raise InvalidArgumentError(f"bbox {value!r} has to be {_FORM}") from None
    if len(numbers) == 6:
        numbers = [numbers[0], numbers[1], numbers[3], numbers[4]]
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise InvalidArgumentError(f"bbox {value!r} has to be {_FORM}")
    west, south, east, north = numbers
    if south >= north:
        raise InvalidArgumentError(
            f"bbox {value!r} has its south {south:g} not below its north {north:g}; give {_FORM}"
        )
    if west > east and 0 < east + 360 - west < 180:
        east += 360
    if west >= east:
        raise InvalidArgumentError(
            f"bbox {value!r} has its west {west:g} not below its east {east:g}; give {_FORM}, "
            "and across the antimeridian an east beyond 180: (170, -20, 190, -10)"
        )
    if south < -90 or north > 90 or west < -360 or east > 540 or east - west > 360:
        raise InvalidArgumentError(f"bbox {value!r} is outside lon/lat degrees (CRS EPSG:4326); give {_FORM}")
    if west < -180:
        west, east = west + 360, east + 360
    return west, south, east, north


def _bounds_of(value: str | BaseGeometry) -> Sequence[float]:
    """Bounds of a geometry."""
    geometry = parse_geometry(value)
    if geometry is None or geometry.is_empty:
        raise InvalidArgumentError(f"bbox {value!r} is an empty geometry; give one with an extent, or {_FORM}")
    return list(geometry.bounds)


def api_bbox(bbox: Bounds) -> list[float]:
    """The box as a STAC API takes it: longitudes within ±180, west > east where it crosses the antimeridian."""
    west, south, east, north = bbox
    if east - west >= 360:
        return [-180.0, south, 180.0, north]
    if west >= 180:
        west, east = west - 360, east - 360
    return [west, south, east - 360 if east > 180 else east, north]


def search_area(bbox: Bounds) -> BaseGeometry:
    """The box as a geometry that meets footprints written anywhere from -540 to 540 degrees."""
    west, south, east, north = bbox
    return shapely.union_all([shapely.box(west + turn, south, east + turn, north) for turn in (-720, -360, 0, 360)])


def item_bbox(item: Mapping[str, Any]) -> Bounds | None:
    """The item's own bbox in two dimensions; None where it has none that can be used.

    One across the antimeridian (west > east) becomes the whole turn, so that no overlap filter loses the item; its
    geometry says where it is exactly.
    """
    value = item.get("bbox")
    if not isinstance(value, list | tuple) or len(value) not in (4, 6):
        return None
    if any(isinstance(n, bool) or not isinstance(n, int | float) or not math.isfinite(n) for n in value):
        return None
    half = len(value) // 2
    west, south, east, north = float(value[0]), float(value[1]), float(value[half]), float(value[half + 1])
    if south > north:
        return None
    return (west, south, east, north) if west <= east else (-180.0, south, 180.0, north)


def item_geometry(item: Mapping[str, Any]) -> BaseGeometry | None:
    """The item's footprint as a two-dimensional shapely geometry; None where there is none.

    Raises:
        ValueError: The geometry is not GeoJSON.
    """
    value = item.get("geometry")
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"a geometry is a GeoJSON object, not {type(value).__name__}")  # noqa: TRY004
    try:
        with np.errstate(invalid="ignore"):  # NaN among the coordinates; told below
            geometry = shapely.force_2d(shape(value))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, ShapelyError) as error:
        raise ValueError(f"not a GeoJSON geometry: {error}") from error
    if geometry.is_empty:
        return None
    if not np.isfinite(shapely.get_coordinates(geometry)).all():
        raise ValueError("not a GeoJSON geometry: coordinates have to be finite")
    return geometry


def meets(item: Mapping[str, Any], area: BaseGeometry) -> bool:
    """True where the item's footprint, or for want of one its bbox, has a point in common with the area."""
    try:
        geometry = item_geometry(item)
    except ValueError:
        geometry = None
    if geometry is None:
        box = item_bbox(item)
        if box is None:
            return False
        geometry = shapely.box(*box)
    try:
        return bool(shapely.intersects(geometry, area))
    except ShapelyError:  # a footprint that crosses itself; its box says where it is
        return bool(shapely.intersects(shapely.box(*geometry.bounds), area))
