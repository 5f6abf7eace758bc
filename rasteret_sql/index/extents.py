"""Where a scene lies by its files, for items that do not say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import shapely

from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.crs import LONLAT, transform_where_possible
from rasteret_sql.index.band_encode import BandRecord
from rasteret_sql.stac.item import SceneItem
from rasteret_sql.tables.footprints import split_at_antimeridian
from rasteret_sql.tiff.header import BandHeader
from rasteret_sql.types import Bounds

_STEPS = 8
"""Parts of each edge of an image, since straight lines of one CRS are curves in another."""


def placed(scene: SceneItem, bands: Iterable[BandRecord]) -> SceneItem:
    """The scene with the extent of the first of its files that says where it lies, where its item has no geometry.

    Without a place no area would ever find the scene. A bbox of the item stays as it is.
    """
    if scene.geometry is not None:
        return scene
    for band in bands:
        extent = _extent(band.header, scene.epsg)
        if extent is not None:
            west, south, east, north = shapely.bounds(extent).tolist()
            bounds: Bounds = (west, south, east, north)
            return replace(scene, geometry=shapely.to_wkb(extent), bbox=scene.bbox or bounds)
    return scene


def _extent(header: BandHeader, epsg: int | None) -> shapely.Geometry | None:
    """Outline of an image in lon/lat; None where it has none."""
    crs = header.crs or (None if epsg is None else f"EPSG:{epsg}")
    if crs is None or header.transform is None:
        return None
    there = np.linspace(0.0, 1.0, _STEPS, endpoint=False)
    stay = np.zeros(_STEPS)
    columns = np.concatenate([there, stay + 1, 1 - there, stay]) * header.width
    rows = np.concatenate([stay, there, stay + 1, 1 - there]) * header.height
    ring = [header.transform.apply(column, row) for column, row in zip(columns.tolist(), rows.tolist(), strict=True)]
    try:
        (moved,) = transform_where_possible(np.array([shapely.Polygon(ring)], dtype=object), crs, LONLAT)
    except InvalidCrsError:  # a code that PROJ does not know; reads of the scene say so
        return None
    if moved is None:
        return None
    west, _, east, _ = shapely.bounds(moved)
    return split_at_antimeridian(moved) if east - west > 180 else moved
