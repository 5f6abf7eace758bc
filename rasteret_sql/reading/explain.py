"""Explains what a read would do, without doing it: rasteret_explain."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pyarrow as pa

from rasteret_sql.byte_ranges import ByteRange, merge_ranges
from rasteret_sql.errors import RasteretError
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.request import Request, RowRead
from rasteret_sql.reading.resolve import resolve
from rasteret_sql.reading.window_job import WindowJob, plan_window
from rasteret_sql.result_types import EXPLANATION
from rasteret_sql.tiff.validity import describe


def rasteret_explain(request: Request, context: ReadContext) -> pa.Array:
    """STRUCT of each row as if it were read alone, with nothing cached; NULL where the read would give NULL."""
    results: list[dict[str, Any] | None] = [None] * len(request)
    for read in resolve(request, context):
        try:
            results[read.row] = _explain(read)
        except RasteretError as error:
            if not read.tolerates(error):
                raise
    return pa.array(results, EXPLANATION)


def _explain(read: RowRead) -> dict[str, Any] | None:
    plan = plan_window(read)
    if plan is None:
        return None
    own = [source.address for source in plan.sources]
    stored: dict[str, set[ByteRange]] = defaultdict(set)
    for need in WindowJob(plan).needs():
        key = need.key(0)
        if key is not None:
            stored[need.address].add(ByteRange(key.offset, key.length))
    requests = [merged for ranges in stored.values() for merged in merge_ranges(ranges)]
    return {
        "scene_id": read.scene_id,
        "bands": [source.band for source in plan.sources],
        "level": plan.level,
        "col_off": plan.window.col_off,
        "row_off": plan.window.row_off,
        "width": plan.window.width,
        "height": plan.window.height,
        "tiles": sum(map(len, stored.values())),
        "requests": len(requests),
        "bytes": sum(merged.span.length for merged in requests),
        "pixel_bytes": plan.nbytes,
        "files": list(dict.fromkeys(safe_address(address) for address in (*own, *stored))),
        "validity": [describe(source.header, read.options.alpha) for source in plan.sources],
    }
