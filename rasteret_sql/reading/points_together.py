"""Reads the points of each band of a call together, as arrays: no row of theirs is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.grid import Grid
from rasteret_sql.geo.placement import are_places, place_points
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.raster.window import inside_of
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.known_rows import KnownRows
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.reading.point_values import PointValues, point_values
from rasteret_sql.reading.points import are_dense

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class PointsOfBand(NamedTuple):
    """Points of a call that are read of one band."""

    source: BandSource
    options: PixelOptions
    crs: str
    rows: Ints
    """Of the call."""
    xy: Floats
    """Shape (n, 2)."""


def can_take_together(options: PixelOptions) -> bool:
    """True where points are read by their own pixel alone, and nothing is counted or tried again row by row."""
    return options.max_distance_pixels == 0 and options.max_bytes is None and options.backend is None


def sample_together(points: Sequence[PointsOfBand], context: ReadContext, cancelled: Cancelled) -> KnownRows | None:
    """Values of those points that can be read, or miss their image; others are to be read row by row.

    Left to that are points that are no place, those of a band of which a tile cannot be read, those of a band in which
    they lie far apart, and all where none meets its image.
    """
    placed: list[tuple[PointsOfBand, Ints, PointValues]] = []
    with context.receipt.plan:
        for one in points:
            inside, read = _placed(one)
            if read is not None:
                placed.append((one, inside, read))
    if not any(len(inside) for _, inside, _ in placed):
        return None
    context.stream([read.job for _, inside, read in placed if len(inside)], cancelled)
    done = [each for each in placed if each[2].job.failure is None]
    values = [np.zeros(len(one.rows)) for one, _, _ in done]
    missing = [np.ones(len(one.rows), bool) for one, _, _ in done]
    for (_, inside, read), value, lacks in zip(done, values, missing, strict=True):
        if len(inside):
            value[inside], lacks[inside] = read.values()
    context.plan_pairs(sum(len(inside) for _, inside, _ in done), seen=sum(map(len, values)))
    if not done:
        return None
    known = pa.array(np.concatenate(values), mask=np.concatenate(missing))
    return KnownRows(np.concatenate([one.rows for one, _, _ in done]), known)


def _placed(points: PointsOfBand) -> tuple[Ints, PointValues | None]:
    """Those that are inside of the image, and what reads them; nothing where they are to be read one by one."""
    header, level = points.source.header, points.options.level
    transform, size = header.level_transform(level), header.levels[level]
    assert header.crs is not None and header.transform is not None and transform is not None  # noqa: PT018
    try:
        xy = place_points(points.xy, points.crs, header.crs, Grid(header.transform, header.width, header.height))
    except InvalidCrsError:
        return np.empty(0, np.int64), None  # each says so
    lost = np.isnan(xy[:, 0])
    if lost.any() and not are_places(points.xy[lost], points.crs).all():
        return np.empty(0, np.int64), None
    x, y, inside = inside_of(xy[:, 0], xy[:, 1], transform, size.width, size.height)
    x, y = x[inside], y[inside]
    if not are_dense(points.source, level, x.astype(np.int64), y.astype(np.int64)):
        return np.empty(0, np.int64), None
    return inside, point_values(points.source, points.options, x, y)
