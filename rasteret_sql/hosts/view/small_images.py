"""Reads small images of scenes, or of a zone on them, from overviews where there are some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import RasteretError
from rasteret_sql.geo.crs import LONLAT
from rasteret_sql.geo.grid import Grid
from rasteret_sql.geo.placement import place
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.chips import read_plans
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.reading.request import Request
from rasteret_sql.reading.resolve import resolve
from rasteret_sql.reading.target_grids import finest
from rasteret_sql.reading.target_plan import plan_chip
from rasteret_sql.receipt import Receipt
from rasteret_sql.session.session import Session

_LARGEST = 2_048
"""Pixels of a side of an overview that is read whole; of larger ones the middle is."""

Image = tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]
"""Pixels (bands, height, width), and True where they are valid; None where all are."""
_Part = tuple[shapely.Geometry, str, tuple[int, int]]
"""A part of an image, its CRS, and the height and width to which it is made smaller."""


def small_images(
    session: Session,
    files: Mapping[str, Sequence[BandSource]],
    bands: tuple[Asked, ...],
    options: PixelOptions,
    *,
    side: int,
    zone: shapely.Geometry | None = None,
    receipt: Receipt | None = None,
) -> tuple[dict[str, Image], RasteretError | None]:
    """Read an image of each scene.

    Args:
        session: reads them.
        files: scene id → the file of each band.
        bands: that are read.
        options: how; without a grid.
        side: most pixels of the longer side.
        zone: in lon/lat: what is read; None: the whole image, or its middle where it has no small overview.
        receipt: counts what it costs, and stops it.

    Returns:
        Scene id → image, of those that can be read and meet the zone; and the error of one that cannot.
    """
    parts = {scene: part for scene, some in files.items() if (part := _part_of(some, zone, side)) is not None}
    failed: list[RasteretError] = []
    receipt = receipt or Receipt()

    def work(cancelled: Cancelled) -> dict[str, Image]:
        context = session.paying(receipt).reading("view")
        context = replace(
            context, report=lambda row: failed.append(row.error) if isinstance(row.error, RasteretError) else None
        )
        request = Request(
            list(parts),
            [bands] * len(parts),
            [shape for shape, _, _ in parts.values()],
            [crs for _, crs, _ in parts.values()],
            [replace(options, shape=shape, on_error="null", on_change="raise") for _, _, shape in parts.values()],
        )
        plans = [plan for plan in map(plan_chip, resolve(request, context)) if plan is not None]
        jobs, _ = read_plans(plans, context, lambda: receipt.is_stopped or cancelled(), tells=True)
        failed.extend(job.error for job in jobs if job is not None and isinstance(job.error, RasteretError))
        return {
            job.plan.read.scene_id: (job.pixels(), None if job.invalid is None else ~job.invalid)
            for job in jobs
            if job is not None and not job.failed
        }

    return session.engine.call(work), failed[0] if failed else None


def _part_of(files: Sequence[BandSource], zone: shapely.Geometry | None, side: int) -> _Part | None:
    header = finest(files).header
    if header.transform is None or header.crs is None:
        return None
    grid = Grid(header.transform, header.width, header.height)
    if zone is not None:
        (shape,) = place([zone], LONLAT, header.crs, [grid])
        if shape is None or not shape.intersects(grid.outline()):
            return None
        west, south, east, north = shape.bounds
        across, down = (max(1.0, span / grid.pixel) for span in (east - west, north - south))
        return shape, header.crs, _fitted(across, down, side)
    level = min(header.levels, key=lambda one: one.width * one.height)
    width, height = min(level.width, _LARGEST), min(level.height, _LARGEST)
    # In pixels of full resolution.
    across, down = width * header.width / level.width, height * header.height / level.height
    corner = header.transform.shifted((header.width - across) / 2, (header.height - down) / 2)
    corners = [corner.apply(*at) for at in ((0, 0), (across, 0), (across, down), (0, down))]
    return shapely.Polygon(corners), header.crs, _fitted(across, down, side)


def _fitted(across: float, down: float, side: int) -> tuple[int, int]:
    """Height and width of at most so many pixels a side."""
    factor = min(1.0, side / max(across, down))
    return max(1, round(down * factor)), max(1, round(across * factor))
