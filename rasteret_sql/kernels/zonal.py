"""zonal_stats: statistics of the pixels in a zone, computed as tiles arrive and never kept as chips."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from rasteret_sql.engine.scheduler import Engine
from rasteret_sql.errors import (
    InvalidGeometryError,
    RasteretError,
)
from rasteret_sql.kernels.arrow import statistics_rows
from rasteret_sql.kernels.rows import Cancelled, PixelArguments, RowRead, Scenes, one_band, resolve
from rasteret_sql.kernels.window_job import WindowJob, WindowPlan, check_memory, plan_window
from rasteret_sql.raster.coverage import coverage_fraction
from rasteret_sql.raster.scanline import polygon_mask
from rasteret_sql.raster.stats import STATS, check_statistic, zonal_statistics

POLYGONAL = ("Polygon", "MultiPolygon", "GeometryCollection")


class ZonalJob(WindowJob):
    """Fills its window, then reduces it to statistics and lets it go."""

    def __init__(self, plan: WindowPlan, names: Collection[str]) -> None:
        """Reduce the window of `plan` to the statistics `names`."""
        super().__init__(plan)
        self.result: dict[str, Any] | None = None
        self._names = names

    def finish(self) -> None:
        plan, options = self.plan, self.plan.read.options
        values = self.pixels()[0]
        valid = None if self.invalid is None else ~self.invalid[0]
        weights: np.ndarray | None = None
        if plan.read.geometry is None:
            total: float = values.size
        elif options.weighted:
            assert plan.transform is not None
            fraction = coverage_fraction(plan.read.geometry, plan.transform, plan.window_at_origin)
            total = float(fraction.sum())
            inside = fraction > 0
            valid = inside if valid is None else valid & inside
            weights = fraction[valid]
        else:
            assert plan.transform is not None
            inside = polygon_mask(plan.read.geometry, plan.transform, plan.window_at_origin, options.all_touched)
            total = int(np.count_nonzero(inside))
            valid = inside if valid is None else valid & inside
        kept = values.ravel() if valid is None else values[valid]
        self.result = zonal_statistics(kept, total, weights, self._names)
        self.data = self.invalid = None

    def fail(self, error: Exception) -> bool:
        self.data = self.invalid = None
        return self.plan.read.tolerates(error)


def _plan_zone(read: RowRead, scenes: Scenes, names: Collection[str]) -> ZonalJob | None:
    one_band(read)
    if read.geometry is not None and not _is_zone(read.geometry):
        raise InvalidGeometryError(
            f"a zone is a polygon or multipolygon, not a {read.geometry.geom_type} ({read.describe()}); "
            "use sample_point for points"
        )
    plan = plan_window(read)
    if plan is None:
        return None
    check_memory(plan, scenes)
    return ZonalJob(plan, names)


def _is_zone(geometry: shapely.Geometry) -> bool:
    return geometry.geom_type in POLYGONAL


def _statistics(
    args: PixelArguments, names: Sequence[Collection[str]], scenes: Scenes, engine: Engine, cancelled: Cancelled
) -> list[dict[str, Any] | None]:
    jobs: list[tuple[int, ZonalJob]] = []
    for read in resolve(args, scenes):
        try:
            job = _plan_zone(read, scenes, names[read.row])
        except RasteretError as error:
            if not read.tolerates(error):
                raise
            continue
        if job is not None:
            jobs.append((read.row, job))
    # Neighbours in a file run together whatever order the rows came in.
    jobs.sort(key=lambda at: (at[1].plan.sources[0].address, at[1].plan.window.row_off, at[1].plan.window.col_off))
    engine.run([job for _, job in jobs], scenes.backend, cancelled, scenes.progress)
    results: list[dict[str, Any] | None] = [None] * len(args)
    for row, job in jobs:
        results[row] = job.result
    return results


def zonal_stats(args: PixelArguments, scenes: Scenes, engine: Engine, cancelled: Cancelled) -> pa.Array:
    """STRUCT of all statistics of each row; NULL where an argument is, or where the zone misses the scene."""
    return statistics_rows(_statistics(args, [STATS] * len(args), scenes, engine, cancelled))


def zonal_stat(
    args: PixelArguments, scenes: Scenes, engine: Engine, cancelled: Cancelled, names: Sequence[str | None]
) -> pa.Array:
    """One statistic of each row as DOUBLE; `names` are the fields of zonal_stats."""
    for name in names:
        if name is not None:
            check_statistic(name)
    wanted = [() if name is None else (name,) for name in names]
    results = _statistics(args, wanted, scenes, engine, cancelled)
    values = [None if r is None or name is None else r[name] for r, name in zip(results, names, strict=True)]
    return pa.array([None if value is None else float(value) for value in values], pa.float64())
