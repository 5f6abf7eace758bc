"""Which footprints meet an area: boxes first, in SQL that the scan can use, then the geometries themselves.

All in lon/lat. A longitude may be written a turn apart (185 or -175), so an area is looked for in all three places.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import shapely
from shapely.errors import ShapelyError
from sqlglot import exp

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.crs import LONLAT, normalize_crs, transform_geometries
from rasteret_sql.geo.geometry import geometry_kind_crs, parse_geometries, srid_crs
from rasteret_sql.index.scan import struct_field

KEPT = 512
"""Areas that are kept prepared."""
MARGIN = 0.01
"""Degrees by which boxes are taken wider: publishers round them, and the geometry has the last word."""
_TURNS = (-360.0, 0.0, 360.0)


def lonlat_area(kind: str | None, wkb: bytes | None, text: str | None, crs: str | None) -> shapely.Geometry | None:
    """The geometry argument of a call in lon/lat; None where it is NULL or empty.

    Args:
        kind: DuckDB's type of it.
        wkb: its WKB, where it is a GEOMETRY or BLOB.
        text: its text, where it is anything else.
        crs: the CRS that the caller says; None: that of the type, else of EWKT, else lon/lat.

    Raises:
        InvalidGeometryError: it cannot be read.
        InvalidCrsError: the CRS is not known, or the geometry has no place in lon/lat.
    """
    asked = None if crs is None else normalize_crs(crs)
    read = parse_geometries([kind], [wkb], [text])
    geometry = read[0]
    if geometry is None or geometry.is_empty:
        return None
    given = asked or geometry_kind_crs(kind or "") or srid_crs(shapely.get_srid(geometry)) or LONLAT
    if given == LONLAT:
        return geometry
    # A projected geometry across the antimeridian has its vertices on both ends of the globe afterwards.
    return _unwrapped(transform_geometries(read, given, LONLAT))[0]


def near(area: shapely.Geometry) -> exp.Expression:
    """SQL: scenes whose box may meet that of the area, or that have none."""
    west, south, east, north = (float(side) for side in shapely.bounds(area))
    west, south, east, north = west - MARGIN, south - MARGIN, east + MARGIN, north + MARGIN
    left, right = struct_field("bbox", "xmin"), struct_field("bbox", "xmax")
    across = [
        exp.and_(
            exp.LTE(this=left, expression=_number(east + turn)), exp.GTE(this=right, expression=_number(west + turn))
        )
        for turn in _TURNS
    ]
    inside = exp.and_(
        exp.LTE(this=struct_field("bbox", "ymin"), expression=_number(north)),
        exp.GTE(this=struct_field("bbox", "ymax"), expression=_number(south)),
        exp.paren(exp.or_(*across, exp.GT(this=left, expression=right))),
    )
    return exp.paren(
        exp.or_(inside, exp.Is(this=left, expression=exp.null()), exp.Is(this=right, expression=exp.null()))
    )


def _number(value: float) -> exp.Expression:
    return exp.Literal.number(repr(value))


class Areas:
    """Areas by a key of their content, prepared for tests. A statement carries the key, however large the area is."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._areas: OrderedDict[str, tuple[shapely.Geometry, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, area: shapely.Geometry) -> str:
        """Keep an area; gives its key."""
        key = hashlib.sha256(shapely.to_wkb(area)).hexdigest()
        with self._lock:
            known = key in self._areas
        if not known:
            turned = tuple(shapely.transform(area, partial(np.add, (turn, 0.0))) for turn in _TURNS)
            shapely.prepare(np.array(turned, dtype=object))
            with self._lock:
                self._areas[key] = turned
                while len(self._areas) > self._kept:
                    self._areas.popitem(last=False)
        with self._lock:
            if key in self._areas:
                self._areas.move_to_end(key)
        return key

    def get(self, key: str) -> tuple[shapely.Geometry, ...]:
        """The area in its three places.

        Raises:
            InvalidArgumentError: it is no longer kept.
        """
        with self._lock:
            found = self._areas.get(key)
            if found is None:
                raise InvalidArgumentError(
                    f"the statement was prepared more than {self._kept} areas ago; prepare it again"
                )
            self._areas.move_to_end(key)
            return found


AREAS = Areas()
"""Those of the process."""


def meets(
    wkbs: Sequence[bytes | None] | npt.NDArray[np.object_],
    wests: npt.NDArray[np.float64],
    easts: npt.NDArray[np.float64],
    area: tuple[shapely.Geometry, ...],
) -> npt.NDArray[np.bool_]:
    """Which footprints have a point in common with an area; a missing or unreadable one has none.

    Args:
        wkbs: footprints, shape (n,).
        wests: west of each scene's box, NaN where there is none, shape (n,); beyond its east across the antimeridian.
        easts: east of each.
        area: as `Areas.get` gives it.
    """
    footprints = np.asarray(shapely.from_wkb(np.array(wkbs, dtype=object), on_invalid="ignore"), dtype=object)
    bounds = shapely.bounds(footprints)
    # A box that says that it crosses, around a polygon that was not split there; see `stac.area.item_bbox`.
    says = (wests > easts) | ((wests == -180) & (easts == 180) & (bounds[:, 0] > -180) & (bounds[:, 2] < 180))
    wide = says & (bounds[:, 2] - bounds[:, 0] > 180)
    if wide.any():
        footprints[wide] = _unwrapped(footprints[wide])
        bounds = shapely.bounds(footprints)
    found = np.zeros(len(footprints), dtype=bool)
    for place in area:
        west, south, east, north = shapely.bounds(place)
        with np.errstate(invalid="ignore"):  # NaN: no footprint
            close = (bounds[:, 0] <= east) & (bounds[:, 2] >= west) & (bounds[:, 1] <= north) & (bounds[:, 3] >= south)
        todo = np.flatnonzero(close & ~found)
        if len(todo):
            found[todo] = _intersects(footprints[todo], place)
    return found


def _intersects(footprints: npt.NDArray[np.object_], area: shapely.Geometry) -> npt.NDArray[np.bool_]:
    try:
        return np.asarray(shapely.intersects(area, footprints), dtype=bool)
    except ShapelyError:  # one of them crosses itself in a way that GEOS cannot place
        whole = shapely.make_valid(area)
        return np.asarray(shapely.intersects(whole, shapely.make_valid(footprints)), dtype=bool)


def _unwrapped(geometries: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Geometries wider than half the globe with their western longitudes moved beyond 180, part by part.

    Parts stay where they are that are narrow themselves: a geometry split at the antimeridian is sound as it is.
    """
    out = geometries.copy()
    for row in range(len(out)):
        parts = shapely.get_parts(out[row])
        spans = shapely.bounds(parts)
        wide = spans[:, 2] - spans[:, 0] > 180
        if not wide.any():
            continue
        parts[wide] = shapely.transform(
            parts[wide], lambda xy: np.column_stack((np.where(xy[:, 0] < 0, xy[:, 0] + 360, xy[:, 0]), xy[:, 1]))
        )
        out[row] = parts[0] if len(parts) == 1 else shapely.union_all(shapely.make_valid(parts))
    return out
