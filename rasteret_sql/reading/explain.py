"""Explains what a read would do, without doing it: rasteret_explain."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pyarrow as pa

from rasteret_sql.byte_ranges import ByteRange, merge_ranges
from rasteret_sql.errors import RasteretError
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.derived_band import DerivedBand
from rasteret_sql.reading.request import Request, RowRead
from rasteret_sql.reading.resolve import resolve
from rasteret_sql.reading.target_plan import ChipPlan, TargetPlan, plan_chip
from rasteret_sql.reading.window_job import WindowJob
from rasteret_sql.reading.window_plan import WindowPlan
from rasteret_sql.result_types import EXPLANATION
from rasteret_sql.tiff.validity import describe


def rasteret_explain(request: Request, context: ReadContext) -> pa.Array:
    """STRUCT of each row as if it were read alone, with nothing cached; NULL where the read would give NULL."""
    results: list[dict[str, Any] | None] = [None] * len(request)
    for read in resolve(request, context, on_map=True):
        try:
            results[read.row] = _explain(read)
        except RasteretError as error:
            if not read.tolerates(error):
                raise
    return pa.array(results, EXPLANATION)


def _explain(read: RowRead) -> dict[str, Any] | None:
    plan = plan_chip(read)
    if plan is None:
        return None
    windows = _windows(plan)
    own = [source.address for source in plan.sources]
    stored: dict[str, set[ByteRange]] = defaultdict(set)
    for window in dict.fromkeys(windows):
        for need in () if window is None else WindowJob(window).needs():
            key = need.key(0)
            if key is not None:
                stored[need.address].add(ByteRange(key.offset, key.length))
    requests = [merged for ranges in stored.values() for merged in merge_ranges(ranges)]
    first = next(window for window in windows if window is not None)
    return {
        "scene_id": read.scene_id,
        "bands": [source.band for source in plan.sources],
        "level": first.level,
        "col_off": first.window.col_off,
        "row_off": first.window.row_off,
        "width": first.window.width,
        "height": first.window.height,
        "tiles": sum(map(len, stored.values())),
        "requests": len(requests),
        "bytes": sum(merged.span.length for merged in requests),
        "pixel_bytes": plan.nbytes,
        "files": list(dict.fromkeys(safe_address(address) for address in (*own, *stored))),
        "validity": [_validity(source, read.options.alpha) for source in plan.sources],
        "mask": read.options.mask,
        "units": list(dict.fromkeys(text for one in plan.sources for text in _units(one))),
        "grid": {
            "crs": plan.crs,
            "transform": plan.transform and list(plan.transform),
            "height": plan.window.height,
            "width": plan.window.width,
        },
        "levels": [window and window.level for window in windows],
        "resampling": [each and each.warp.method for each in plan.warps]
        if isinstance(plan, TargetPlan)
        else [None] * len(windows),
    }


def _windows(plan: ChipPlan) -> list[WindowPlan | None]:
    """The window that is read of each band; None of one that the target misses."""
    if isinstance(plan, TargetPlan):
        return [None if each is None else each.window for each in plan.warps]
    return [plan] * len(plan.sources)


def _units(source: BandSource) -> tuple[str, ...]:
    return source.units if isinstance(source, DerivedBand) else ()


def _validity(source: BandSource, alpha: str) -> str:
    """The rule for the valid pixels of a band; of one that is computed, the rules of its inputs."""
    if source.files == (source,):
        return describe(source.header, alpha)
    return "; ".join(f"{one.band}: {describe(one.header, alpha)}" for one in source.files)
