"""Computes the statistics of zones among the rows of a call, those of a band together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.engine.cancel import check
from rasteret_sql.errors import InterruptedQueryError, RasteretError
from rasteret_sql.raster.window import geometry_windows
from rasteret_sql.raster.zone_runs import are_zones, runs_of
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.options import Whole
from rasteret_sql.reading.pixel_group import MOST_PIXELS, DerivedGroup, RunsJob, statistics_job, statistics_of
from rasteret_sql.reading.request import RowRead

Row = list[float | None]
_FEW = 8
"""Zones of a band for which it pays to take them together."""


def measure_together(
    reads: Sequence[RowRead], names: Sequence[tuple[str, ...]], context: ReadContext, cancelled: Cancelled
) -> tuple[dict[int, Row | None], list[RowRead]]:
    """Statistics of the zones of which a band has several.

    Args:
        reads: what rows read, of one band each.
        names: statistics wanted, of each row of the call.
        context: what they are read with.
        cancelled: polled while waiting.

    Returns:
        Row → its statistics in the order of its names; None where the zone misses the image. And the rows that are
        left: other zones, and those that could not be read.
    """
    # Rows of a call share their options: they are told apart by identity, for to hash them takes as long as to group.
    groups: dict[tuple[int, int, tuple[str, ...]], list[RowRead]] = defaultdict(list)
    left: list[RowRead] = []
    for read in reads:
        if (
            len(read.sources) == 1
            and read.target is None
            and DerivedGroup.can_group(read.sources[0])
            and names[read.row]
            and read.geometry is not Whole.IMAGE
        ):
            groups[id(read.sources[0]), id(read.options), names[read.row]].append(read)
        else:
            left.append(read)
    found: dict[int, Row | None] = {}
    jobs: list[tuple[list[RowRead], RunsJob, tuple[str, ...]]] = []
    with context.receipt.plan:
        for (_, _, wanted), members in groups.items():
            if len(members) < _FEW:
                left += members
                continue
            job, kept, rest = _job(members, wanted, found, cancelled)
            left += rest
            if job is not None:
                jobs.append((kept, job, wanted))
    context.stream([job for _, job, _ in jobs], cancelled)
    for members, job, wanted in jobs:
        if job.failure is not None:
            left += members
            continue
        if job.skipped:
            found.update((read.row, None) for read in members)
            continue
        context.plan_pairs(len(members))
        check(cancelled)
        with context.receipt.reduce:
            values, missing = (side.tolist() for side in statistics_of(job, wanted))
        for read, of_zone, lacks in zip(members, values, missing, strict=True):
            found[read.row] = [None if lack else value for value, lack in zip(of_zone, lacks, strict=True)]
    return found, left


def _job(
    members: list[RowRead], wanted: tuple[str, ...], found: dict[int, Row | None], cancelled: Cancelled
) -> tuple[RunsJob | None, list[RowRead], list[RowRead]]:
    """The job of some zones of a band, the rows that it is for, and those that are left; `found` gets the misses."""
    source, options = members[0].sources[0], members[0].options
    header = source.header
    if options.level >= len(header.levels):
        return None, [], members  # each says so
    transform, level = header.level_transform(options.level), header.levels[options.level]
    assert transform is not None  # `resolve` refuses a geometry on a file without one
    geometries = np.array([read.geometry for read in members], object)
    tile = level.tile_width, level.tile_height
    windows = geometry_windows(geometries, transform, level.width, level.height, tile)
    inside = windows[:, 2] > 0
    found.update((members[at].row, None) for at in np.flatnonzero(~inside).tolist())
    areas = windows[:, 2] * windows[:, 3]
    fit = inside & are_zones(geometries) & (areas <= MOST_PIXELS // _FEW)
    fit &= np.cumsum(np.where(fit, areas, 0)) <= MOST_PIXELS
    kept = np.flatnonzero(fit)
    rest = [members[at] for at in np.flatnonzero(inside & ~fit).tolist()]
    if not len(kept):
        return None, [], rest
    find = runs_of(weighted=options.weighted, all_touched=options.all_touched, poll=lambda: check(cancelled))
    try:
        job = statistics_job(source, options, wanted, find(geometries[kept], transform, windows[kept]))
    except InterruptedQueryError:
        raise
    except RasteretError:
        return None, [], [members[at] for at in np.flatnonzero(inside).tolist()]
    return job, [members[at] for at in kept.tolist()], rest
