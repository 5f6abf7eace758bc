"""Computes statistics of a zone's pixels, and counts of their values, as tiles arrive; by blocks where it is large."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import (
    InvalidGeometryError,
    MemoryLimitError,
    RasteretError,
)
from rasteret_sql.raster.coverage import coverage_fraction
from rasteret_sql.raster.scanline import polygon_mask
from rasteret_sql.raster.statistic_names import STATS
from rasteret_sql.raster.stats import check_statistic, zonal_statistics
from rasteret_sql.raster.value_counts import ValueCounts, counted_statistics, histogram
from rasteret_sql.reading.arrow_types import histogram_rows, statistics_rows
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.options import Whole
from rasteret_sql.reading.request import Request, RowRead
from rasteret_sql.reading.resolve import kind_given, one_band, resolve
from rasteret_sql.reading.target_plan import check_memory
from rasteret_sql.reading.tiles import blocks, touched_boxes
from rasteret_sql.reading.window_job import WindowJob
from rasteret_sql.reading.window_plan import WindowPlan, plan_window
from rasteret_sql.reading.zones_together import measure_together

POLYGONAL = ("Polygon", "MultiPolygon")
BLOCK_PIXELS = 1 << 20
"""Zones with larger windows are computed by blocks of about this many pixels."""
Reducer = Callable[[np.ndarray | ValueCounts, float, np.ndarray | None], Any]
"""(valid pixels of the zone or counts of them, all its pixels, fraction of each valid one or None) → the result."""


class Zone:
    """The result of one row, from the blocks of its window, which come in any order and on several threads."""

    def __init__(self, read: RowRead, reducer: Reducer, blocks: int, *, counted: bool) -> None:
        """Wait for so many blocks, then reduce their pixels, or with `counted` counts of them, by `reducer`."""
        self.read = read
        self.result: Any = None
        self._reducer = reducer
        self._open = blocks
        self._counted = counted
        self._totals: list[float] = [0] * blocks
        self._kept: dict[int, tuple[np.ndarray, np.ndarray | None]] = {}
        """Block → its valid pixels and the fraction of each, where they are not counted."""
        self._counts: ValueCounts | None = None
        self._lock = threading.Lock()
        self._failed = False

    def add(self, block: int, values: np.ndarray, total: float, weights: np.ndarray | None) -> None:
        """Take the valid pixels of a block; the last block settles the result."""
        counts = ValueCounts.of(values, weights) if self._counted else None
        with self._lock:
            self._totals[block] = total
            if counts is None:
                self._kept[block] = values, weights
            else:
                self._counts = counts if self._counts is None else self._counts.plus(counts)
            self._open -= 1
            if self._open or self._failed:
                return
        self.result = self._reducer(*self._all())

    def _all(self) -> tuple[np.ndarray | ValueCounts, float, np.ndarray | None]:
        """The pixels for a reducer, in the order of the blocks: that of a float sum shows in its last digits."""
        total = sum(self._totals)
        if self._counts is not None:
            return self._counts, total, None
        kept = [self._kept.pop(block) for block in range(len(self._totals))]
        shares = [share for _, share in kept if share is not None]
        return _joined([values for values, _ in kept]), total, _joined(shares) if shares else None

    def fail(self, error: Exception) -> bool:
        """Take note that a block cannot be read; the row tells of it once."""
        with self._lock:
            again, self._failed = self._failed, True
            self._kept.clear()
        return again or self.read.tolerates(error)


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


class ZonalJob(WindowJob):
    """Fills one block of a zone's window, hands its pixels to the zone and lets it go."""

    def __init__(self, plan: WindowPlan, zone: Zone, block: int) -> None:
        """Read the window of `plan`, which is that of a block of a zone."""
        super().__init__(plan)
        self._zone = zone
        self._block = block

    def reduce(self) -> None:
        plan, options = self.plan, self.plan.read.options
        values = self.pixels()[0]
        valid = None if self.invalid is None else ~self.invalid[0]
        weights: np.ndarray | None = None
        if plan.read.geometry is Whole.IMAGE:
            total: float = values.size
        elif options.weighted:
            assert plan.grid is not None
            fraction = coverage_fraction(plan.read.geometry, plan.grid, plan.window)
            total = float(fraction.sum())
            inside = fraction > 0
            valid = inside if valid is None else valid & inside
            weights = fraction[valid]
        else:
            assert plan.grid is not None
            inside = polygon_mask(plan.read.geometry, plan.grid, plan.window, options.all_touched)
            total = int(np.count_nonzero(inside))
            valid = inside if valid is None else valid & inside
        kept = values.ravel() if valid is None else values[valid]
        self._zone.add(self._block, kept, total, weights)
        self.data = self.invalid = None

    def fail(self, error: Exception) -> bool:
        self.data = self.invalid = None
        return self._zone.fail(error)


def _plan_zone(read: RowRead, context: ReadContext, reducer: Reducer) -> tuple[Zone, list[ZonalJob]] | None:
    """The zone of a row with the jobs that read it; None where it misses the image."""
    one_band(read)
    if read.geometry is not Whole.IMAGE and read.geometry.geom_type not in POLYGONAL:
        raise InvalidGeometryError(
            f"a zone is a polygon or multipolygon, not a {kind_given(read.geometry)} ({read.describe()}); "
            "use sample_point for points"
        )
    plan = plan_window(read)
    if plan is None:
        return None
    plans = _blocks(plan)
    counted = len(plans) > 1 and ValueCounts.can_count(plan.dtype)
    if not counted:
        check_memory(plan, context)
    zone = Zone(read, reducer, len(plans), counted=counted)
    return zone, [ZonalJob(one, zone, block) for block, one in enumerate(plans)]


def _blocks(plan: WindowPlan) -> list[WindowPlan]:
    """The window in blocks that a call can hold, without those that the zone does not touch."""
    if plan.window.width * plan.window.height <= BLOCK_PIXELS:
        return [plan]
    level = plan.sources[0].header.levels[plan.level]
    cut = blocks(plan.window, level.tile_width, level.tile_height, BLOCK_PIXELS)
    if plan.read.geometry is not Whole.IMAGE and plan.grid is not None:
        spans = np.array([(one.col_off, one.row_off, one.col_end, one.row_end) for one in cut], np.float64)
        touched = touched_boxes(spans, plan.read.geometry, plan.grid)
        # A zone between pixels touches none: one block tells that.
        cut = [one for one, keep in zip(cut, touched, strict=True) if keep] or cut[:1]
    return [replace(plan, window=one) for one in cut]


def _reduced(
    request: Request, reads: Sequence[RowRead], reducers: Sequence[Reducer], context: ReadContext, cancelled: Cancelled
) -> list[Any | None]:
    """Give what each row's reducer makes of its zone; None where there is none."""
    zones: list[Zone] = []
    jobs: list[ZonalJob] = []
    with context.receipt.plan:
        for read in reads:
            try:
                planned = _plan_zone(read, context, reducers[read.row])
            except RasteretError as error:
                if not read.tolerates(error):
                    raise
                continue
            if planned is not None:
                zones.append(planned[0])
                jobs += planned[1]
        # Neighbours in a file run together whatever order the rows came in.
        jobs.sort(key=lambda job: (job.plan.sources[0].address, job.plan.window.row_off, job.plan.window.col_off))
    context.plan_pairs(len(zones))
    context.run(jobs, cancelled)
    results: list[Any | None] = [None] * len(request)
    for zone in zones:
        results[zone.read.row] = zone.result
    return results


def _measured(
    request: Request, names: Sequence[tuple[str, ...]], context: ReadContext, cancelled: Cancelled
) -> list[list[float | None] | None]:
    """Statistics of each row's zone, in the order of its names; None where it misses the image."""
    found, left = measure_together(resolve(request, context), names, context, cancelled)
    reducers = [partial(_statistics, names=wanted) for wanted in names]
    results = _reduced(request, left, reducers, context, cancelled) if left else [None] * len(request)
    rows = [
        None if one is None else [None if one[name] is None else float(one[name]) for name in wanted]
        for one, wanted in zip(results, names, strict=True)
    ]
    for row, values in found.items():
        rows[row] = values
    return rows


def _statistics(
    pixels: np.ndarray | ValueCounts, total: float, weights: np.ndarray | None, names: Collection[str] = STATS
) -> dict[str, Any]:
    if isinstance(pixels, ValueCounts):
        return counted_statistics(pixels, total, names)
    return zonal_statistics(pixels, total, weights, names)


def zonal_stats(request: Request, context: ReadContext, cancelled: Cancelled) -> pa.Array:
    """STRUCT of all statistics of each row; NULL where an argument is, or where the zone misses the scene."""
    rows = _measured(request, [STATS] * len(request), context, cancelled)
    return statistics_rows([None if row is None else dict(zip(STATS, row, strict=True)) for row in rows])


def zonal_stat(request: Request, context: ReadContext, cancelled: Cancelled, names: Sequence[str | None]) -> pa.Array:
    """One statistic of each row as DOUBLE; `names` are the fields of zonal_stats."""
    for name in names:
        if name is not None:
            check_statistic(name)
    rows = _measured(request, [() if name is None else (name,) for name in names], context, cancelled)
    return pa.array([row[0] if row else None for row in rows], pa.float64())


def zonal_values(request: Request, context: ReadContext, cancelled: Cancelled, names: Sequence[str]) -> pa.Array:
    """Some statistics of each row as DOUBLE[], in the order of `names`; NULL where zonal_stats is NULL."""
    rows = _measured(request, [tuple(names)] * len(request), context, cancelled)
    return pa.array(rows, pa.list_(pa.float64()))


class _Histograms:
    """Counts the pixels of each value, zone by zone, as long as the histograms of a call fit into its memory."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._held = 0
        self._lock = threading.Lock()

    def count(
        self, values: np.ndarray | ValueCounts, _total: float, weights: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Distinct values in ascending order, and how many pixels have each; NaN is none.

        Raises:
            MemoryLimitError: with those of the other zones there are too many.
        """
        if isinstance(values, ValueCounts):
            keys, counts = (side.astype(np.float64) for side in values.distinct())
        else:
            keys, counts = histogram(values, weights)
        with self._lock:
            self._held += keys.nbytes + counts.nbytes
            held = self._held
        if held > self._most:
            raise MemoryLimitError(
                f"the zones of a call have so many different values that counting each takes {held:,} bytes or more, "
                f"more than max_call_bytes = {self._most:,}; zonal_hist is for classes, use zonal_stats for "
                "measurements, or fewer rows a query"
            )
        return keys, counts


def zonal_hist(request: Request, context: ReadContext, cancelled: Cancelled) -> pa.Array:
    """MAP from value to pixels of each row; empty without a valid pixel, NULL where zonal_stats is NULL."""
    histograms = _Histograms(context.max_call_bytes)
    reducers = [histograms.count] * len(request)
    found = _reduced(request, resolve(request, context), reducers, context, cancelled)
    return histogram_rows(found)
