"""The box of a search: `[west, south, east, north]` in longitude and latitude, from all that may mean one."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import shapely

from rasteret_sql.errors import InvalidArgumentError, InvalidGeometryError
from rasteret_sql.geo.geometry import parse_geometry
from rasteret_sql.types import Bounds

ACCEPTED = "[west, south, east, north] in degrees, or a geometry (GEOMETRY, WKT, GeoJSON, WKB) whose bounds are taken"


def parse_bbox(value: object) -> Bounds:
    """Read a bounding box in longitude and latitude.

    Args:
        value: four numbers (list, tuple, array, or JSON text of a list), or a geometry in any form.

    Returns:
        (west, south, east, north), degrees.

    Raises:
        InvalidArgumentError: not four numbers, an empty box, or outside the range of longitude and latitude.
        InvalidGeometryError: a geometry that cannot be read or is empty.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise InvalidArgumentError(f"bbox {str(value)[:80]!r} is no list of numbers; give {ACCEPTED}") from error
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
        return _checked(list(value), value)
    geometry = parse_geometry(value)
    if geometry is None or geometry.is_empty:
        raise InvalidGeometryError(f"bbox {value!r} is an empty geometry; give {ACCEPTED}")
    return _checked(shapely.bounds(geometry).tolist(), value)


def _checked(box: Sequence[object], given: object) -> Bounds:
    shown = (
        str(list(box)) if isinstance(given, Sequence) and not isinstance(given, str | bytes) else f"bounds {list(box)}"
    )
    if len(box) != 4:
        raise InvalidArgumentError(f"bbox has 4 numbers, not {len(box)}: {shown[:120]}; give {ACCEPTED}")
    numbers: list[float] = []
    for name, part in zip(("west", "south", "east", "north"), box, strict=True):
        number = _number(part)
        if number is None:
            raise InvalidArgumentError(f"bbox {name} is {part!r}, not a finite number; give {ACCEPTED}")
        numbers.append(number)
    west, south, east, north = numbers
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= 90 and -90 <= north <= 90):
        raise InvalidArgumentError(
            f"bbox {shown} is outside longitude -180..180 and latitude -90..90; it is [west, south, east, north] in "
            "degrees, not in metres of a projection"
        )
    if west >= east:
        raise InvalidArgumentError(
            f"bbox {shown} has west {west:g} not less than east {east:g}; the order is [west, south, east, north], and "
            "a box across the antimeridian is given as two"
        )
    if south >= north:
        raise InvalidArgumentError(
            f"bbox {shown} has south {south:g} not less than north {north:g}; the order is [west, south, east, north]"
        )
    return west, south, east, north


def _number(value: object) -> float | None:
    """A finite float; DECIMAL and numpy numbers count, text and booleans do not."""
    if isinstance(value, bool | str | bytes) or not hasattr(value, "__float__"):
        return None
    number = float(value)
    return number if np.isfinite(number) else None
