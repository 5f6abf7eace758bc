"""Warps one band onto a target grid, or onto a part of it, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

import numpy as np

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.coordinate_lattice import STEP
from rasteret_sql.geo.grid import Window
from rasteret_sql.geo.pixel_map import PositionsOf
from rasteret_sql.raster.warp.areas import area_values, most_taps
from rasteret_sql.raster.warp.cells import spans
from rasteret_sql.raster.warp.neighbourhood import Mask, Pixels, Source
from rasteret_sql.raster.warp.output import off_nodata, to_pixels
from rasteret_sql.raster.warp.places import Places, SharedPlaces
from rasteret_sql.raster.warp.plan import WarpPlan
from rasteret_sql.raster.warp.points import PointMethod, Values, divides
from rasteret_sql.raster.warp.resampling import RADIUS
from rasteret_sql.raster.warp.separable import AREAS, separable_areas, separable_points
from rasteret_sql.raster.warp.shares import sum_values

_WIDTH = 512
"""Pixels across a block: what is computed of it stays near the processor."""
_TAPS_AT_ONCE = 1 << 22
"""Source pixels that are looked at for the cells of one block."""
_BLOCKS_AHEAD = 16
"""Blocks whose pixels are placed at a time before they are wanted."""
_Work = Callable[[Window], Values]


def warp(
    data: Pixels,
    valid: Mask | None,
    plan: WarpPlan,
    *,
    nodata: float | None = None,
    fill: float | None = None,
    part: Window | None = None,
    threads: int = 1,
    shared: SharedPlaces | None = None,
    out: Pixels | None = None,
) -> tuple[Pixels, Mask]:
    """Compute target pixels.

    A pixel of the source that is not valid has no weight in any method. A target pixel has no value where its centre
    (of methods over areas: its whole cell) lies outside of the source or on what is not valid.

    Args:
        data: source pixels of `plan.source`, shape (height, width); those of the whole window, whatever part is wanted.
        valid: True where they are valid, of the same shape; None: all are.
        plan: of the whole target.
        nodata: value that says "nothing here" in the target; no result is equal to it.
        fill: value where the target has none; None: nodata, else 0.
        part: pixels of the target to compute, numbered as the plan's; None: all.
        threads: among which blocks are shared.
        shared: places of the plan, for all that are warped with it.
        out: where the pixels go, of the shape of the part and the dtype of the data; None: a new array.

    Returns:
        Pixels in the dtype of the data, and True where they have a value, each of shape (height, width) of the part.

    Raises:
        InvalidArgumentError: the data are not those of the plan.
    """
    if data.shape != plan.source.shape or (valid is not None and valid.shape != data.shape):
        raise InvalidArgumentError(
            f"a warp needs {plan.source.height} × {plan.source.width} pixels and their mask, not data of shape "
            f"{data.shape} and a mask of shape {None if valid is None else valid.shape}"
        )
    target = plan.target if part is None else part
    source = Source(data, None if valid is None or valid.all() else valid)
    if fill is None:
        fill = 0 if nodata is None else nodata
    pixels, written = np.empty(target.shape, data.dtype) if out is None else out, np.zeros(target.shape, bool)
    pixels[...] = fill
    if plan.method == "sum":
        with np.errstate(invalid="ignore"):  # infinite pixels
            totals, written = sum_values(source, plan.source, plan.map, target)
        pixels[written] = off_nodata(to_pixels(totals[written], data.dtype), nodata)
        return pixels, written
    reached = target.intersection(plan.reached)
    if reached is None:
        return pixels, written
    if plan.method == "nearest" and plan.map.is_shift(target):
        return _moved(source, plan, target, nodata, pixels, written)
    keep_freed_memory()
    work, blocks = _prepared(source, plan, reached, nodata, shared)

    def do(block: Window) -> None:
        with np.errstate(invalid="ignore"):  # infinite pixels
            found, values, has = work(block)
        at = (
            slice(block.row_off - target.row_off, block.row_end - target.row_off),
            slice(block.col_off - target.col_off, block.col_end - target.col_off),
        )
        values = off_nodata(values, nodata)
        if found is not None:
            if has is not None:
                found, values = found[has], values[has]
            row, col = np.divmod(found, block.width)
            pixels[at][row, col] = values
            written[at][row, col] = True
        elif has is None:
            pixels[at], written[at] = values.reshape(block.shape), True
        else:
            written[at] = has.reshape(block.shape)
            pixels[at] = np.where(has, values, data.dtype.type(fill)).reshape(block.shape)

    if threads == 1:
        for block in blocks:
            do(block)
    else:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(do, blocks):
                pass
    return pixels, written


def _moved(  # noqa: PLR0917 - of one warp
    source: Source, plan: WarpPlan, target: Window, nodata: float | None, pixels: Pixels, written: Mask
) -> tuple[Pixels, Mask]:
    """Fill in pixels that are those of the source, moved by whole pixels."""
    col, row = _moved_by(plan, target)
    width, height = min(target.width, source.width - col), min(target.height, source.height - row)
    left, top = max(0, -col), max(0, -row)
    if width <= left or height <= top:
        return pixels, written
    at = slice(top, height), slice(left, width)
    of_source = slice(row + top, row + height), slice(col + left, col + width)
    values = off_nodata(source.data[of_source].copy(), nodata)
    if source.valid is None:
        pixels[at], written[at] = values, True
    else:
        written[at] = source.valid[of_source]
        np.copyto(pixels[at], values, where=written[at])
    return pixels, written


def _moved_by(plan: WarpPlan, target: Window) -> tuple[int, int]:
    """Column and row of the source window that a target begins with."""
    col, row = round(float(plan.map.columns(target.col_off))), round(float(plan.map.rows(target.row_off)))
    return col - plan.source.col_off, row - plan.source.row_off


@lru_cache(maxsize=4096)
def moved_part(plan: WarpPlan) -> Window | None:
    """The part of a target that is all of its source window, moved by whole pixels; None where there is none.

    Args:
        plan: of the whole target, from whose first pixel the part is numbered.
    """
    target, source = plan.target, plan.source
    if plan.method != "nearest" or plan.reached.intersection(target) is None or not plan.map.is_shift(target):
        return None
    col, row = _moved_by(plan, target)
    part = Window(-col, -row, source.width, source.height)
    return part if part.intersection(Window(0, 0, target.width, target.height)) == part else None


def _prepared(
    source: Source, plan: WarpPlan, target: Window, nodata: float | None, shared: SharedPlaces | None
) -> tuple[_Work, Iterable[Window]]:
    """Gives what computes a block of a target, and the blocks that get values."""
    plain = source.valid is None and divides(plan.method, source.data.dtype, nodata)
    method = PointMethod(plan.method, source, plan.scale, normalizes=plain) if plan.method in RADIUS else None
    if _is_separable(source, plan, method):
        found = (
            separable_areas(source, plan, target) if method is None else separable_points(source, method, plan, target)
        )
        return found.work, () if found.inside is None else _rectangles(found.inside, *found.block_size)
    if method is not None:
        return _points(method, plan, target, shared or SharedPlaces(plan)), _strips(target)
    return _areas(source, plan, target), _squares(target, _TAPS_AT_ONCE // most_taps(plan.scale))


def _is_separable(source: Source, plan: WarpPlan, method: PointMethod | None) -> bool:
    """True where rows and columns are computed by themselves."""
    if not plan.map.is_separable:
        return False
    # What is computed along a row serves pixels that an infinite one does not reach.
    if source.data.dtype.kind in "fc" and np.isinf(source.data).any():
        return False
    if method is None:
        return plan.method in AREAS
    # How much of lanczos' kernel is valid is counted pixel by pixel.
    return method.name != "lanczos" or source.valid is None


def _points(method: PointMethod, plan: WarpPlan, target: Window, shared: SharedPlaces) -> _Work:
    def work(block: Window) -> Values:
        key = block, method.name, method.four
        places = shared.get(key)
        if places is None or not method.serves(places):
            places = _placed(method, plan, shared.positions(target), block)
            shared.put(key, places)
        return method.values(places)

    return work


def _placed(method: PointMethod, plan: WarpPlan, positions: PositionsOf, block: Window) -> Places:
    xs, ys = positions(block)
    return method.places((xs - plan.source.col_off).ravel(), (ys - plan.source.row_off).ravel())


def places_ahead(plan: WarpPlan, shared: SharedPlaces) -> list[Callable[[], object]]:
    """Give work that finds where the pixels of a warp lie, before there are any, in a few parts.

    Args:
        plan: of the whole target.
        shared: its places.
    """
    target = plan.target.intersection(plan.reached)
    if target is None:
        return []
    source = Source(np.broadcast_to(np.uint8(0), plan.source.shape), None)
    method = PointMethod(plan.method, source, plan.scale, normalizes=False)
    blocks = list(_strips(target))

    def do(some: list[Window]) -> None:
        positions = shared.positions(target)
        for block in some:
            key = block, method.name, method.four
            if shared.get(key) is None and not shared.put(key, _placed(method, plan, positions, block)):
                return

    return [partial(do, blocks[at : at + _BLOCKS_AHEAD]) for at in range(0, len(blocks), _BLOCKS_AHEAD)]


def _areas(source: Source, plan: WarpPlan, target: Window) -> _Work:
    corners_of = plan.map.corners(target)

    def work(block: Window) -> Values:
        corners = corners_of(block)
        col, row = plan.source.col_off, plan.source.row_off
        cols = spans(corners.first_x.ravel() - col, corners.last_x.ravel() - col, source.width)
        rows = spans(corners.first_y.ravel() - row, corners.last_y.ravel() - row, source.height)
        return area_values(plan.method, source, cols, rows)

    return work


def _strips(target: Window) -> Iterator[Window]:
    """Cut a window into blocks along the tiles of the lattice of positions, as wide as they may be."""
    return _rectangles(target, _WIDTH, STEP)


def _squares(target: Window, pixels: int) -> Iterator[Window]:
    """Cut a window into blocks of at most about as many pixels."""
    side = max(16, int(min(_WIDTH * STEP, pixels) ** 0.5) // 16 * 16)
    return _rectangles(target, side, side)


def _rectangles(target: Window, width: int, height: int) -> Iterator[Window]:
    """Cut a window along the multiples of a width and a height."""
    for row in range(target.row_off // height * height, target.row_end, height):
        for col in range(target.col_off // width * width, target.col_end, width):
            block = Window(col, row, width, height).intersection(target)
            if block is not None:
                yield block


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Let the C library keep what arrays of a block free: to get each from the system again takes most of the time.

    glibc hands freed memory of more than 128 KiB back, until a larger piece was freed once.
    """
    np.empty(1 << 24, np.uint8)
