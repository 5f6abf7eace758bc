"""Reads boxes in lon/lat as people, catalogs and tables write them, also across the antimeridian.

A box that is asked for has its east above its west: one across the antimeridian ends beyond 180 (170..190). A box that
describes a scene is kept within one turn: one across the antimeridian is the whole turn (-180..180), so that a plain
comparison of its sides never loses the scene, and the footprint says where it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from shapely.geometry.base import BaseGeometry

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.crs import LONLAT, transformer
from rasteret_sql.geo.geometry import eastward, parse_geometry
from rasteret_sql.geo.grid import Bounds

TURNS = (-360.0, 0.0, 360.0)
"""Added to longitudes that may be written a turn apart (185 or -175)."""
UNCLEAR = 180.0
"""Degrees from which a box may be that of a footprint across the antimeridian, and does not say where its scene is."""
_WHOLE_TURN = (-180.0, 180.0)
_JUMPING = ((-90.0, 90.0), (90.0, 270.0))
"""West at most and east at least of a box that may be that of a footprint which jumps across the antimeridian, or in
longitudes of 0 to 360 across Greenwich (see `footprints`)."""
_VERTICES = 41
"""On each side of a box that is taken to another CRS."""
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
    east = eastward(west, east)
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


def parse_box(bbox: Any) -> Bounds:
    """Four numbers in lon/lat, which may have no extent: a point or a line. Across the antimeridian as `parse_bbox`.

    Raises:
        InvalidArgumentError: not four finite numbers, or the smaller of two is not first.
    """
    form = _FORM.partition(", or")[0]
    try:
        sides = [float(side) for side in bbox] if not isinstance(bbox, str | bytes) else []
    except (TypeError, ValueError):
        sides = []
    if len(sides) != 4 or not all(map(math.isfinite, sides)):
        raise InvalidArgumentError(f"bbox {bbox!r} has to be {form}")
    west, south, east, north = sides
    east = eastward(west, east)
    if west > east or south > north:
        raise InvalidArgumentError(f"bbox {bbox!r} has a minimum above its maximum; expected {form}")
    return west, south, east, north


def _bounds_of(value: str | BaseGeometry) -> Sequence[float]:
    """Bounds of a geometry."""
    geometry = parse_geometry(value)
    if geometry is None or geometry.is_empty:
        raise InvalidArgumentError(f"bbox {value!r} is an empty geometry; give one with an extent, or {_FORM}")
    return list(geometry.bounds)


def given_box(value: object) -> Bounds | None:
    """The bbox member of a STAC item in two dimensions, its sides as they are; None where it cannot be used.

    One across the antimeridian has its west above its east.
    """
    if not isinstance(value, list | tuple) or len(value) not in (4, 6):
        return None
    try:
        for n in value:
            if isinstance(n, bool) or not isinstance(n, (int, float)) or not math.isfinite(n):
                return None
    except OverflowError:  # a whole number beyond float64
        return None
    half = len(value) // 2
    west, south, east, north = float(value[0]), float(value[1]), float(value[half]), float(value[half + 1])
    return None if south > north else (west, south, east, north)


def longitude_limits(west: float, east: float) -> list[tuple[float, float]]:
    """Between which sides the box of a scene may meet longitudes, in any turn; or its footprint, where it jumps.

    These are comparisons that the statistics of a scan can rule out. What passes may still miss: footprints decide.

    Args:
        west: of the longitudes that are asked for, in whichever turn.
        east: may lie beyond 180.

    Returns:
        Pairs (last, first). A scene is possible where the west of its box is at most `last` and its east at least
        `first`, of one of the pairs; and where its west is above its east.
    """
    return [*((east + turn, west + turn) for turn in TURNS), *_JUMPING]


def are_unclear(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """True for boxes of scenes that do not say where they are: west above east, or half the globe wide; shape (n,)."""
    return np.asarray((boxes[:, 0] > boxes[:, 2]) | (boxes[:, 2] - boxes[:, 0] >= UNCLEAR))


def api_boxes(bbox: Bounds) -> list[list[float]]:
    """The box as STAC APIs are asked for it: longitudes within ±180, and two boxes where it crosses the antimeridian.

    RFC 7946 has one box with west > east for that, which some servers read as the rest of the globe.
    """
    west, south, east, north = bbox
    if east - west >= 360:
        return [[-180.0, south, 180.0, north]]
    if west >= 180:
        west, east = west - 360, east - 360
    if east <= 180:
        return [[west, south, east, north]]
    return [[west, south, 180.0, north], [-180.0, south, east - 360, north]]


def numbers_meet(box: Bounds, asked: Bounds) -> bool:
    """True where a server that compares the numbers of both boxes finds that they meet.

    A box of -178..179 may stand for a footprint across the antimeridian, and meets what lies between.
    """
    return any(
        west <= box[2] and box[0] <= east and south <= box[3] and box[1] <= north
        for west, south, east, north in api_boxes(asked)
    )


def box_in(box: Bounds, crs: str) -> Bounds | None:
    """The box in another CRS, which holds all of it; None where it has no such box there.

    Raises:
        InvalidCrsError: PROJ has no way from lon/lat.
    """
    moved = transformer(LONLAT, crs).transform_bounds(*box, densify_pts=_VERTICES)
    west, south, east, north = map(float, moved)
    return (west, south, east, north) if np.isfinite(moved).all() and west <= east else None


def box_rows(boxes: Iterable[Bounds | None]) -> npt.NDArray[np.float64]:
    """Boxes as rows, shape (n, 4); NaN where there is none."""
    return np.array([(np.nan,) * 4 if box is None else box for box in boxes], dtype=np.float64).reshape(-1, 4)


def box_of_row(row: npt.NDArray[np.float64]) -> Bounds | None:
    """One of `box_rows` as a box again."""
    west, south, east, north = row.tolist()
    return None if math.isnan(west) else (west, south, east, north)


def whole_turn(south: float, north: float) -> Bounds:
    """The box of a scene across the antimeridian, or of several of which one is."""
    return _WHOLE_TURN[0], south, _WHOLE_TURN[1], north


def within_one_turn(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Boxes of scenes as they are kept: those whose west is above their east become the whole turn.

    Args:
        boxes: west, south, east, north; shape (n, 4); NaN where a scene has none.
    """
    across = boxes[:, 0] > boxes[:, 2]
    if not across.any():
        return boxes
    out = boxes.copy()
    out[across, 0], out[across, 2] = _WHOLE_TURN
    return out
