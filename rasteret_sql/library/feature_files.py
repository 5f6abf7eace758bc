"""Reads files of features, such as zones: GeoJSON, and what pyogrio reads where it is installed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import shapely
from shapely.errors import ShapelyError

from rasteret_sql.errors import InvalidArgumentError, InvalidGeometryError, MissingObjectError
from rasteret_sql.geo.crs import LONLAT, normalize_crs
from rasteret_sql.geo.geoarrow import said_of_field
from rasteret_sql.geo.geoparquet import feature_metadata

GEOJSON = (".geojson", ".json")
"""Endings of GeoJSON files."""
OTHERS = (".gpkg", ".shp", ".fgb", ".gml", ".kml")
"""Endings of files that pyogrio reads, and DuckDB's extension spatial."""
GEOMETRY = "geometry"


def require_file(path: str) -> None:
    """Raise unless a file of that path is there.

    Raises:
        MissingObjectError: there is none.
        InvalidArgumentError: it is the address of a file elsewhere.
    """
    if "://" in path:
        raise InvalidArgumentError(f"features are read from files of this machine, not from {path}; download it first")
    if not Path(path).is_file():
        what = "a folder" if Path(path).is_dir() else "no file"
        raise MissingObjectError(f"{path} is {what}; expected a file such as fields.geojson or fields.gpkg")


def read_features(path: str, layer: str | None) -> pa.Table | None:
    """The features of a file: their properties, and their geometries as WKB in the column `geometry`.

    The metadata is that of GeoParquet, with the CRS.

    Args:
        path: The file.
        layer: The one that is meant of a file with several; None: the first.

    Returns:
        None where the file is no GeoJSON and pyogrio is not installed.

    Raises:
        InvalidArgumentError: it cannot be read, or has no such layer.
        InvalidGeometryError: a geometry of GeoJSON is none.
    """
    if path.lower().endswith(GEOJSON):
        if layer is not None:
            raise InvalidArgumentError(f'{path} is GeoJSON, which has no layers such as "{layer}"; leave layer out')
        return _geojson(path)
    return _by_pyogrio(path, layer) if find_spec("pyogrio") else None


def _by_pyogrio(path: str, layer: str | None) -> pa.Table:
    import pyogrio  # noqa: PLC0415 - of the extra `vector`
    from pyogrio.errors import DataLayerError, DataSourceError  # noqa: PLC0415

    try:
        about, table = pyogrio.read_arrow(path, layer=layer)
    except DataLayerError as error:
        layers = ", ".join(f'"{name}"' for name in pyogrio.list_layers(path)[:, 0])
        raise InvalidArgumentError(f'{path} has no layer "{layer}"; it has {layers}') from error
    except DataSourceError as error:
        raise InvalidArgumentError(f"{path} cannot be read: {error}") from error
    column = about["geometry_name"] or "wkb_geometry"
    if column not in table.column_names:
        raise InvalidArgumentError(f"{path} has no geometries")
    crs = said_of_field(table.schema.field(column)).crs or about["crs"]
    shapes = table.column(column)
    others = table.drop_columns([column])
    return _with_geometries(others, shapes.cast(pa.binary()), crs)


def _geojson(path: str) -> pa.Table:
    try:
        said = json.loads(Path(path).read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(f"{path} is no GeoJSON: {error}") from error
    features = _features(said, path)
    rows = [feature.get("properties") or {} for feature in features]
    if any("id" in feature for feature in features) and not any("id" in row for row in rows):
        rows = [{"id": feature.get("id"), **row} for feature, row in zip(features, rows, strict=True)]
    names = dict.fromkeys(name for row in rows for name in row if name.lower() != GEOMETRY)
    try:
        table = pa.table({name: _column([row.get(name) for row in rows]) for name in names})
    except UnicodeEncodeError as error:
        half = error.object[error.start : error.end]
        raise InvalidArgumentError(
            f"{path} is no GeoJSON: a property has {half.encode('ascii', 'backslashreplace').decode()}, half of a "
            "character without its other half"
        ) from error
    return _with_geometries(table, _wkb(features, path), _crs_of(said))


def _features(said: Any, path: str) -> list[dict[str, Any]]:
    """The features of a document: a FeatureCollection, a Feature, or a geometry alone."""
    kind = said.get("type") if isinstance(said, dict) else None
    features: list[dict[str, Any]]
    if kind == "FeatureCollection" and isinstance(said.get("features"), list):
        features = said["features"]
    elif kind == "Feature":
        features = [said]
    elif isinstance(kind, str) and ("coordinates" in said or "geometries" in said):
        features = [{"geometry": said}]
    else:
        raise InvalidArgumentError(
            f"{path} is no GeoJSON: expected an object whose type is FeatureCollection, Feature or a geometry"
        )
    wrong = next((n for n, one in enumerate(features, 1) if not isinstance(one, dict)), None)
    if wrong is not None or not all(isinstance(one.get("properties") or {}, dict) for one in features):
        raise InvalidArgumentError(f"{path} is no GeoJSON: a feature is an object with geometry and properties")
    return features


def _wkb(features: Sequence[dict[str, Any]], path: str) -> pa.Array:
    values = []
    for number, feature in enumerate(features, 1):
        geometry = feature.get("geometry")
        try:
            values.append(None if geometry is None else shapely.to_wkb(shapely.from_geojson(json.dumps(geometry))))
        except (ShapelyError, TypeError) as error:
            raise InvalidGeometryError(f"{path}: the geometry of feature {number} cannot be read: {error}") from error
    return pa.array(values, pa.binary())


def _crs_of(said: dict[str, Any]) -> Any:
    """The CRS that the GeoJSON of 2008 names; longitude and latitude where it names none, as later ones do."""
    named = said.get("crs")
    properties = named.get("properties") if isinstance(named, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    return name or LONLAT


def _column(values: list[Any]) -> pa.Array:
    """Values of a property; of several types, or of one without a form in a file, as JSON."""
    try:
        array = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        array = None
    if array is None or pa.types.is_nested(array.type):
        return pa.array([None if value is None else json.dumps(value) for value in values], pa.string())
    return array.cast(pa.string()) if pa.types.is_null(array.type) else array


def _with_geometries(table: pa.Table, shapes: pa.Array, crs: Any) -> pa.Table:
    metadata = feature_metadata(GEOMETRY, None if crs is None else normalize_crs(crs))
    if table.num_columns == 0:
        return pa.table({GEOMETRY: shapes}).replace_schema_metadata(metadata)
    return table.append_column(GEOMETRY, shapes).replace_schema_metadata(metadata)
