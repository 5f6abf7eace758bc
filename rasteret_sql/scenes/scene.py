"""Defines `SceneItem` and `BandAsset`: a scene with the file of each band, from an API, a catalog or a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rasteret_sql.geo.grid import Bounds
from rasteret_sql.scenes.projection_fields import NO_PLACE, SaidPlace
from rasteret_sql.tiff.header import ItemBand


@dataclass(frozen=True, slots=True)
class BandAsset:
    """The place where one band of a scene is stored."""

    href: str
    """Absolute address: URL or absolute path, after URL rewriting."""
    band_index: int | None = None
    """0-based sample in a multi-band file; None where the file has one band for this asset."""
    nodata: str | None = None
    """Text of the nodata that the item says, for a file that tells nothing about valid pixels."""
    sidecars: tuple[str, ...] = ()
    """What is added to the file's address to get those of files beside it that the item names, such as `.msk`."""
    key: str = ""
    """Key of the asset in its item."""
    listed: int = 0
    """Number of bands that the asset lists, where `band_index` follows from that list; else 0."""
    item: ItemBand | None = None
    """What else its item says of the band; None where that is nothing."""
    place: SaidPlace = NO_PLACE
    """Where the item says that the file lies, for a file that does not say it."""


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
    unread: dict[str, str] = field(default_factory=dict)
    """Column → why what the item says there could not be read, and is NULL."""
