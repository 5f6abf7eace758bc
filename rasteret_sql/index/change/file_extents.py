"""Computes the footprint of a scene from its files, for items without one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import shapely
from pyproj.exceptions import ProjError
from shapely.errors import ShapelyError

from rasteret_sql.errors import RasteretError
from rasteret_sql.geo.crs import LONLAT, transformer
from rasteret_sql.geo.image_region import image_region
from rasteret_sql.geo.lonlat_boxes import box_of_row
from rasteret_sql.index.format.band_encode import BandRecord
from rasteret_sql.scenes.scene import SceneItem
from rasteret_sql.tiff.header import BandHeader


def placed(scene: SceneItem, bands: Iterable[BandRecord]) -> SceneItem:
    """The scene with the extent of the first of its files that says where it lies, where its item has no geometry.

    Without a place no area would ever find the scene. A bbox of the item stays as it is. Where a file says where it
    lies and yet no footprint can be made of it, the scene has none, and its status says why.
    """
    if scene.geometry is not None:
        return scene
    reasons: list[str] = []
    for band in bands:
        extent, reason = _extent(band.header, scene.epsg)
        if extent is not None:
            bbox = scene.bbox or box_of_row(shapely.bounds(extent))
            return replace(scene, geometry=shapely.to_wkb(extent), bbox=bbox)
        reasons += [reason] if reason else []
    if not reasons:
        return scene
    return replace(scene, unread={**scene.unread, "geometry": reasons[0]})


def _extent(header: BandHeader, epsg: int | None) -> tuple[shapely.Geometry | None, str | None]:
    """The part of the globe of an image, in lon/lat, or why that cannot be told; neither where it does not say."""
    crs = header.crs or (None if epsg is None else f"EPSG:{epsg}")
    header = replace(header, crs=crs).by_points()
    if header.crs is None or header.transform is None:
        return None, None
    corners = [header.transform.apply(x, y) for x in (0, header.width) for y in (0, header.height)]
    if not all(map(math.isfinite, (side for corner in corners for side in corner))):
        return None, "its files have a transform that is not finite, so they give no footprint"
    try:
        if header.is_by_points:
            transformer(header.crs, LONLAT)  # says what is wrong with its points
        found = image_region(header.transform, header.width, header.height, header.crs)
    except (RasteretError, ShapelyError, ProjError) as error:
        return None, f"no footprint can be made of its files: {' '.join(str(error).split())}"
    if found is None:
        return None, "its files lie nowhere on Earth in their CRS, so they give no footprint"
    return found, None
