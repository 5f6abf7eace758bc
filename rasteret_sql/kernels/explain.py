"""rasteret_explain: what a read would do, without doing it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pyarrow as pa

from rasteret_sql.errors import RasteretError
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.kernels.arrow import EXPLANATION, struct_rows
from rasteret_sql.kernels.rows import PixelArguments, RowRead, Scenes, resolve
from rasteret_sql.kernels.window_job import WindowJob, plan_window
from rasteret_sql.plan.ranges import merge_ranges
from rasteret_sql.types import ByteRange


def rasteret_explain(args: PixelArguments, scenes: Scenes) -> pa.Array:
    """STRUCT of each row as if it were read alone, with nothing cached; NULL where the read would give NULL."""
    results: list[dict[str, Any] | None] = [None] * len(args)
    for read in resolve(args, scenes):
        try:
            results[read.row] = _explain(read)
        except RasteretError as error:
            if not read.tolerates(error):
                raise
    return struct_rows(EXPLANATION, results)


def _explain(read: RowRead) -> dict[str, Any] | None:
    plan = plan_window(read)
    if plan is None:
        return None
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
        "files": list(dict.fromkeys(safe_address(source.address) for source in plan.sources)),
    }
