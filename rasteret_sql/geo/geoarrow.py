"""Reads and writes geometry columns of Arrow: fields as GeoArrow has them, values in every form.

The metadata of an extension type is that of the type where pyarrow knows it, else two keys of the field.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyproj
import shapely

from rasteret_sql.errors import InvalidGeometryError, TableError
from rasteret_sql.geo.geometry import BOX_KEYS, parse_geometries

Geometries = npt.NDArray[np.object_]
_NAME = b"ARROW:extension:name"
_METADATA = b"ARROW:extension:metadata"
_PREFIX = "geoarrow."
_NATIVE = {
    0: shapely.GeometryType.POINT,
    2: shapely.GeometryType.POLYGON,
    3: shapely.GeometryType.MULTIPOLYGON,
}
"""By how many lists lie around the coordinates."""


@dataclass(frozen=True, slots=True)
class Said:
    """The facts that metadata gives of a geometry column."""

    crs: Any = None
    """PROJJSON, or anything else that `normalize_crs` takes; None: it says nothing."""
    edges: str | None = None
    """Between vertices: "planar", "spherical" or another word of GeoArrow's; None: it says nothing, planar."""
    is_unknown: bool = False
    """True: it says that the CRS is not known."""


def is_geoarrow(field: pa.Field) -> bool:
    """True for columns of a GeoArrow type, whether pyarrow knows it or not."""
    return _name(field).startswith(_PREFIX)


def said_of_field(field: pa.Field) -> Said:
    """The facts that the extension type of a column gives of its geometries; nothing where there is none."""
    if not _name(field):
        return Said()
    kind = field.type
    if isinstance(kind, pa.BaseExtensionType):
        said = json_object(kind.__arrow_ext_serialize__())
    else:
        said = json_object((field.metadata or {}).get(_METADATA, b""))
    return Said(said.get("crs"), said.get("edges"))


def _name(field: pa.Field) -> str:
    if isinstance(field.type, pa.BaseExtensionType):
        return str(field.type.extension_name)
    return bytes((field.metadata or {}).get(_NAME, b"")).decode("utf-8", "replace")


def json_object(text: bytes | str) -> dict[str, Any]:
    """The members of a JSON object; none where the text is anything else."""
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def wkb_field(name: str) -> pa.Field:
    """A column of WKB in lon/lat that says so."""
    return pa.field(name, pa.binary(), metadata=_lonlat_wkb())


@cache
def _lonlat_wkb() -> dict[bytes, bytes]:
    crs = pyproj.CRS.from_user_input("OGC:CRS84").to_json_dict()
    return {
        _NAME: f"{_PREFIX}wkb".encode(),
        _METADATA: json.dumps({"crs": crs, "crs_type": "projjson"}).encode(),
    }


def parse_column(column: pa.ChunkedArray) -> Geometries | None:
    """Geometries of a column: WKB, text (WKT, GeoJSON, hex), native GeoArrow, or a struct of four sides.

    Args:
        column: its values, no extension any more.

    Returns:
        Shape (n,), None where a value is null; None in place of all where the column is of another type.

    Raises:
        InvalidGeometryError: a value cannot be read.
        TableError: a side of a struct is no number.
    """
    kind = column.type
    if _is_binary(kind):
        values = column.to_pylist()
        return _named("BLOB", values, [None] * len(values))
    if is_text(kind):
        values = column.to_pylist()
        return _named("VARCHAR", [None] * len(values), values)
    keys = box_keys(kind)
    if keys is not None:
        box = box_values(column, keys)
        made = np.asarray(shapely.box(*box.T), dtype=object)
        made[~np.isfinite(box).all(axis=1)] = None
        return made
    return _native(column)


def _named(kind: str, wkb: Sequence[bytes | None], text: Sequence[str | None]) -> Geometries:
    try:
        return parse_geometries([kind] * len(wkb), wkb, text)
    except InvalidGeometryError as error:
        raise InvalidGeometryError(f"the table's geometry column: {error}") from error


def is_text(kind: pa.DataType) -> bool:
    """True for every layout in which Arrow has text, dictionaries of it too."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


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
    shape = _NATIVE.get(len(offsets))
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
    return next((keys for keys in BOX_KEYS if set(keys) <= names), None)


def box_values(column: pa.ChunkedArray, keys: Sequence[str]) -> npt.NDArray[np.float64]:
    """(n, 4) of a struct column; NaN where it is null.

    Raises:
        TableError: as `side_columns`.
    """
    whole = pa.table({"box": column}).flatten()
    return side_columns([whole.column(f"box.{key}") for key in keys])


def side_columns(columns: Sequence[pa.ChunkedArray]) -> npt.NDArray[np.float64]:
    """(n, 4) of four columns: west, south, east and north.

    Raises:
        TableError: one of them has no numbers.
    """
    return np.column_stack([_floats(column) for column in columns])


def _floats(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise TableError(f"a side of the table's bbox is no number but {column.type}") from error
