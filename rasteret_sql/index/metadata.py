"""What the files of a collection say about it as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import shapely

from rasteret_sql import schema


@dataclass(frozen=True, slots=True)
class CollectionMetadata:
    """The facts behind the key/value metadata."""

    name: str
    """The user's own name."""
    bands: tuple[str, ...]
    data_source: str = ""
    """Dataset id or other key of where the scenes come from."""
    description: str = ""
    date_range: tuple[str, str] | None = None
    """ISO (start, end) that was asked for."""
    request: Mapping[str, Any] | None = None
    """All that shaped the build, as JSON values without secrets."""
    signed: Sequence[str] = ()
    """Hosts whose addresses were signed."""

    def key_values(self, geo: Mapping[str, Any]) -> dict[bytes, bytes]:
        """The Parquet key/value metadata."""
        values = {
            schema.KEY_NAME: self.name,
            schema.KEY_DESCRIPTION: self.description,
            schema.KEY_DATA_SOURCE: self.data_source,
            schema.KEY_CREATED: now(),
            schema.KEY_DATE_RANGE: ",".join(self.date_range or ()),
            schema.KEY_RASTERET_VERSION: "1",
            schema.KEY_GEO: as_json(geo),
            schema.KEY_INDEX_VERSION: str(schema.INDEX_VERSION),
            schema.KEY_REQUEST: as_json(self.request or {}),
        }
        if self.signed:
            values[schema.KEY_SIGNED] = as_json(list(self.signed))
        return {key: value.encode() for key, value in values.items()}


def geo_metadata(geometries: Iterable[bytes | None]) -> dict[str, Any]:
    """GeoParquet 1.1: lon/lat WKB (no `crs` member says OGC:CRS84), covered by the column bbox."""
    shapes = shapely.from_wkb([geometry for geometry in geometries if geometry is not None])
    kinds = sorted({shape.geom_type + (" Z" if shape.has_z else "") for shape in shapes})
    sides = ("xmin", "ymin", "xmax", "ymax")
    return {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {
            "geometry": {
                "encoding": "WKB",
                "geometry_types": kinds,
                "covering": {"bbox": {side: ["bbox", side] for side in sides}},
            }
        },
    }


def now() -> str:
    """UTC, ISO."""
    return datetime.now(UTC).replace(tzinfo=None).isoformat()


def as_json(value: Any) -> str:
    """Compact, with sorted keys."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
