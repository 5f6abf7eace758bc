"""Reads areas of a call in every form that Python has: boxes, text, WKB, GeoJSON, shapely, Arrow with a CRS."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from rasteret_sql.errors import ArgumentTypeError, InvalidArgumentError, InvalidGeometryError, TableError, did_you_mean
from rasteret_sql.geo.crs import LONLAT, crs_or_code, normalize_crs
from rasteret_sql.geo.geoarrow import is_geoarrow, parse_column, said_of_field
from rasteret_sql.geo.geometry import eastward, parse_geometry, plain_geometries, srid_crs
from rasteret_sql.geo.geoparquet import GeoMetadata
from rasteret_sql.geo.placement import on_lonlat

_FORMS = (
    "a tuple (minx, miny, maxx, maxy), WKT, WKB, GeoJSON, shapely, a list or Arrow array of these, or an Arrow table "
    "with a geometry column"
)


class Kinds(Enum):
    """Geometries that a call takes, by their types."""

    POLYGONS = ("Polygon", "MultiPolygon")
    ANY = ()
    POINTS = ("Point",)
    """And missing ones."""

    @property
    def noun(self) -> str:
        """One of them, for messages."""
        return "point" if self is Kinds.POINTS else "area"

    @property
    def rule(self) -> str:
        """All of them, for messages."""
        rules = {
            Kinds.POLYGONS: "areas are polygons and multipolygons",
            Kinds.ANY: "areas are geometries",
            Kinds.POINTS: "points are geometries of type Point",
        }
        return rules[self]


AUTO = "auto"
"""The CRS that the areas say themselves, else lon/lat."""

Crs = str | int | dict[str, Any] | None


@dataclass(frozen=True, slots=True, eq=False)
class Areas:
    """Geometries, none missing and none empty, shape (n,), n ≥ 1."""

    geometries: npt.NDArray[np.object_]
    crs: str
    columns: Any = None
    """Of a table of areas, its other columns: an Arrow table, or a frame of pandas where it came as one; else None."""

    def lonlat(self) -> npt.NDArray[np.object_]:
        """The geometries in lon/lat, poles and parts across 180 degrees where they are.

        Raises:
            InvalidCrsError: one of them is no place, or PROJ has no way to lon/lat.
        """
        if self.crs == LONLAT:
            return self.geometries
        return on_lonlat(self.geometries, self.crs)

    def describe(self) -> str:
        """Say where they are, for messages."""
        bounds = tuple(round(float(side), 6) for side in shapely.total_bounds(self.geometries))
        return f"bounds {bounds} in {self.crs}"


def read_areas(
    value: Any, geometry_crs: Crs = AUTO, geometry_column: str | None = None, *, kinds: Kinds = Kinds.POLYGONS
) -> Areas:
    """Read areas in whatever form they come.

    Args:
        value: a bbox tuple, one geometry, several of them, or Arrow data: arrays, or a table, reader or anything else
            that exports an Arrow stream with a geometry column.
        geometry_crs: CRS of the areas; "auto" or None: what GeoArrow, GeoParquet or EWKT says. Without that, plain
            geometries are lon/lat, and a table is an error.
        geometry_column: which column of a table.
        kinds: others are an error.

    Raises:
        InvalidGeometryError: an area cannot be read, or is of another kind.
        InvalidArgumentError: a bbox is none, or a table does not say which column or CRS is meant.
        TypeError: there are no areas in it.
    """
    asked = None if geometry_crs is None or geometry_crs == AUTO else crs_or_code(geometry_crs)
    table = as_table(value)
    if table is not None:
        return _of_table(table, asked, geometry_column, kinds)
    if geometry_column is not None:
        raise ArgumentTypeError(
            f"geometry_column names a column of a table of areas, and the areas are {type(value).__name__}"
        )
    if isinstance(value, tuple) and (not value or any(isinstance(one, int | float | np.number) for one in value)):
        return Areas(np.array([_box(value, asked)], dtype=object), asked or LONLAT)
    if _is_frame(value):
        said = None if value.crs is None else normalize_crs(value.crs.to_wkt())
        shapes = np.array(getattr(value, "geometry", value), dtype=object)
        shapes = plain_geometries(shapes, shapes.tolist())
        columns = value.drop(columns=value.geometry.name) if hasattr(value, "columns") else None
        return Areas(_checked(shapes, kinds), asked or said or LONLAT, columns)
    array = _as_array(value)
    if array is not None:
        field, column = array
        said = _said_crs(field, GeoMetadata())
        if field.metadata or isinstance(field.type, pa.BaseExtensionType) or not _is_plain(field.type):
            return Areas(_checked(_column(field, column), kinds), asked or said or LONLAT)
        value = column.to_pylist()
    one = isinstance(value, str | bytes | dict | shapely.Geometry) or hasattr(value, "__geo_interface__")
    values = [value] if one else value
    if not isinstance(values, Iterable):
        raise InvalidGeometryError(f"areas cannot be made of {type(value).__name__}; expected {_FORMS}")
    parsed = [_parse(each, asked) for each in values]
    geometries = np.empty(len(parsed), dtype=object)
    geometries[:] = parsed
    return Areas(_checked(geometries, kinds), asked or _srid(geometries) or LONLAT)


def _box(corners: tuple[Any, ...], crs: str | None) -> shapely.Polygon:
    numbers = [float(corner) for corner in corners if isinstance(corner, (int, float, np.number))]
    if len(corners) != 4 or len(numbers) != 4 or not np.isfinite(numbers).all():
        raise InvalidArgumentError(f"the bbox {corners!r} is not four finite numbers (minx, miny, maxx, maxy)")
    if crs in {None, LONLAT}:
        numbers[2] = eastward(numbers[0], numbers[2])
    if numbers[0] >= numbers[2] or numbers[1] >= numbers[3]:
        raise InvalidArgumentError(f"the bbox {corners!r} is empty: expected minx < maxx and miny < maxy")
    return shapely.box(*numbers)


def _parse(value: Any, crs: str | None) -> shapely.Geometry | None:
    if isinstance(value, int | float | np.number):
        raise InvalidGeometryError(f"an area cannot be made of {value!r}; a bbox is a tuple (minx, miny, maxx, maxy)")
    return _box(value, crs) if isinstance(value, tuple) else parse_geometry(value)


def _checked(geometries: npt.NDArray[np.object_], kinds: Kinds) -> npt.NDArray[np.object_]:
    if not len(geometries):
        raise InvalidGeometryError(f"no {kinds.noun} is given: the list is empty")
    for geometry in geometries:
        is_missing = geometry is None or geometry.is_empty
        if not is_missing and (kinds is Kinds.ANY or geometry.geom_type in kinds.value):
            continue
        if is_missing and kinds is Kinds.POINTS:
            continue
        kind = "nothing" if geometry is None else f"{'an empty' if is_missing else 'a'} {geometry.geom_type}"
        raise InvalidGeometryError(f"{kinds.rule}, not {kind}")
    return geometries


def _srid(geometries: npt.NDArray[np.object_]) -> str | None:
    """The CRS of EWKT and EWKB."""
    codes = np.unique(shapely.get_srid(geometries)).tolist()
    if len(codes) > 1:
        raise InvalidGeometryError(f"the areas have different SRIDs ({codes}); give them in one CRS")
    return srid_crs(codes[0])


def _is_frame(value: Any) -> bool:
    """True for frames, series and arrays of geopandas, which need not be there."""
    return hasattr(value, "crs") and (hasattr(value, "geometry") or hasattr(value, "__array__"))


def as_table(value: Any) -> pa.Table | None:
    """A table of what has columns; None for anything else."""
    if isinstance(value, pa.Table):
        return value
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value])
    if isinstance(value, pa.RecordBatchReader):
        return value.read_all()
    if isinstance(value, pa.Array | pa.ChunkedArray) or hasattr(value, "geom_type"):
        return None
    if _is_frame(value):
        return None  # its stream would be made of objects of Python, which Arrow has no type for
    if hasattr(value, "__arrow_c_stream__"):
        try:
            return pa.RecordBatchReader.from_stream(value).read_all()
        except (pa.ArrowInvalid, TypeError):
            return None  # a stream of arrays, which have no columns
    return None


def _as_array(value: Any) -> tuple[pa.Field, pa.ChunkedArray] | None:
    """Arrow arrays with their field, which says what an extension type is where pyarrow does not know it."""
    if isinstance(value, pa.Array):
        return pa.field("areas", value.type), pa.chunked_array([value])
    if isinstance(value, pa.ChunkedArray):
        return pa.field("areas", value.type), value
    if hasattr(value, "__arrow_c_stream__"):
        column = pa.chunked_array(value)
    elif hasattr(value, "__arrow_c_array__"):
        column = pa.chunked_array([pa.array(value)])
    else:
        return None
    field = pa.field(value) if hasattr(value, "__arrow_c_schema__") else pa.field("areas", column.type)
    return field, column


def _is_plain(kind: pa.DataType) -> bool:
    """True where the values are areas one by one, as in a list: bytes or text."""
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_string, pa.types.is_large_string)
    return any(test(kind) for test in tests)


def _of_table(table: pa.Table, asked: str | None, name: str | None, kinds: Kinds) -> Areas:
    geo = _geo_metadata(table.schema)
    field = table.schema.field(_geometry_column(table.schema, geo, name))
    said = _said_crs(field, geo)
    if asked is None and said is None:
        raise InvalidArgumentError(
            f'the table of areas does not say the CRS of its column "{field.name}"; give geometry_crs='
        )
    geometries = _checked(_column(field, table.column(field.name)), kinds)
    return Areas(geometries, asked or said or LONLAT, table.drop_columns([field.name]))


def _geometry_column(schema: pa.Schema, geo: GeoMetadata, name: str | None) -> str:
    if name is not None:
        if name not in schema.names:
            raise InvalidArgumentError(
                f"the table of areas has no column {name!r} (geometry_column); {did_you_mean(str(name), schema.names)}"
            )
        return name
    found = [field.name for field in schema if is_geoarrow(field)] or [one for one in geo.meant if one in schema.names]
    if not found:
        raise ArgumentTypeError(
            f"the table of areas has no geometry column that says what it is ({', '.join(schema.names)}); name one "
            "with geometry_column="
        )
    if len(found) > 1:
        raise InvalidArgumentError(
            f"the table of areas has several geometry columns ({', '.join(found)}); say which with geometry_column="
        )
    return str(found[0])


def _geo_metadata(schema: pa.Schema) -> GeoMetadata:
    """The metadata of GeoParquet; nothing where it cannot be read, since the caller may say all of it."""
    try:
        return GeoMetadata.of(schema)
    except ValueError:
        return GeoMetadata()


def _said_crs(field: pa.Field, geo: GeoMetadata) -> str | None:
    """The CRS that the metadata of a column says.

    Raises:
        InvalidArgumentError: edges are not straight in the plane.
    """
    edges = said_of_field(field).edges
    if edges not in (None, "planar"):
        raise InvalidArgumentError(
            f'the areas of "{field.name}" have {edges} edges, and pixels are cut along straight ones; '
            "give them with planar edges"
        )
    crs = geo.said_of(field).crs
    return None if crs is None else normalize_crs(crs)


def _column(field: pa.Field, column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    with suppress(TableError):  # a struct of sides that are no numbers
        geometries = parse_column(column)
        if geometries is not None:
            return geometries
    raise InvalidGeometryError(
        f'areas cannot be made of the column "{field.name}" of type {field.type}; expected WKB, WKT, GeoJSON or '
        "GeoArrow polygons"
    )
