"""Reads STAC's projection extension: CRS and transform of files that do not say them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.crs import normalize_crs
from rasteret_sql.geo.grid import Affine

_CRS_FIELDS = ("proj:code", "proj:epsg", "proj:wkt2", "proj:projjson", "crs")
PLACE_FIELDS = ("proj:wkt2", "proj:projjson", "proj:transform", "proj:shape", "proj:bbox")
"""Fields of an item, beside its codes, that place a file."""
_FIELDS = frozenset((*_CRS_FIELDS, *PLACE_FIELDS))


@dataclass(frozen=True, slots=True)
class SaidPlace:
    """The place of a file, as an item says it."""

    crs: str | None = None
    """`EPSG:n`, else WKT2."""
    transform: Affine | None = None
    """Pixel corner → CRS."""
    shape: tuple[int, int] | None = None
    """(rows, columns) of the image that the transform is of; None where the item does not say."""

    def fits(self, width: int, height: int) -> bool:
        """True where an image of that size may be the one that the item means."""
        return self.shape is None or self.shape == (height, width)


NO_PLACE = SaidPlace()


def said_place(asset: Mapping[str, Any], properties: Mapping[str, Any]) -> SaidPlace:
    """The place that an asset says, else its item; what cannot be read counts as not said."""
    if _FIELDS.isdisjoint(asset) and _FIELDS.isdisjoint(properties):
        return NO_PLACE
    shape = _shape(asset.get("proj:shape") or properties.get("proj:shape"))
    transform = _transform(asset.get("proj:transform")) or _of_box(asset.get("proj:bbox"), shape)
    if transform is None:
        transform = _transform(properties.get("proj:transform")) or _of_box(properties.get("proj:bbox"), shape)
    return SaidPlace(said_crs(asset) or said_crs(properties), transform, shape)


def said_crs(fields: Mapping[str, Any]) -> str | None:
    """The CRS of an asset or an item: of its code, WKT2 or PROJJSON, the first that PROJ knows."""
    for name in _CRS_FIELDS:
        value = fields.get(name)
        if name == "proj:projjson" and isinstance(value, Mapping):
            value = json.dumps(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int | str) or not value:
            continue
        try:
            return normalize_crs(value)
        except InvalidCrsError:
            continue
    return None


def epsg_of(crs: str | None) -> int | None:
    """The code of `EPSG:n`."""
    return int(crs[5:]) if crs is not None and crs.startswith("EPSG:") else None


def _numbers(value: Any) -> list[float] | None:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    if not all(isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in value):
        return None
    return [float(one) for one in value]


def _shape(value: Any) -> tuple[int, int] | None:
    numbers = _numbers(value)
    if numbers is None or len(numbers) != 2 or min(numbers) < 1:
        return None
    return int(numbers[0]), int(numbers[1])


def _transform(value: Any) -> Affine | None:
    """Six coefficients row by row, or nine, of which the last row says nothing."""
    numbers = _numbers(value)
    if numbers is None or len(numbers) not in (6, 9):
        return None
    a, b, c, d, e, f = numbers[:6]
    return Affine(a, b, c, d, e, f) if a * e != b * d else None


def _of_box(value: Any, shape: tuple[int, int] | None) -> Affine | None:
    """A north-up image that fills a box."""
    numbers = _numbers(value)
    if numbers is None or shape is None or len(numbers) not in (4, 6):
        return None
    half = len(numbers) // 2
    (west, south), (east, north) = numbers[:2], numbers[half : half + 2]
    if not (west < east and south < north):
        return None
    rows, columns = shape
    return Affine((east - west) / columns, 0.0, west, 0.0, -(north - south) / rows, north)
