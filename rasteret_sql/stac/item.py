"""What a build keeps of a STAC item: plain values, the same from an API, a static catalog or a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rasteret_sql.types import Bounds


@dataclass(frozen=True, slots=True)
class BandAsset:
    """Where one band of a scene is stored."""

    href: str
    """Absolute address: URL or absolute path, after URL rewriting."""
    band_index: int | None = None
    """0-based sample in a multi-band file; None where the file has one band for this asset."""


@dataclass(frozen=True, slots=True)
class SceneItem:
    """A STAC item on its way to become a scene: identity, place, time, and the file of each band."""

    id: str
    collection: str | None
    datetime: datetime | None
    """Naive UTC; the item's datetime, else its start_datetime."""
    geometry: bytes | None
    """Footprint, WKB in lon/lat."""
    bbox: Bounds | None
    """Lon/lat; computed from the geometry where the item has none."""
    epsg: int | None
    """proj:epsg or proj:code of the item or its assets; None is filled from the TIFF header."""
    bands: dict[str, BandAsset]
    """Band name → file. A scene need not have every band of the collection."""
    properties: dict[str, Any] = field(default_factory=dict)
    """STAC properties as they came, JSON values, without datetime."""
