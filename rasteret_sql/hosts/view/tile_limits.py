"""Finds the values that are black and white in all tiles of a collection, of a few of its scenes."""

from __future__ import annotations

import numpy as np

from rasteret_sql.errors import RasteretError
from rasteret_sql.hosts.view.small_images import small_images
from rasteret_sql.index.read.scene_scan import column
from rasteret_sql.raster.render import valid_values
from rasteret_sql.raster.stretch import Limits, Stretch
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.selection.conditions import CLOUD_COVER
from rasteret_sql.selection.selection import Selection
from rasteret_sql.session.session import Session

_LOOKED_AT = 64
"""Scenes, anywhere in the collection, of which the least cloudy ones are read."""
_READ = 8
_SIDE = 256
"""Pixels of the longer side of what is read of each."""


def picture_limits(
    session: Session, selection: Selection, bands: tuple[Asked, ...], options: PixelOptions, stretch: Stretch
) -> list[Limits]:
    """The limits of each band.

    They depend on the scenes of the collection alone, so that neighbouring tiles, and those of other times, are shown
    alike.

    Args:
        session: reads the scenes.
        selection: all scenes that the map may show.
        bands: that are shown.
        options: of the reads.
        stretch: the rule.

    Raises:
        RasteretError: none of the scenes can be read, or the rule is one for another number of bands.
    """
    if stretch.limits:
        return stretch.of_bands([[] for _ in bands])
    ids = _least_cloudy(selection)
    sources = session.reading().look_up([(scene, bands) for scene in ids], options.collection, None)
    found = {scene: files for (scene, _), files in sources.items() if not isinstance(files, RasteretError)}
    if not found:
        raise next(error for error in sources.values() if isinstance(error, RasteretError))
    dtypes = [files[at].header.dtype for files in found.values() for at in range(len(bands))]
    if stretch.keeps_bytes and all(dtype == np.uint8 for dtype in dtypes):
        return stretch.of_bands([[np.empty(0, np.uint8)] for _ in bands])
    images, failed = small_images(session, found, bands, options, side=_SIDE)
    if not images and failed is not None:
        raise failed
    return stretch.of_bands(valid_values([*images.values()]) if images else [[] for _ in bands])


def _least_cloudy(selection: Selection) -> list[str]:
    """Some scenes: the same ones each time."""
    clouds = column(CLOUD_COVER).sql("duckdb") if CLOUD_COVER in selection.index.scene_columns else "NULL"
    names = ["id", CLOUD_COVER] if clouds != "NULL" else ["id"]
    some = f"SELECT id, {clouds} AS clouds FROM ({selection.sql(names)}) ORDER BY hash(id), id LIMIT {_LOOKED_AT}"  # noqa: S608 - quoted
    rows = selection.reader.rows(f"SELECT id FROM ({some}) ORDER BY clouds NULLS LAST, hash(id), id LIMIT {_READ}")  # noqa: S608 - quoted
    return [str(scene) for (scene,) in rows]
