"""Reads chips, the pixels of a geometry's window, many rows at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
import shapely

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InvalidArgumentError, MemoryLimitError, RasteretError
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster.scanline import Mask, polygon_mask
from rasteret_sql.reading.arrow_types import binary_array
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.request import Request
from rasteret_sql.reading.resolve import resolve
from rasteret_sql.reading.target_job import TargetJob
from rasteret_sql.reading.target_plan import ChipPlan, TargetPlan, check_memory, plan_chip
from rasteret_sql.reading.window_job import WindowJob
from rasteret_sql.reading.window_plan import WindowPlan, fill_value, geometry_of
from rasteret_sql.result_types import CHIP

_KEPT_MASK = 1 << 20
"""Pixels of a mask that is kept for the next chips of the same pixels."""


def _outside(geometry: shapely.Geometry, grid: Affine, window: Window, all_touched: bool) -> Mask | None:
    """True for pixels outside of a geometry; None where there are none. It is shared and stays as it is."""
    outside = ~polygon_mask(geometry, grid, window, all_touched)
    return outside if outside.any() else None


_outside_again = lru_cache(maxsize=16)(_outside)
"""For an area on many scenes of a grid, and for the bands of each."""


class _Clipped:
    """The end of a job that makes a chip: what lies outside the geometry is filled."""

    plan: ChipPlan
    invalid: np.ndarray | None
    pixels: Callable[[], np.ndarray]
    tells = False
    """True: a failure is not one of the call, whatever the row says."""
    failed = False
    error: Exception | None = None
    """Why it failed."""

    def reduce(self) -> None:
        geometry = geometry_of(self.plan.read)
        if geometry is None:
            return
        assert self.plan.grid is not None
        window = self.plan.window
        find = _outside_again if window.width * window.height <= _KEPT_MASK else _outside
        outside = find(geometry, self.plan.grid, window, self.plan.read.options.all_touched)
        if outside is None:
            return
        for band, source in enumerate(self.plan.sources):
            self.pixels()[band][outside] = fill_value(self.plan.read, source.header.nodata)
        self.invalid = np.broadcast_to(outside, self.plan.shape) if self.invalid is None else self.invalid | outside

    def fail(self, error: Exception) -> bool:
        self.failed = True
        self.error = error
        return (self.tells and isinstance(error, RasteretError)) or self.plan.read.tolerates(error)


class _WindowChip(_Clipped, WindowJob):
    """A chip on the grid of the file, in its part of the call's buffer."""

    plan: WindowPlan


class _TargetChip(_Clipped, TargetJob):
    """A chip on a target grid."""

    plan: TargetPlan


ChipJob = _WindowChip | _TargetChip


def chip_job(plan: ChipPlan, data: np.ndarray) -> ChipJob:
    """The job that fills `data`, (bands, height, width), with the pixels of a plan."""
    return _TargetChip(plan, data) if isinstance(plan, TargetPlan) else _WindowChip(plan, data)


def check_fill(plan: ChipPlan) -> None:
    """Raise if `fill` is no value of the chip's dtype."""
    require_fill(plan.read.options.fill, plan.dtype, plan.read.describe())


def require_fill(fill: float | None, dtype: np.dtype, where: str) -> None:
    """Raise if a value to fill with, where there is one, is no value of a dtype; `where` is for messages."""
    if fill is None:
        return
    if dtype.kind == "f":
        limit = float(np.finfo(dtype).max)
        held = not math.isfinite(fill) or abs(fill) <= limit
        expected = f"a number from {-limit} to {limit}, or NaN"
    else:
        info = np.iinfo(dtype)
        held = math.isfinite(fill) and fill == int(fill) and info.min <= fill <= info.max
        expected = f"an integer from {info.min} to {info.max}"
    if not held:
        raise InvalidArgumentError(f"{where}: fill := {fill} is no value of {dtype}; expected {expected}")


def read_windows(
    request: Request, context: ReadContext, cancelled: Cancelled
) -> tuple[list[ChipJob | None], np.ndarray]:
    """Read the window of each row into one buffer.

    Returns:
        The job of each row (None for NULL), and the buffer: the pixels of all jobs, one after the other.

    Raises:
        MemoryLimitError: before any request, when the chips together exceed `max_call_bytes`.
    """
    plans: list[ChipPlan | None] = [None] * len(request)
    reads = resolve(request, context, on_map=True)
    with context.receipt.plan:
        for read in reads:
            try:
                plan = plan_chip(read)
                if plan is not None:
                    check_fill(plan)
                    check_memory(plan, context)
            except RasteretError as error:
                if not read.tolerates(error):
                    raise
                continue
            plans[read.row] = plan
    return read_plans(plans, context, cancelled)


def read_plans(
    plans: Sequence[ChipPlan | None],
    context: ReadContext,
    cancelled: Cancelled,
    *,
    tells: bool = False,
    into: Sequence[np.ndarray | None] | None = None,
) -> tuple[list[ChipJob | None], np.ndarray]:
    """Read planned windows into one buffer, as `read_windows`.

    Args:
        plans: the windows; None gives None.
        context: what they are read with.
        cancelled: the call's flag.
        tells: True: a window that cannot be read is left out, and its job says why.
        into: where each goes instead, (bands, height, width) of its dtype; None: into the buffer.
    """
    total = sum(plan.nbytes for plan in plans if plan)
    if total > context.max_call_bytes:
        largest = max((plan for plan in plans if plan), key=lambda plan: plan.nbytes)
        raise MemoryLimitError(
            f"the chips of {sum(p is not None for p in plans)} rows need {total:,} bytes of pixels at once, more than "
            f"max_call_bytes = {context.max_call_bytes:,} (largest: {largest.read.describe()}, "
            f"{largest.window.width} × {largest.window.height} pixels); nothing was fetched. Use zonal_stats, smaller "
            "geometries, an overview := n, fewer rows a query, or connect(max_call_bytes=...)"
        )
    given = [None] * len(plans) if into is None else into
    buffer = np.empty(
        sum(plan.nbytes for plan, own in zip(plans, given, strict=True) if plan and own is None), np.uint8
    )
    jobs: list[ChipJob | None] = []
    start = 0
    for plan, own in zip(plans, given, strict=True):
        if plan is None:
            jobs.append(None)
            continue
        if own is None:
            # Chips lie side by side, so that the buffer is the BLOB column as it stands.
            own = buffer[start : start + plan.nbytes].view(plan.dtype).reshape(plan.shape)  # noqa: PLW2901
            start += plan.nbytes
        job = chip_job(plan, own)
        job.tells = tells
        jobs.append(job)
    planned = [job for job in jobs if job]
    context.plan_pairs(len(planned))
    context.stream(planned, cancelled)
    return jobs, buffer


def read_chip(request: Request, context: ReadContext, cancelled: Cancelled) -> pa.Array:
    """CHIP of each row; NULL where an argument is, or where the geometry misses the scene."""
    jobs, buffer = read_windows(request, context, cancelled)
    data = binary_array([None if job is None else job.plan.nbytes for job in jobs], buffer)
    masks = [None if job is None or job.invalid is None else np.logical_not(job.invalid) for job in jobs]
    mask_bytes = np.concatenate([m.ravel() for m in masks if m is not None] or [np.empty(0, bool)]).view(np.uint8)
    mask = binary_array([None if m is None else m.size for m in masks], mask_bytes)
    plans = [None if job is None else job.plan for job in jobs]
    fields = [
        data,
        mask,
        pa.array([plan and str(plan.dtype) for plan in plans], pa.string()),
        pa.array([plan and [source.band for source in plan.sources] for plan in plans], pa.list_(pa.string())),
        pa.array([plan and plan.window.height for plan in plans], pa.int32()),
        pa.array([plan and plan.window.width for plan in plans], pa.int32()),
        pa.array(
            [list(plan.transform) if plan and plan.transform else None for plan in plans], pa.list_(pa.float64(), 6)
        ),
        pa.array([plan and plan.crs for plan in plans], pa.string()),
        pa.array([_nodata(plan) for plan in plans], pa.float64()),
    ]
    missing = pa.array([job is None or job.failed for job in jobs], pa.bool_())
    return pa.StructArray.from_arrays(fields, fields=list(CHIP), mask=missing)


def _nodata(plan: ChipPlan | None) -> float | None:
    """The first band's nodata; 64-bit integers beyond 2^53 are rounded here and exact in `mask`."""
    nodata = None if plan is None else plan.sources[0].header.nodata
    return None if nodata is None else float(nodata)
