"""Finds the values that are black and white in all tiles of a collection, of a few of its scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import shapely

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import RasteretError
from rasteret_sql.geo.grid import Grid
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.index.read.scene_scan import column
from rasteret_sql.raster.render import valid_values
from rasteret_sql.raster.stretch import Limits, Stretch
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.chips import read_plans
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.reading.request import Request
from rasteret_sql.reading.resolve import resolve
from rasteret_sql.reading.target_grids import finest
from rasteret_sql.reading.target_plan import plan_chip
from rasteret_sql.selection.conditions import CLOUD_COVER
from rasteret_sql.selection.selection import Selection
from rasteret_sql.session.session import Session

_LOOKED_AT = 64
"""Scenes, anywhere in the collection, of which the least cloudy ones are read."""
_READ = 8
_SIDE = 256
"""Pixels of the longer side of what is read of each."""
_LARGEST = 2_048
"""Pixels of a side of an overview that is read whole; of larger ones the middle is."""


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
    values, failed = _read(session, found, bands, options)
    if not values and failed is not None:
        raise failed
    return stretch.of_bands(valid_values(values) if values else [[] for _ in bands])


def _least_cloudy(selection: Selection) -> list[str]:
    """Some scenes: the same ones each time."""
    clouds = column(CLOUD_COVER).sql("duckdb") if CLOUD_COVER in selection.index.scene_columns else "NULL"
    names = ["id", CLOUD_COVER] if clouds != "NULL" else ["id"]
    some = f"SELECT id, {clouds} AS clouds FROM ({selection.sql(names)}) ORDER BY hash(id), id LIMIT {_LOOKED_AT}"  # noqa: S608 - quoted
    rows = selection.reader.rows(f"SELECT id FROM ({some}) ORDER BY clouds NULLS LAST, hash(id), id LIMIT {_READ}")  # noqa: S608 - quoted
    return [str(scene) for (scene,) in rows]


def _read(
    session: Session, found: dict[str, tuple[BandSource, ...]], bands: tuple[Asked, ...], options: PixelOptions
) -> tuple[list[tuple[np.ndarray, np.ndarray | None]], RasteretError | None]:
    """Small images of scenes, and the error of one that has none."""
    placed = {scene: place for scene, files in found.items() if (place := _middle(files)) is not None}
    failed: list[RasteretError] = []

    def work(cancelled: Cancelled) -> list[tuple[np.ndarray, np.ndarray | None]]:
        context = session.reading("tiles")
        context = replace(
            context, report=lambda row: failed.append(row.error) if isinstance(row.error, RasteretError) else None
        )
        request = Request(
            list(placed),
            [bands] * len(placed),
            [shape for shape, _, _ in placed.values()],
            [crs for _, crs, _ in placed.values()],
            [replace(options, shape=shape, on_error="null", on_change="raise") for _, _, shape in placed.values()],
        )
        plans = [plan for plan in map(plan_chip, resolve(request, context)) if plan is not None]
        jobs, _ = read_plans(plans, context, cancelled, tells=True)
        failed.extend(job.error for job in jobs if job is not None and isinstance(job.error, RasteretError))
        return [
            (job.pixels(), None if job.invalid is None else ~job.invalid)
            for job in jobs
            if job is not None and not job.failed
        ]

    read = session.engine.call(work)
    return read, failed[0] if failed else None


def _middle(files: Sequence[BandSource]) -> tuple[shapely.Geometry, str, tuple[int, int]] | None:
    """The part of an image that is read, its CRS, and the height and width to which it is made smaller."""
    header = finest(files).header
    if header.transform is None or header.crs is None:
        return None
    level = min(header.levels, key=lambda one: one.width * one.height)
    width, height = min(level.width, _LARGEST), min(level.height, _LARGEST)
    # In pixels of full resolution.
    across, down = width * header.width / level.width, height * header.height / level.height
    left, top = (header.width - across) / 2, (header.height - down) / 2
    shape = Grid(header.transform.shifted(left, top), 1, 1).transform
    corners = [shape.apply(*at) for at in ((0, 0), (across, 0), (across, down), (0, down))]
    factor = min(1.0, _SIDE / max(width, height))
    return shapely.Polygon(corners), header.crs, (max(1, round(height * factor)), max(1, round(width * factor)))
