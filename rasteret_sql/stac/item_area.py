"""Places an item of a catalog, and tests whether it meets the area of a search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely.errors import ShapelyError
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from rasteret_sql.geo.footprints import Area, as_kept, footprints_or_boxes
from rasteret_sql.geo.grid import Bounds
from rasteret_sql.geo.lonlat_boxes import box_of_row, box_rows, given_box, within_one_turn


def item_bbox(item: Mapping[str, Any]) -> Bounds | None:
    """The item's own bbox in two dimensions; None where it has none that can be used.

    One across the antimeridian (west > east) becomes the whole turn, so that no overlap filter loses the item; its
    geometry says where it is exactly.
    """
    return box_of_row(within_one_turn(_boxes([item]))[0])


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
        geometry = _plain_polygon(value)
        if geometry is not None:
            return geometry
        with np.errstate(invalid="ignore"):  # NaN among the coordinates; told below
            geometry = shapely.force_2d(shape(value))
    except (AttributeError, LookupError, OverflowError, RecursionError, TypeError, ValueError, ShapelyError) as error:
        raise ValueError(f"not a GeoJSON geometry: {error}") from error
    if geometry.is_empty:
        return None
    if not np.isfinite(shapely.get_coordinates(geometry)).all():
        raise ValueError("not a GeoJSON geometry: coordinates have to be finite")
    return geometry


def _plain_polygon(value: Mapping[str, Any]) -> BaseGeometry | None:
    """A polygon of one ring of numbers, as most footprints are, at half the cost of `shape`; None: it is none."""
    rings = value.get("coordinates")
    if value.get("type") != "Polygon" or not isinstance(rings, list) or len(rings) != 1:
        return None
    try:
        ring = np.array(rings[0])
    except ValueError:  # positions of two and three numbers
        return None
    if ring.dtype.kind not in "if" or ring.ndim != 2 or ring.shape[1] not in (2, 3) or len(ring) < 4:
        return None
    return shapely.polygons(ring[:, :2].astype(np.float64)) if np.isfinite(ring).all() else None


def meets(items: Sequence[Mapping[str, Any]], area: Area) -> npt.NDArray[np.bool_]:
    """True for items whose footprint, or for want of one bbox, has a point in common with the area; shape (n,).

    A footprint across the antimeridian may be cut there or not, see `geo.footprints`.

    Args:
        items: STAC items; geometry and bbox in lon/lat.
        area: `Area.of_box` of the search's box, or an `Area` of a geometry.
    """
    boxes = _boxes(items)
    footprints = np.full(len(items), None, dtype=object)
    for row, item in enumerate(items):
        with suppress(ValueError):
            footprints[row] = item_geometry(item)
    return area.meets(footprints_or_boxes(footprints, boxes), boxes)


def kept_places(
    items: Sequence[Mapping[str, Any]], geometries: Sequence[BaseGeometry | None]
) -> Iterator[tuple[bytes | None, Bounds | None]]:
    """Footprint (WKB) and box of each item as an index has them: cut at the antimeridian, the box a whole turn there.

    Args:
        items: STAC items.
        geometries: their footprints as they could be read.
    """
    column = np.empty(len(geometries), dtype=object)
    column[:] = geometries
    footprints, boxes = as_kept(column, _boxes(items))
    return zip(shapely.to_wkb(footprints).tolist(), map(box_of_row, boxes), strict=True)


def _boxes(items: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float64]:
    """The items' own boxes as they are, shape (n, 4); NaN where there is none that can be used."""
    return box_rows(given_box(item.get("bbox")) for item in items)
