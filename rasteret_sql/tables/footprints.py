"""Reads geometry and bbox columns in all their forms as footprints in lon/lat: WKB, and the bounds of each row."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely
from pyproj.exceptions import ProjError
from shapely.errors import ShapelyError

from rasteret_sql.errors import InvalidCrsError, InvalidGeometryError, TableError
from rasteret_sql.geo.crs import LONLAT, normalize_crs, same_crs
from rasteret_sql.geo.footprints import Area, as_kept, footprints_or_boxes
from rasteret_sql.geo.geoarrow import box_keys, box_values, parse_column
from rasteret_sql.geo.geoparquet import GeoMetadata
from rasteret_sql.geo.grid import Bounds
from rasteret_sql.geo.placement import on_lonlat_where_possible
from rasteret_sql.stac.unreadable_values import shown
from rasteret_sql.tables.values import Unread

Geometries = npt.NDArray[np.object_]
_EXACT = 1e-4
"""Degrees by which edges that are straight in another CRS may stray."""


@dataclass(frozen=True, slots=True, eq=False)
class Footprints:
    """The places of the rows."""

    geometries: Geometries
    """Lon/lat; None where a row has neither geometry nor bbox."""
    bounds: npt.NDArray[np.float64]
    """Shape (n, 4): west, south, east, north; NaN where there are none. From -180 to 180 across the antimeridian."""
    unread: list[dict[str, str]]
    """Of each row: column → why its place could not be read, so that it is NULL."""

    def meet(self, area: Bounds) -> npt.NDArray[np.bool_]:
        """Rows with a point in common with a box, whose east may lie beyond 180."""
        return Area.of_box(area).meets(self.geometries, self.bounds)


def column_crs(field: pa.Field, geo: GeoMetadata) -> str:
    """CRS of a geometry column: what GeoArrow or GeoParquet says, else lon/lat.

    Raises:
        InvalidCrsError: it is not known, or the column says that it is not.
        TableError: its edges are not straight in the plane.
    """
    said = geo.said_of(field)
    if said.is_unknown:
        raise InvalidCrsError(
            f'the geometry column "{field.name}" says that its CRS is not known (GeoParquet crs null); write the '
            "table with its CRS"
        )
    if said.edges not in (None, "planar", "spherical"):
        raise TableError(f'the geometry column "{field.name}" has {said.edges} edges, which are not read')
    return LONLAT if said.crs is None else normalize_crs(said.crs)


def read_footprints(
    geometry: tuple[pa.Field, pa.ChunkedArray] | None,
    crs: str,
    box: npt.NDArray[np.float64] | None,
    count: int,
    unread_boxes: Unread | None = None,
) -> Footprints:
    """Read the footprints of a table.

    Args:
        geometry: the geometry column, if there is one.
        crs: its CRS.
        box: bounds of the rows in lon/lat, shape (n, 4), NaN where a row has none; used where the geometry has not
            been moved to lon/lat, and where there is none.
        count: number of rows.
        unread_boxes: rows whose box could not be read.

    Raises:
        InvalidCrsError: PROJ has no way from the CRS to lon/lat.
        TableError: the geometry column is of another type.
    """
    geometries: Geometries = np.full(count, None, dtype=object)
    unread: list[dict[str, str]] = [{} for _ in range(count)]
    for row, why in (unread_boxes or {}).items():
        unread[row]["bbox"] = why
    if geometry is not None:
        malformed: Unread = {}
        geometries = _parsed(*geometry, malformed)
        geometries[shapely.is_empty(geometries)] = None
        if not same_crs(crs, LONLAT):
            given = ~shapely.is_missing(geometries)
            geometries = _moved(geometries, crs)
            lost = np.flatnonzero(given & shapely.is_missing(geometries)).tolist()
            malformed |= dict.fromkeys(lost, f"it lies nowhere on Earth in {crs}")
            box = None
        for row, why in malformed.items():
            unread[row]["geometry"] = why
    boxes = np.full((count, 4), np.nan) if box is None else box
    return Footprints(*as_kept(footprints_or_boxes(geometries, boxes), boxes), unread)


def _moved(geometries: Geometries, crs: str) -> Geometries:
    """Footprints of another CRS in lon/lat; None where one has no place there."""
    moved: Geometries = np.full(len(geometries), None, dtype=object)
    given = np.flatnonzero(~shapely.is_missing(geometries))
    if not len(given):
        return moved
    try:
        moved[given] = on_lonlat_where_possible(geometries[given], crs, _EXACT)
    except InvalidCrsError as error:
        raise InvalidCrsError(f"the footprints of the table cannot be placed: {error}") from error
    except (ShapelyError, ProjError):  # one of them: each alone
        for row in given.tolist():
            with suppress(ShapelyError, ProjError):
                moved[row] = on_lonlat_where_possible(geometries[row : row + 1], crs, _EXACT)[0]
    return moved


def _parsed(field: pa.Field, column: pa.ChunkedArray, malformed: Unread) -> Geometries:
    try:
        geometries = parse_column(column)
    except InvalidGeometryError:  # one of them: each alone
        geometries = np.full(len(column), None, dtype=object)
        for row in range(len(column)):
            one = column.slice(row, 1)
            try:
                parsed = parse_column(one)
            except InvalidGeometryError:
                malformed[row] = f"{shown(one[0].as_py())} is no geometry"
            else:
                geometries[row] = None if parsed is None else parsed[0]
    if geometries is None:
        raise TableError(
            f'the geometry column "{field.name}" is of type {field.type}; expected WKB, WKT, GeoJSON text or GeoArrow '
            "polygons. Name another one with column_map, or boxes with bbox_columns"
        )
    return geometries


def bbox_column(field: pa.Field, column: pa.ChunkedArray, unread: Unread) -> npt.NDArray[np.float64]:
    """(n, 4) of a bbox column: a struct, or lists of four or six numbers; NaN where there is none.

    Args:
        field: the column's type and name.
        column: its values.
        unread: gets the rows whose value is no box.

    Raises:
        TableError: it is of another type.
    """
    keys = box_keys(field.type)
    if keys is not None:
        return box_values(column, keys)
    kind = field.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise TableError(
            f'the bbox column "{field.name}" is of type {kind}; expected a struct of xmin, ymin, xmax, ymax, or lists '
            "of four numbers; or name four columns with bbox_columns"
        )
    rows = np.full((len(column), 4), np.nan)
    for at, value in enumerate(column.to_pylist()):
        if value is None:
            continue
        half = len(value) // 2
        try:
            box = [float(value[side]) for side in (0, 1, half, half + 1)] if len(value) in (4, 6) else []
        except (TypeError, ValueError):
            box = []
        if box:
            rows[at] = box
        else:
            unread[at] = f"{shown(value)} is no box of four or six numbers"
    return rows
