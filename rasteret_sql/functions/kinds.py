"""Reads and describes the kinds of arguments: in words of SQL for people, as values that crossed as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rasteret_sql.library.settings import byte_count
from rasteret_sql.raster.warp.resampling import INTERPOLATIONS


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Kind:
    """The values that an argument takes."""

    sql: str
    """In words of SQL."""
    expected: str = ""
    """What is said to whom gives something else."""
    read: Callable[[Any], Any] = _as_it_is
    """From the JSON value to the one that is meant; ValueError says why it cannot be used.

    By default any value, where its meaning is known only further on.
    """


def _one_of(*types: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        # bool is an int in Python, but `overview := true` is a mistake
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise ValueError("cannot be used")
        return value

    return read


def _json(value: Any) -> Any:
    """Text is read as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("is not JSON") from None


def _object(value: Any) -> Any:
    return _one_of(dict)(_json(value))


def _names(value: Any) -> list[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("cannot be used")
    return names


def _crs(value: Any) -> str:
    crs = _one_of(str, int, dict)(value)
    return json.dumps(crs) if isinstance(crs, dict) else str(crs)


def _numbers(value: Any) -> tuple[float, ...]:
    numbers = value if isinstance(value, list) else [value]
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in numbers):
        raise ValueError("cannot be used")
    return tuple(float(one) for one in numbers)


def _resolution(value: Any) -> tuple[float, float]:
    sides = _numbers(value)
    if len(sides) not in (1, 2) or not all(math.isfinite(side) and side > 0 for side in sides):
        raise ValueError("cannot be used")
    return sides[0], sides[-1]


def _shape(value: Any) -> tuple[int, int]:
    sides = _numbers(value)
    if len(sides) != 2 or not all(math.isfinite(side) and side == int(side) and side > 0 for side in sides):
        raise ValueError("cannot be used")
    return int(sides[0]), int(sides[1])


def _align(value: Any) -> str | tuple[float, float]:
    if isinstance(value, str):
        return value
    corner = _numbers(value)
    if len(corner) != 2 or not all(map(math.isfinite, corner)):
        raise ValueError("cannot be used")
    return corner[0], corner[1]


def _sampling(value: Any) -> str:
    if value not in ("nearest", *INTERPOLATIONS):
        raise ValueError("cannot be used")
    return str(value)


def _point(value: Any) -> tuple[float, float]:
    if isinstance(value, str):
        raise ValueError("cannot be used")  # noqa: TRY004 - as all kinds say it
    point = _align(value)
    assert not isinstance(point, str)
    return point


def _overview(value: Any) -> int | str:
    return value if value == "auto" else int(_one_of(int)(value))


def mapping(example: str, *, sql: str = "STRUCT, MAP or JSON", checked: bool = True) -> Kind:
    """An object of names and values, or JSON text of one.

    Args:
        example: For who gives something else.
        sql: In words of SQL.
        checked: False: text that is no JSON is refused, and what is no object further on.
    """
    return Kind(sql, f"a STRUCT, MAP or JSON object such as {example}", _object if checked else _json)


def _bytes(value: Any) -> int:
    count = byte_count(value)
    if count is None or count < 0:
        raise ValueError("cannot be used")
    return count


TEXT = Kind("VARCHAR", "text", _one_of(str))
FLAG = Kind("BOOLEAN", "true or false", _one_of(bool))
INTEGER = Kind("INTEGER", "an integer", _one_of(int))
NUMBER = Kind("DOUBLE", "an integer or a number", _one_of(int, float))
NUMBERS = Kind("DOUBLE or DOUBLE[]", "a number, or a list of numbers", _numbers)
BYTES = Kind("BIGINT or VARCHAR", "a number of bytes, 0 or more, or text such as '512 MiB'", _bytes)
NAMES = Kind("VARCHAR[]", "a list of names such as ['B04']", _names)
BACKEND_NAME = Kind("VARCHAR", "the name of a backend", _one_of(str))
CRS = Kind("VARCHAR, INTEGER or PROJJSON", "text or an integer or PROJJSON", _crs)
RESOLUTION = Kind("DOUBLE or DOUBLE[2]", "a number above 0, or [x, y]", _resolution)
SHAPE = Kind("INTEGER[2]", "[height, width] in pixels", _shape)
ALIGN = Kind("VARCHAR or DOUBLE[2]", "the id of a scene, or [x, y]", _align)
POINT = Kind("DOUBLE[2]", "a point [x, y]", _point)
OVERVIEW = Kind("INTEGER or VARCHAR", "an integer, or 'auto'", _overview)
SAMPLING = Kind("VARCHAR", "'nearest', 'bilinear' or 'cubic'", _sampling)
AREA = Kind("DOUBLE[4], GEOMETRY or WKT")
DATES = Kind("VARCHAR[2]")
CONDITIONS = Kind("STRUCT, MAP, JSON or SQL text")
CONFIG = mapping("{'provider': 'aws'}", sql="STRUCT or JSON", checked=False)
