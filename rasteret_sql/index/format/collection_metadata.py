"""Makes the key/value metadata of a collection's files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rasteret_sql import schema
from rasteret_sql.geo.geoparquet import lonlat_metadata


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

    def key_values(self, geometries: Iterable[bytes | None]) -> dict[bytes, bytes]:
        """The Parquet key/value metadata of files with scenes of these footprints (WKB)."""
        values = {
            schema.KEY_NAME: self.name,
            schema.KEY_DESCRIPTION: self.description,
            schema.KEY_DATA_SOURCE: self.data_source,
            schema.KEY_CREATED: now(),
            schema.KEY_DATE_RANGE: ",".join(self.date_range or ()),
            schema.KEY_RASTERET_VERSION: "1",
            schema.KEY_INDEX_VERSION: str(schema.INDEX_VERSION),
            schema.KEY_REQUEST: as_json(self.request or {}),
        }
        if self.signed:
            values[schema.KEY_SIGNED] = as_json(list(self.signed))
        return {key: value.encode() for key, value in values.items()} | lonlat_metadata(geometries)


def now() -> str:
    """UTC, ISO."""
    return datetime.now(UTC).replace(tzinfo=None).isoformat()


def as_json(value: Any) -> str:
    """Compact, with sorted keys."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
