"""Chooses the overview and the window of each band that a row reads for a target grid."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import shapely

from rasteret_sql.errors import InvalidArgumentError, MemoryLimitError
from rasteret_sql.geo.grid import Affine, Grid, Window
from rasteret_sql.geo.pixel_map import PixelMap, pixel_map
from rasteret_sql.geo.pixel_map_over import Sides, pixel_map_over
from rasteret_sql.geo.target_grid import TargetGrid
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.raster.warp.overview import choose_overview, choose_overviews
from rasteret_sql.raster.warp.plan import Ints, WarpPlan, plan_warp
from rasteret_sql.raster.window import geometry_window, whole
from rasteret_sql.reading.class_bands import is_of_classes
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.options import PixelOptions, Whole
from rasteret_sql.reading.request import RowRead
from rasteret_sql.reading.resolve import check_level
from rasteret_sql.reading.target_grids import finest
from rasteret_sql.reading.window_plan import WindowPlan, common_dtype, plan_window
from rasteret_sql.tiff.header import BandHeader

_OUTLINE_POINTS = 32
"""Points on each edge of a target that tell which tiles it needs."""


@dataclass(frozen=True, slots=True, eq=False)
class BandWarp:
    """The source of one band of a target."""

    window: WindowPlan
    """The pixels that are read: one band, of one level."""
    warp: WarpPlan


@dataclass(frozen=True, eq=False)
class TargetPlan:
    """The pixels of a target grid that a row reads, of each of its bands."""

    read: RowRead
    target: TargetGrid
    warps: tuple[BandWarp | None, ...]
    """Of each band; None where the target misses it."""
    dtype: np.dtype
    """Common dtype of the bands."""

    @property
    def sources(self) -> tuple[BandSource, ...]:
        return self.read.sources

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """(bands, height, width)"""
        return len(self.sources), self.window.height, self.window.width

    @cached_property
    def window(self) -> Window:
        """Pixels of the target, numbered from its own first one."""
        return whole(self.target.window.width, self.target.window.height)

    @property
    def grid(self) -> Affine:
        """Pixel → CRS of the target."""
        return self.target.transform

    @cached_property
    def transform(self) -> Affine:
        """The same: the window is all of it."""
        return self.target.transform

    @property
    def crs(self) -> str | None:
        return self.target.crs

    @property
    def level(self) -> int:
        """That of the first band."""
        return next((each.window.level for each in self.warps if each), 0)

    @property
    def nbytes(self) -> int:
        """Bytes of the target's pixels."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def source_bytes(self) -> int:
        """Bytes of the pixels that they are computed from."""
        return sum(each.window.nbytes for each in self.warps if each)


ChipPlan = WindowPlan | TargetPlan


def bands_of(plan: TargetPlan) -> list[TargetPlan | None]:
    """The plans of its bands, each by itself on the same target; None where the target misses one."""
    plans: list[TargetPlan | None] = []
    for source, each in zip(plan.sources, plan.warps, strict=True):
        read = replace(plan.read, sources=(source,))
        plans.append(None if each is None else TargetPlan(read, plan.target, (each,), common_dtype(read)))
    return plans


def plan_chip(read: RowRead) -> ChipPlan | None:
    """Plan the pixels of a row: on the target that it asks for, else on the grid of the file.

    Bands of different resolution are put on the grid of the finest. None where the geometry misses the scene.

    Raises:
        InvalidArgumentError: no dtype holds all bands, there is no such overview, or bands of several grids have no
            place.
    """
    if read.target is not None:
        return plan_target(read, read.target)
    first = read.sources[0].header
    if any(_differs(first, source.header) for source in read.sources):
        target = _of_finest(read)
        return None if target is None else plan_target(replace(read, target=target), target)
    return plan_window(read)


def _differs(one: BandHeader, other: BandHeader) -> bool:
    """True for grids of another resolution of one place in one CRS."""
    placed = one.transform is not None and other.transform is not None and one.crs == other.crs and not one.is_by_points
    return placed and (one.width, one.height, one.transform) != (other.width, other.height, other.transform)


def _of_finest(read: RowRead) -> TargetGrid | None:
    """The pixels of a geometry on the grid of the finest band; None where there are none."""
    source = finest(read.sources)
    check_level(source, read.options.level)
    header, number = source.header, read.options.level
    level, transform = header.levels[number], header.level_transform(number)
    assert transform is not None  # of bands whose grids differ
    window: Window | None = whole(level.width, level.height)
    if read.geometry is not Whole.IMAGE:
        tile = level.tile_width, level.tile_height
        window = geometry_window(read.geometry, transform, level.width, level.height, tile)
    return None if window is None else TargetGrid(header.crs, transform, window)


def plan_target(read: RowRead, target: TargetGrid) -> TargetPlan | None:
    """Plan the pixels of a target; None where it misses all bands.

    Raises:
        InvalidArgumentError: no dtype holds all bands, or there is no such overview.
    """
    dtype = common_dtype(read)
    warps = tuple(_plan_band(read, source, target) for source in read.sources)
    return TargetPlan(read, target, warps, dtype) if any(warps) else None


def _plan_band(read: RowRead, source: BandSource, target: TargetGrid) -> BandWarp | None:
    header = source.header
    method = method_of(source, read.options)
    if isinstance(read.options.overview, int):
        number = read.options.overview
        check_level(source, number)
    else:
        number = _level(header, target)
    level, transform = header.levels[number], header.level_transform(number)
    if transform is None:
        raise InvalidArgumentError(f"{read.describe()}: band {source.band} has no georeference, and other bands do")
    size = level.width, level.height
    sides = Sides(target.lattice, target.crs, transform, header.crs, size)
    warp = plan_warp(pixel_map_over(target.window, sides), target.window, size, method)
    if warp is None:
        return None
    read_from, area = source_part(warp, transform, level.width)
    of_band = replace(
        read,
        sources=(source,),
        geometry=Whole.IMAGE if area is None else area,
        options=replace(read.options, overview=number, clip=True),
        target=None,
    )
    return BandWarp(WindowPlan(of_band, read_from, transform, header.dtype), warp)


def method_of(source: BandSource, options: PixelOptions) -> str:
    """The method by which the pixels of a band are put on a target."""
    return options.resampling or ("nearest" if is_of_classes(source) else "bilinear")


def levels_of(source: BandSource, options: PixelOptions, lattice: Affine, crs: str | None, targets: Ints) -> Ints:
    """The level from which each of many targets of a lattice is warped, as `plan_target` chooses it.

    Args:
        source: the band.
        options: which have a level that it has.
        lattice: of the targets.
        crs: of the lattice.
        targets: first column and row, width and height of each, shape (n, 4).
    """
    if isinstance(options.overview, int):
        return np.full(len(targets), options.overview)
    usable, factors = _usable(source.header)
    if len(usable) < 2:
        return np.zeros(len(targets), np.int64)
    chosen: Ints = np.array(usable)[choose_overviews(_full(source.header, lattice, crs), targets, factors)]
    return chosen


def _level(header: BandHeader, target: TargetGrid) -> int:
    """The overview to read: coarser ones save bytes, and finer ones make no better pixels."""
    usable, factors = _usable(header)
    if len(usable) == 1 or header.transform is None:
        return 0
    sides = Sides(target.lattice, target.crs, header.transform, header.crs, (header.width, header.height))
    return usable[_choose(pixel_map_over(target.window, sides), target.window, factors)]


def _usable(header: BandHeader) -> tuple[list[int], tuple[float, ...]]:
    """The levels that may be read, and the pixels of full resolution for one of each."""
    mask = header.validity.mask
    if header.transform is None:
        return [0], (1.0,)
    usable = [number for number in range(len(header.levels)) if mask is None or mask.levels[number] is not None]
    factors = tuple(
        max(header.width / header.levels[number].width, header.height / header.levels[number].height)
        for number in usable
    )
    return usable, factors


def _full(header: BandHeader, lattice: Affine, crs: str | None) -> PixelMap:
    """The map to pixels of full resolution."""
    assert header.transform is not None  # else there is but one level
    return pixel_map(lattice, crs, header.transform, header.crs, (header.width, header.height))


_choose = lru_cache(maxsize=1024)(choose_overview)
"""For all scenes of a grid at once."""


def source_part(warp: WarpPlan, transform: Affine, width: int) -> tuple[Window, shapely.Geometry | None]:
    """The window of a level that a warp reads, and the part of it that is needed; None where all of it is.

    Args:
        warp: whose positions may begin at another column of the level.
        transform: pixel → CRS of the level.
        width: of the level.
    """
    source = warp.source
    if not warp.map.rolled:
        return source, source_area(warp, transform)
    first = (source.col_off + warp.map.rolled) % width
    if first + source.width <= width:
        return Window(first, source.row_off, source.width, source.height), None
    ends = (
        Window(first, source.row_off, width - first, source.height),
        Window(0, source.row_off, first + source.width - width, source.height),
    )
    boxes = [Grid(transform.shifted(end.col_off, end.row_off), end.width, end.height).outline() for end in ends]
    return Window(0, source.row_off, width, source.height), shapely.multipolygons(boxes)


@lru_cache(maxsize=1024)
def source_area(warp: WarpPlan, transform: Affine) -> shapely.Geometry | None:
    """The part of the source that a target needs, in its CRS: of a turned one some tiles of the window are left out.

    None where all of the window is needed.
    """
    if warp.map.is_separable:
        return None
    target = warp.target
    along = np.linspace(0, 1, _OUTLINE_POINTS)[:-1]
    cols = np.concatenate([along, np.ones_like(along), 1 - along, np.zeros_like(along)]) * target.width
    rows = np.concatenate([np.zeros_like(along), along, np.ones_like(along), 1 - along]) * target.height
    x, y = warp.map.exact(cols + target.col_off, rows + target.row_off)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    outline = shapely.polygons(np.column_stack([x, y]))
    # A pole or seam inside of it, or a line that crosses itself, is not what the edges tell.
    covered = _covers_inside(warp, outline)
    if not covered:
        return None
    margin = max(warp.reach) + 2
    pixels = shapely.get_coordinates(outline.buffer(margin, join_style="mitre"))
    return shapely.polygons(
        np.column_stack(
            [
                transform.a * pixels[:, 0] + transform.b * pixels[:, 1] + transform.c,
                transform.d * pixels[:, 0] + transform.e * pixels[:, 1] + transform.f,
            ]
        )
    )


def _covers_inside(warp: WarpPlan, outline: shapely.Polygon) -> bool:
    """True where points inside the target lie inside the outline of its edges."""
    if not outline.is_valid:
        return False
    target = warp.target
    at = np.meshgrid(np.linspace(0, target.width, 9), np.linspace(0, target.height, 9))
    x, y = warp.map.exact(at[0].ravel() + target.col_off, at[1].ravel() + target.row_off)
    inside: np.ndarray = shapely.contains_xy(outline.buffer(1), x, y)
    return bool(inside.all())


def check_memory(plan: ChipPlan, context: ReadContext, remedy: str | None = None) -> None:
    """Raise if one row alone needs more pixels than a call may hold.

    Args:
        plan: of the row.
        context: of the call.
        remedy: words for what helps; None: those of SQL.
    """
    source = plan.source_bytes if isinstance(plan, TargetPlan) else 0
    if plan.nbytes + source > context.max_call_bytes:
        of_source = f", and {source:,} of the pixels that they are computed from" if source else ""
        raise MemoryLimitError(
            f"{plan.read.describe()}: the window of {plan.window.width} × {plan.window.height} pixels needs "
            f"{plan.nbytes:,} bytes at once{of_source}, more than max_call_bytes = {context.max_call_bytes:,}; nothing "
            f"was fetched. Use {remedy or _remedy(plan)}"
        )


def _remedy(plan: ChipPlan) -> str:
    smaller = "a coarser resolution :=" if isinstance(plan, TargetPlan) else "an overview := n"
    return f"{smaller}, a smaller geometry, or connect(max_call_bytes=...)"
