"""Geometry and bbox columns in all their forms → footprints in lon/lat: WKB, and the bounds of each row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely
from shapely.errors import ShapelyError

from rasteret_sql.errors import InvalidCrsError, InvalidGeometryError, TableError
from rasteret_sql.geo.crs import LONLAT, normalize_crs, same_crs, transform_geometries
from rasteret_sql.geo.geometry import parse_geometries
from rasteret_sql.stac.area import search_area
from rasteret_sql.tables.where import is_text
from rasteret_sql.types import Bounds

Geometries = npt.NDArray[np.object_]
_EXTENSION = b"ARROW:extension:name"
_EXTENSION_METADATA = b"ARROW:extension:metadata"
_BOX_KEYS = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("minx", "miny", "maxx", "maxy"),
    ("west", "south", "east", "north"),
)
_NESTING = {0: "point", 1: "linestring", 2: "polygon", 3: "multipolygon"}
_RAGGED = {
    "point": shapely.GeometryType.POINT,
    "polygon": shapely.GeometryType.POLYGON,
    "multipolygon": shapely.GeometryType.MULTIPOLYGON,
}


@dataclass(frozen=True, slots=True, eq=False)
class Footprints:
    """Where the rows are."""

    geometries: Geometries
    """Lon/lat; None where a row has neither geometry nor bbox."""
    bounds: npt.NDArray[np.float64]
    """Shape (n, 4): west, south, east, north; NaN where there are none. From -180 to 180 across the antimeridian."""

    def meet(self, area: Bounds) -> npt.NDArray[np.bool_]:
        """Rows with a point in common with a box, whose east may lie beyond 180."""
        wanted = search_area(area)
        shapely.prepare(wanted)
        try:
            return np.asarray(shapely.intersects(wanted, self.geometries))
        except ShapelyError:  # one that crosses itself; its box says where it is
            boxes = shapely.box(*self.bounds.T)
            return np.asarray(shapely.intersects(wanted, boxes))


def column_crs(field: pa.Field, geo: Mapping[str, Any] | None) -> str:
    """CRS of a geometry column: what GeoArrow or GeoParquet says, else lon/lat.

    Raises:
        InvalidCrsError: it is not known, or the column says that it is not.
        TableError: its edges are not straight in the plane.
    """
    said: dict[str, Any] = {}
    kind = field.type
    if isinstance(kind, pa.BaseExtensionType):
        said = _json_object(kind.__arrow_ext_serialize__())
    elif field.metadata and field.metadata.get(_EXTENSION):
        said = _json_object(field.metadata.get(_EXTENSION_METADATA, b""))
    said = {name: value for name, value in said.items() if value is not None}
    if "crs" not in said and geo:
        said = dict(geo)
        if "crs" in said and said["crs"] is None:
            raise InvalidCrsError(
                f'the geometry column "{field.name}" says that its CRS is not known (GeoParquet crs null); write the '
                "table with its CRS"
            )
    edges = said.get("edges")
    if edges not in (None, "planar", "spherical"):
        raise TableError(f'the geometry column "{field.name}" has {edges} edges, which are not read')
    crs = said.get("crs")
    return LONLAT if crs is None else normalize_crs(crs)


def _json_object(text: bytes | str) -> dict[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def read_footprints(
    geometry: tuple[pa.Field, pa.ChunkedArray] | None,
    crs: str,
    box: npt.NDArray[np.float64] | None,
    count: int,
) -> Footprints:
    """Read the footprints of a table.

    Args:
        geometry: the geometry column, if there is one.
        crs: its CRS.
        box: bounds of the rows in lon/lat, shape (n, 4), NaN where a row has none; used where the geometry has not
            been moved to lon/lat, and where there is none.
        count: number of rows.

    Raises:
        InvalidGeometryError, InvalidCrsError: a geometry cannot be read or placed.
    """
    geometries: Geometries = np.full(count, None, dtype=object)
    if geometry is not None:
        geometries = parse_column(*geometry)
        geometries[shapely.is_empty(geometries)] = None
        if not same_crs(crs, LONLAT):
            geometries = _moved(geometries, crs)
            box = None
    bounds = np.asarray(shapely.bounds(geometries), dtype=np.float64).reshape(count, 4)
    if box is not None:
        given = np.isfinite(box).all(axis=1) & (box[:, 1] <= box[:, 3])
        across = given & (box[:, 0] > box[:, 2])
        boxes = np.where(across[:, None], np.array([-180.0, np.nan, 180.0, np.nan]), box)
        boxes[:, 1::2] = box[:, 1::2]
        bare = given & shapely.is_missing(geometries)
        if bare.any():
            geometries[bare] = [_box(*row) for row in box[bare].tolist()]
        bounds[given] = boxes[given]
    return Footprints(geometries, bounds)


def _box(west: float, south: float, east: float, north: float) -> shapely.Geometry:
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.multipolygons([shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)])


def _moved(geometries: Geometries, crs: str) -> Geometries:
    try:
        moved = transform_geometries(geometries, crs, LONLAT)
    except InvalidCrsError as error:
        raise InvalidCrsError(f"a footprint of the table cannot be placed: {error}") from error
    edges = shapely.bounds(moved)
    wide = np.flatnonzero((edges[:, 2] - edges[:, 0]) > 180)
    moved = moved.copy()
    for row in wide.tolist():
        moved[row] = split_at_antimeridian(moved[row])
    return moved


def split_at_antimeridian(geometry: shapely.Geometry) -> shapely.Geometry:
    """A footprint across the antimeridian, in two parts; vertices on both sides of it came out 360 degrees apart."""
    turned = shapely.transform(
        geometry, lambda xy: np.column_stack([np.where(xy[:, 0] < 0, xy[:, 0] + 360, xy[:, 0]), xy[:, 1]])
    )
    west = shapely.intersection(turned, shapely.box(0, -90, 180, 90))
    east = shapely.transform(
        shapely.intersection(turned, shapely.box(180, -90, 360, 90)), lambda xy: xy - np.array([360.0, 0.0])
    )
    parts = [part for side in (west, east) for part in shapely.get_parts(side) if part.geom_type == "Polygon"]
    return shapely.multipolygons(parts) if parts else geometry


def parse_column(field: pa.Field, column: pa.ChunkedArray) -> Geometries:
    """Geometries of a column: WKB, text (WKT, GeoJSON, hex), native GeoArrow, or a struct of four sides.

    Args:
        field: the table's own, for messages.
        column: its values, no extension any more.

    Raises:
        InvalidGeometryError: a value cannot be read.
        TableError: the column is of another type.
    """
    kind = column.type
    if _is_binary(kind):
        values = column.to_pylist()
        return _named(parse_geometries, ["BLOB"] * len(values), values, [None] * len(values))
    if is_text(kind):
        values = column.to_pylist()
        return _named(parse_geometries, ["VARCHAR"] * len(values), [None] * len(values), values)
    keys = box_keys(kind)
    if keys is not None:
        box = box_values(column, keys)
        made = np.asarray(shapely.box(*box.T), dtype=object)
        made[~np.isfinite(box).all(axis=1)] = None
        return made
    native = _native(column)
    if native is None:
        raise TableError(
            f'the geometry column "{field.name}" is of type {field.type}; expected WKB, WKT, GeoJSON text or GeoArrow '
            "polygons. Name another one with column_map, or boxes with bbox_columns"
        )
    return native


def _named(parse: Any, *columns: Sequence[Any]) -> Geometries:
    try:
        return np.asarray(parse(*columns), dtype=object)
    except InvalidGeometryError as error:
        raise InvalidGeometryError(f"the table's geometry column: {error}") from error


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _native(column: pa.ChunkedArray) -> Geometries | None:
    """Points, polygons and multipolygons as GeoArrow has them: lists in lists of coordinates."""
    array = column.combine_chunks()
    array = array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)
    present = array.drop_null()
    level, offsets = present, []
    while pa.types.is_list(level.type) or pa.types.is_large_list(level.type):
        offsets.append(level.offsets.to_numpy() - level.offsets[0].as_py() if len(level) else np.zeros(1, np.int64))
        level = level.flatten()
    shape = _RAGGED.get(_NESTING.get(len(offsets), ""))
    coordinates = _coordinates(level)
    if shape is None or coordinates is None:
        return None
    out: Geometries = np.full(len(array), None, dtype=object)
    # shapely wants the innermost offsets first.
    out[~array.is_null().to_numpy(zero_copy_only=False)] = shapely.from_ragged_array(
        shape, coordinates, tuple(offsets[::-1]) or None
    )
    return out


def _coordinates(array: pa.Array) -> npt.NDArray[np.float64] | None:
    """(n, 2) of a struct of x and y, or of a fixed size list; further dimensions are left out."""
    kind = array.type
    if pa.types.is_struct(kind) and {"x", "y"} <= {child.name for child in kind}:
        return np.column_stack([array.field(name).to_numpy(zero_copy_only=False) for name in ("x", "y")])
    if pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type):
        flat = array.flatten().to_numpy(zero_copy_only=False)
        return np.ascontiguousarray(flat.reshape(-1, kind.list_size)[:, :2])
    return None


def box_keys(kind: pa.DataType) -> tuple[str, str, str, str] | None:
    """Names of the west, south, east and north in a struct type; None where it is no box."""
    if not pa.types.is_struct(kind):
        return None
    names = {child.name for child in kind}
    return next((keys for keys in _BOX_KEYS if set(keys) <= names), None)


def box_values(column: pa.ChunkedArray, keys: Sequence[str]) -> npt.NDArray[np.float64]:
    """(n, 4) of a struct column; NaN where it is null."""
    whole = pa.table({"box": column}).flatten()
    return np.column_stack([_floats(whole.column(f"box.{key}")) for key in keys])


def bbox_column(field: pa.Field, column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """(n, 4) of a bbox column: a struct, or lists of four or six numbers; NaN where there is none.

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
        if value is not None and len(value) in (4, 6) and None not in value:
            half = len(value) // 2
            rows[at] = (value[0], value[1], value[half], value[half + 1])
    return rows


def side_columns(columns: Sequence[pa.ChunkedArray]) -> npt.NDArray[np.float64]:
    """(n, 4) of four columns."""
    return np.column_stack([_floats(column) for column in columns])


def _floats(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise TableError(f"a side of the table's bbox is no number but {column.type}") from error
