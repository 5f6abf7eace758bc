"""Computes statistics of a zone's pixels, and counts of their values, as tiles arrive; by blocks where it is large."""

from __future__ import annotations

import math
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
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster.coverage import coverage_fraction
from rasteret_sql.raster.scanline import polygon_mask
from rasteret_sql.raster.statistic_names import STATS
from rasteret_sql.raster.stats import check_statistic, zonal_statistics
from rasteret_sql.raster.value_counts import ValueCounts, counted_statistics, histogram
from rasteret_sql.raster.weighted_statistics import zone_sums
from rasteret_sql.raster.zone_area import zone_pixels
from rasteret_sql.reading.arrow_types import histogram_rows, statistics_rows
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.options import Whole
from rasteret_sql.reading.request import Request, RowRead
from rasteret_sql.reading.resolve import kind_given, one_band, resolve
from rasteret_sql.reading.target_job import TargetJob
from rasteret_sql.reading.target_part import cut, part_or_nothing
from rasteret_sql.reading.target_plan import ChipPlan, TargetPlan, check_memory, plan_chip
from rasteret_sql.reading.tiles import blocks, touched_boxes
from rasteret_sql.reading.window_job import WindowJob
from rasteret_sql.reading.window_plan import WindowPlan
from rasteret_sql.reading.zones_together import measure_together

POLYGONAL = ("Polygon", "MultiPolygon")
BLOCK_PIXELS = 1 << 20
"""Zones with larger windows are computed by blocks of about this many pixels."""
_LEAST_SIDE = 16
"""Pixels on a side of a block of a target, at least."""
Reducer = Callable[[np.ndarray | ValueCounts, float, np.ndarray | None], Any]
"""(valid pixels of the zone or counts of them, all its pixels, fraction of each valid one or None) → the result."""


class Zone:
    """The result of one row, from the blocks of its window, which come in any order and on several threads."""

    def __init__(self, read: RowRead, reducer: Reducer, blocks: int, *, counted: bool, beyond: float = 0) -> None:
        """Wait for so many blocks, then reduce their pixels, or with `counted` counts of them, by `reducer`.

        `beyond`: pixels of the zone that are in none of the blocks, since the scene does not reach them.
        """
        self.read = read
        self.result: Any = None
        self._reducer = reducer
        self._open = blocks
        self._counted = counted
        self._totals: list[float] = [0] * blocks
        self._beyond = beyond
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
        total = sum(self._totals) + self._beyond
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


class _Block:
    """The end of a job that fills a block of a zone: it hands the zone's pixels over and lets them go."""

    plan: ChipPlan
    data: np.ndarray | None
    invalid: np.ndarray | None
    zone: Zone
    block: int

    def fail(self, error: Exception) -> bool:
        self.data = self.invalid = None
        return self.zone.fail(error)

    def _hand_over(self, values: np.ndarray, grid: Affine | None, window: Window) -> None:
        """Give the zone its pixels among those of a window of a grid."""
        read = self.plan.read
        valid = None if self.invalid is None else ~self.invalid[0]
        weights: np.ndarray | None = None
        if read.geometry is Whole.IMAGE:
            total: float = values.size
        elif read.options.weighted:
            assert grid is not None
            fraction = coverage_fraction(read.geometry, grid, window)
            inside = fraction > 0
            # Added up as those of many zones, so that the last digits are the same.
            covered = fraction[inside]
            total = float(zone_sums(covered, np.array([len(covered)]))[0])
            valid = inside if valid is None else valid & inside
            weights = fraction[valid]
        else:
            assert grid is not None
            inside = polygon_mask(read.geometry, grid, window, read.options.all_touched)
            total = int(np.count_nonzero(inside))
            valid = inside if valid is None else valid & inside
        kept = values.ravel() if valid is None else values[valid]
        self.zone.add(self.block, kept, total, weights)
        self.data = self.invalid = None


class ZonalJob(_Block, WindowJob):
    """Fills one block of a zone's window."""

    plan: WindowPlan

    def __init__(self, plan: WindowPlan, zone: Zone, block: int) -> None:
        """Read the window of `plan`, which is that of a block of a zone."""
        super().__init__(plan)
        self.zone, self.block = zone, block

    def reduce(self) -> None:
        self._hand_over(self.pixels()[0], self.plan.grid, self.plan.window)


class TargetZonalJob(_Block, TargetJob):
    """Fills one block of a zone on a target grid."""

    plan: TargetPlan

    def __init__(self, plan: TargetPlan, zone: Zone, block: int) -> None:
        """Read the target of `plan`, which is that of a block of a zone."""
        super().__init__(plan, None)
        self.zone, self.block = zone, block

    def reduce(self) -> None:
        # From the corner of the whole zone, so that pixels on its edge are those of its chip.
        whole, part = self.zone.read.target, self.plan.target.window
        assert whole is not None
        col, row = part.col_off - whole.window.col_off, part.row_off - whole.window.row_off
        self._hand_over(self.pixels()[0], whole.transform, Window(col, row, part.width, part.height))


def _plan_zone(
    read: RowRead, context: ReadContext, reducer: Reducer
) -> tuple[Zone, Sequence[ZonalJob | TargetZonalJob]] | None:
    """The zone of a row with the jobs that read it; None where it misses the image."""
    one_band(read)
    if read.geometry is not Whole.IMAGE and read.geometry.geom_type not in POLYGONAL:
        raise InvalidGeometryError(
            f"a zone is a polygon or multipolygon, not a {kind_given(read.geometry)} ({read.describe()}); "
            "use sample_point for points"
        )
    plan = plan_chip(read)
    if plan is None:
        return None
    beyond, plans = target_blocks(plan) if isinstance(plan, TargetPlan) else (0.0, _blocks(plan))
    counted = len(plans) > 1 and ValueCounts.can_count(plan.dtype)
    if not counted:
        held = plan
        if isinstance(plan, TargetPlan) and plans != [plan]:
            # Of a zone in blocks the pixels that they are computed from are not held at once.
            held = replace(plan, target=replace(plan.target, window=_reached(plan)), warps=())
        check_memory(held, context)
    zone = Zone(read, reducer, len(plans), counted=counted, beyond=beyond)
    return zone, [
        TargetZonalJob(one, zone, block) if isinstance(one, TargetPlan) else ZonalJob(one, zone, block)
        for block, one in enumerate(plans)
    ]


def target_blocks(plan: TargetPlan) -> tuple[float, Sequence[ChipPlan]]:
    """A target in blocks that a call can hold with what they are computed from, without those its geometry misses.

    Returns:
        The pixels of the geometry that are in none of them, since the scene does not reach them; and the blocks.
    """
    target = plan.target.window
    needed = max([each.warp.source.width * each.warp.source.height for each in plan.warps if each] or [0])
    pixels = target.width * target.height
    if max(pixels, needed) <= BLOCK_PIXELS:
        return 0.0, [plan]
    reached = _reached(plan)
    pixels = reached.width * reached.height
    side = max(_LEAST_SIDE, math.isqrt(BLOCK_PIXELS * pixels // max(pixels, needed)))
    parts = list(cut(reached, side))
    geometry, beyond = plan.read.geometry, 0.0
    if geometry is not Whole.IMAGE:
        spans = np.array([(one.col_off, one.row_off, one.col_end, one.row_end) for one in parts], np.float64)
        touched = touched_boxes(spans, geometry, plan.target.lattice)
        parts = [one for one, keep in zip(parts, touched, strict=True) if keep] or parts[:1]
        grid, origin = plan.target.transform, (-target.col_off, -target.row_off)
        for window in _around(target, reached):
            beyond += zone_pixels(
                geometry,
                grid,
                window.moved(*origin),
                weighted=plan.read.options.weighted,
                all_touched=plan.read.options.all_touched,
            )
    return beyond, [part_or_nothing(plan, one) for one in parts]


def _reached(plan: TargetPlan) -> Window:
    """The pixels of a target of one band that its scene may reach, at least one."""
    target = plan.target.window
    (each,) = plan.warps
    reached = None if each is None else each.warp.reached.intersection(target)
    return reached or Window(target.col_off, target.row_off, 1, 1)


def _around(whole: Window, inner: Window) -> list[Window]:
    """The pixels of a window around one inside of it, as up to four windows."""
    rows, below = inner.row_off - whole.row_off, whole.row_end - inner.row_end
    left, right = inner.col_off - whole.col_off, whole.col_end - inner.col_end
    strips = (
        Window(whole.col_off, whole.row_off, whole.width, rows),
        Window(whole.col_off, inner.row_end, whole.width, below),
        Window(whole.col_off, inner.row_off, left, inner.height),
        Window(inner.col_end, inner.row_off, right, inner.height),
    )
    return [strip for strip in strips if strip.width and strip.height]


def _blocks(plan: WindowPlan) -> list[WindowPlan]:
    """The window in blocks that a call can hold, without those that the zone does not touch."""
    if plan.window.width * plan.window.height <= BLOCK_PIXELS:
        return [plan]
    level = plan.sources[0].header.levels[plan.level]
    cut_at_tiles = blocks(plan.window, level.tile_width, level.tile_height, BLOCK_PIXELS)
    if plan.read.geometry is not Whole.IMAGE and plan.grid is not None:
        spans = np.array([(one.col_off, one.row_off, one.col_end, one.row_end) for one in cut_at_tiles], np.float64)
        touched = touched_boxes(spans, plan.read.geometry, plan.grid)
        # A zone between pixels touches none: one block tells that.
        kept = [one for one, keep in zip(cut_at_tiles, touched, strict=True) if keep]
        cut_at_tiles = kept or cut_at_tiles[:1]
    return [replace(plan, window=one) for one in cut_at_tiles]


def _reduced(
    request: Request, reads: Sequence[RowRead], reducers: Sequence[Reducer], context: ReadContext, cancelled: Cancelled
) -> list[Any | None]:
    """Give what each row's reducer makes of its zone; None where there is none."""
    zones: list[Zone] = []
    jobs: list[ZonalJob | TargetZonalJob] = []
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
        jobs.sort(key=lambda job: _place_of(job.plan))
    context.plan_pairs(len(zones))
    context.stream(jobs, cancelled)
    results: list[Any | None] = [None] * len(request)
    for zone in zones:
        results[zone.read.row] = zone.result
    return results


def _place_of(plan: ChipPlan) -> tuple[str, int, int]:
    """The file of a block, and the first row and column that it reads."""
    windows = [plan.window] if isinstance(plan, WindowPlan) else [each.window.window for each in plan.warps if each]
    window = windows[0] if windows else plan.window
    return plan.sources[0].address, window.row_off, window.col_off


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
    for name in dict.fromkeys(names):
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
