"""Finds footprints that meet an area: by boxes first, in SQL that the scan can use, then by geometries.

All in lon/lat. A longitude may be written a turn apart (185 or -175), so an area is looked for in all three places.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely
from sqlglot import exp

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.crs import LONLAT, normalize_crs
from rasteret_sql.geo.footprints import Area, footprints_of_wkb
from rasteret_sql.geo.geometry import geometry_kind_crs, parse_geometries, srid_crs
from rasteret_sql.geo.placement import on_lonlat_in_one_run
from rasteret_sql.index.read.box_conditions import near_box
from rasteret_sql.index.read.scene_scan import struct_field

KEPT = 512
"""Areas that are kept prepared."""
MARGIN = 0.01
"""Degrees by which boxes are taken wider: publishers round them, and the geometry has the last word."""


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
    return lonlat_areas([kind], [wkb], [text], crs)[0]


def lonlat_areas(
    kinds: Sequence[str | None], wkbs: Sequence[bytes | None], texts: Sequence[str | None], crs: str | None
) -> list[shapely.Geometry | None]:
    """The geometries of a column in lon/lat, as `lonlat_area` has each."""
    asked = None if crs is None else normalize_crs(crs)
    found: list[shapely.Geometry | None] = []
    for geometry, kind in zip(parse_geometries(kinds, wkbs, texts).tolist(), kinds, strict=True):
        if geometry is None or geometry.is_empty:
            found.append(None)
            continue
        given = asked or geometry_kind_crs(kind or "") or srid_crs(shapely.get_srid(geometry)) or LONLAT
        found.append(geometry if given == LONLAT else on_lonlat_in_one_run(geometry, given))
    return found


def near(area: shapely.Geometry) -> exp.Expression:
    """SQL: scenes whose box may meet that of the area, or that have none."""
    west, south, east, north = (float(side) for side in shapely.bounds(area))
    missing = [exp.Is(this=struct_field("bbox", side), expression=exp.null()) for side in ("xmin", "xmax")]
    inside = near_box((west - MARGIN, south - MARGIN, east + MARGIN, north + MARGIN))
    return exp.paren(exp.or_(inside, *missing))


class Zones:
    """The geometries of a relation in lon/lat, of which scenes meet some.

    Args:
        geometries: one a row; None where a row has none.
    """

    def __init__(self, geometries: Sequence[shapely.Geometry | None]) -> None:
        self._numbers = np.array([at for at, one in enumerate(geometries, 1) if one is not None], np.int64)
        there = [one for one in geometries if one is not None]
        self._area = Area(there) if there else None
        bounds = shapely.total_bounds(np.array(there, object)) if there else (1.0, 1.0, -1.0, -1.0)
        self.west, self.south, self.east, self.north = (float(side) for side in bounds)
        """Of all of them together; nothing lies between these where there are none."""

    def met_by(
        self,
        wkbs: npt.NDArray[np.object_],
        wests: npt.NDArray[np.float64],
        easts: npt.NDArray[np.float64],
    ) -> list[npt.NDArray[np.int64]]:
        """Numbers of the rows, from 1, whose geometry each scene meets; arguments as `meets` takes them."""
        if self._area is None:
            return [np.empty(0, np.int64)] * len(wkbs)
        rows, parts = self._area.pairs(footprints_of_wkb(wkbs), _boxes(wests, easts))
        borders = np.searchsorted(rows, np.arange(1, len(wkbs)))
        return np.split(self._numbers[parts], borders)


class Areas:
    """Areas by a key of their content, prepared for tests. A statement carries the key, however large the area is."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._areas: OrderedDict[str, Area] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, area: shapely.Geometry) -> str:
        """Keep an area; gives its key."""
        key = hashlib.sha256(shapely.to_wkb(area)).hexdigest()
        with self._lock:
            known = key in self._areas
        if not known:
            prepared = Area(area)
            with self._lock:
                self._areas[key] = prepared
                while len(self._areas) > self._kept:
                    self._areas.popitem(last=False)
        with self._lock:
            if key in self._areas:
                self._areas.move_to_end(key)
        return key

    def get(self, key: str) -> Area:
        """The area, ready for tests.

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
    area: Area,
) -> npt.NDArray[np.bool_]:
    """True for footprints that have a point in common with an area; a missing or unreadable one has none.

    Args:
        wkbs: footprints, shape (n,).
        wests: west of each scene's box, NaN where there is none, shape (n,); beyond its east across the antimeridian.
        easts: east of each.
        area: as `Areas.get` gives it.
    """
    return area.meets(footprints_of_wkb(wkbs), _boxes(wests, easts))


def _boxes(wests: npt.NDArray[np.float64], easts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.column_stack((wests, np.zeros(len(wests)), easts, np.zeros(len(wests))))
