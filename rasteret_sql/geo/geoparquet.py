"""Reads and writes GeoParquet's metadata: the key `geo` of a table or file.

GeoParquet 1.1: https://geoparquet.org/releases/v1.1.0. A column without the member `crs` is in OGC:CRS84; `crs` null
says that nobody knows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyproj
import shapely

from rasteret_sql.geo.crs import LONLAT, normalize_crs
from rasteret_sql.geo.geoarrow import Said, said_of_field

_KEY = b"geo"
_SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True)
class GeoMetadata:
    """The metadata under the key `geo`; nothing where a table has none."""

    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Geometry column → its member of `columns`."""
    primary: str | None = None
    """The geometry column that is meant where there are several."""

    @classmethod
    def of(cls, schema: pa.Schema) -> GeoMetadata:
        """That of a table.

        Raises:
            ValueError: it is no JSON object.
        """
        text = (schema.metadata or {}).get(_KEY)
        if not text:
            return cls()
        said = json.loads(text)
        if not isinstance(said, dict):
            raise ValueError(f"the key geo is a JSON object, not {type(said).__name__}")  # noqa: TRY004
        given = said.get("columns")
        columns = {name: one for name, one in given.items() if isinstance(one, dict)} if isinstance(given, dict) else {}
        primary = said.get("primary_column")
        return cls(columns, primary if isinstance(primary, str) and primary in columns else None)

    @property
    def meant(self) -> list[str]:
        """The primary column alone where one is named, else all geometry columns."""
        return list(self.columns) if self.primary is None else [self.primary]

    def said_of(self, column: pa.Field) -> Said:
        """The facts of a column: its own GeoArrow metadata where that has a CRS, else that of GeoParquet."""
        own = said_of_field(column)
        said = self.columns.get(column.name)
        if own.crs is not None or said is None:
            return own
        crs = said.get("crs", LONLAT)
        return Said(crs, said.get("edges"), is_unknown=crs is None)

    def covering(self, column: str) -> list[tuple[str, ...]] | None:
        """Paths of the columns with the west, south, east and north of each row; None where none are named."""
        covering = self.columns.get(column, {}).get("covering")
        box = covering.get("bbox") if isinstance(covering, dict) else None
        paths = [box.get(side) for side in _SIDES] if isinstance(box, dict) else []
        found = [tuple(path) for path in paths if isinstance(path, list) and path]
        return found if len(found) == len(_SIDES) else None


def feature_metadata(column: str, crs: str | None) -> dict[bytes, bytes]:
    """Key and value of a file of features, whose geometries are WKB of any types.

    Args:
        column: Of the geometries.
        crs: Theirs; None: nobody knows.
    """
    said: dict[str, Any] = {"encoding": "WKB", "geometry_types": []}
    if crs != LONLAT:
        said["crs"] = None if crs is None else pyproj.CRS.from_user_input(crs).to_json_dict()
    return {_KEY: json.dumps({"version": "1.1.0", "primary_column": column, "columns": {column: said}}).encode()}


def said_crs(schema: pa.Schema, column: str) -> str | None:
    """The CRS of a geometry column, by the metadata of its table; None where that says none, or lon/lat."""
    crs = GeoMetadata.of(schema).said_of(schema.field(column)).crs
    return None if crs is None or crs == LONLAT else normalize_crs(crs)


def lonlat_metadata(geometries: Iterable[bytes | None]) -> dict[bytes, bytes]:
    """Key and value of a file of scenes: the column `geometry` is WKB in lon/lat, covered by the column `bbox`.

    Args:
        geometries: WKB, of which the types are named.
    """
    shapes = shapely.from_wkb([geometry for geometry in geometries if geometry is not None])
    kinds = sorted({shape.geom_type + (" Z" if shape.has_z else "") for shape in shapes})
    column = {
        "encoding": "WKB",
        "geometry_types": kinds,
        "covering": {"bbox": {side: ["bbox", side] for side in _SIDES}},
    }
    said = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    return {_KEY: json.dumps(said, sort_keys=True, separators=(",", ":")).encode()}
