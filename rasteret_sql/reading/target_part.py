"""Cuts a planned target into parts that are read one by one: the pixels of a part are those of the whole."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np

from rasteret_sql.geo.grid import Window
from rasteret_sql.raster.warp.plan import WarpPlan, plan_warp
from rasteret_sql.reading.options import Whole
from rasteret_sql.reading.target_plan import BandWarp, TargetPlan, source_part
from rasteret_sql.reading.window_plan import Edges, overlap

_SPARE = 2
"""Source pixels beyond the kernel's reach, on each side: positions round."""


def cut(window: Window, side: int) -> Iterator[Window]:
    """Cut a window of a lattice along the multiples of a side: along stored tiles, where these are on the lattice."""
    for row in range(window.row_off // side * side, window.row_end, side):
        for col in range(window.col_off // side * side, window.col_end, side):
            part = Window(col, row, side, side).intersection(window)
            if part is not None:
                yield part


def part_of(plan: TargetPlan, part: Window) -> TargetPlan | None:
    """Plan a part of a target: less is read for it, and its pixels are those that the whole has there.

    Args:
        plan: Of the whole.
        part: In the pixels of its lattice.

    Returns:
        None where no band reaches the part.
    """
    if part == plan.target.window:
        return plan
    warps = tuple(None if each is None else _part_of_band(each, part) for each in plan.warps)
    return replace(plan, target=replace(plan.target, window=part), warps=warps) if any(warps) else None


def part_or_nothing(plan: TargetPlan, part: Window) -> TargetPlan:
    """The same, also of a part that no band reaches: then nothing is read, and no pixel of it is valid."""
    nothing = (None,) * len(plan.warps)
    return part_of(plan, part) or replace(plan, target=replace(plan.target, window=part), warps=nothing)


def with_edges(part: TargetPlan, whole: Window) -> TargetPlan:
    """Say of each source window of a part which of its pixels other parts of a whole may need, too."""
    warps = tuple(
        None if each is None else replace(each, window=replace(each.window, edges=_edges(each.warp, whole)))
        for each in part.warps
    )
    return replace(part, warps=warps)


@lru_cache(maxsize=4096)
def _edges(warp: WarpPlan, whole: Window) -> Edges | None:
    """Pixels by which the source window of a part overlaps that of its neighbours; see `WindowPlan.edges`.

    The window is a box around the part, which may lie turned in it, and has what lies under the kernel.
    """
    target = warp.target
    cols, rows = np.array([0.0, 1.0, 0.0]) + target.col_off, np.array([0.0, 0.0, 1.0]) + target.row_off
    x, y = warp.map.exact(cols + target.width // 2, rows + target.height // 2)
    # Of images that are mirrored or turned far, the left of the source need not be the left of the target.
    if not (x[1] - x[0] > abs(x[2] - x[0]) and y[2] - y[0] > abs(y[1] - y[0])):
        return None if target != whole else (-1, -1, -1, -1)
    across = math.ceil(abs(x[2] - x[0]) * target.height)
    along = math.ceil(abs(y[1] - y[0]) * target.width)
    if not warp.map.is_shift(target):
        across, along = (most + overlap(reach) for most, reach in zip((across, along), warp.reach, strict=True))
    return (
        across if target.col_off > whole.col_off else -1,
        along if target.row_off > whole.row_off else -1,
        across if target.col_end < whole.col_end else -1,
        along if target.row_end < whole.row_end else -1,
    )


def _part_of_band(each: BandWarp, part: Window) -> BandWarp | None:
    read = each.window.read
    level = read.sources[0].header.levels[each.window.level]
    warp = _part_of_warp(each.warp, part, (level.width, level.height))
    if warp is None:
        return None
    assert each.window.grid is not None  # of bands that have a target
    read_from, area = source_part(warp, each.window.grid, level.width)
    of_part = replace(read, geometry=Whole.IMAGE if area is None else area)
    return BandWarp(replace(each.window, read=of_part, window=read_from), warp)


@lru_cache(maxsize=4096)
def _part_of_warp(whole: WarpPlan, part: Window, size: tuple[int, int]) -> WarpPlan | None:
    """A part of a warp from a level of that width and height; once for all images of a grid."""
    reached = whole.reached.intersection(part)
    own = plan_warp(whole.map, part, size, whole.method)
    if reached is None or own is None:
        return None
    # The scale of the kernel is that of the whole, so that all parts fit together; its reach may be a little more.
    across, down = (0, 0) if whole.map.is_shift(part) else (reach + _SPARE for reach in whole.reach)
    near = own.source
    source = Window(
        near.col_off - across, near.row_off - down, near.width + 2 * across, near.height + 2 * down
    ).intersection(whole.source)
    return None if source is None else replace(whole, target=part, source=source, reached=reached)
