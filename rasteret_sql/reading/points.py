"""Reads the value at a point, of its pixel or between pixels: sample_point."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import shapely

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.engine.job import Job, TileNeed
from rasteret_sql.errors import InvalidGeometryError, RasteretError
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.raster.edges import Floats, Ints
from rasteret_sql.raster.nearest import nearest_valid
from rasteret_sql.raster.window import inside_of, point_positions, whole
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.derived_band import DerivedBand
from rasteret_sql.reading.options import PixelOptions, Whole
from rasteret_sql.reading.pixel_group import DerivedGroup
from rasteret_sql.reading.point_values import patches_of, point_values
from rasteret_sql.reading.request import Request, RowRead
from rasteret_sql.reading.resolve import check_level, kind_given, one_band, resolve
from rasteret_sql.reading.window_job import WindowJob
from rasteret_sql.reading.window_plan import WindowPlan
from rasteret_sql.tiff.tiles import TiffTiles
from rasteret_sql.tiff.validity import Kind, Layer, layers

_DENSE = 4
"""Points of a tile for which it pays to take them together."""


class PointJob(Job):
    """One pixel."""

    __slots__ = ("_col", "_differs", "_layers", "_row", "_told_by_all", "_valid", "read", "value")

    def __init__(self, read: RowRead, of_band: tuple[Layer, ...], col: int, row: int) -> None:
        self.read = read
        self.value: float | None = None
        self._layers = of_band
        self._valid = True
        self._told_by_all = False
        self._differs = False
        self._col = col
        self._row = row

    def needs(self) -> Iterable[TileNeed]:
        source = self.read.sources[0]
        for slot, layer in enumerate(self._layers):
            level = layer.level
            index = (self._row // level.tile_height) * level.tiles_across + self._col // level.tile_width
            address, facts = source.file_of(level)
            yield TileNeed(address, TiffTiles(level), index, slot, facts, source.backend)

    def place(self, slot: int, tile: np.ndarray | None) -> None:
        level = self._layers[slot].level
        here = None if tile is None else tile[self._row % level.tile_height, self._col % level.tile_width]
        # Tiles may come at once: none takes back what another has said.
        for look in self._layers[slot].looks:
            pixel = None if here is None else here[look.sample, ...]
            if look.kind is Kind.PIXELS:
                self.value = float(look.default(level.dtype) if pixel is None else pixel)
            elif look.kind is Kind.NODATA_VALUES:
                self._told_by_all = True
                if not look.hides(pixel):
                    self._differs = True
            elif look.hides(pixel):
                self._valid = False

    def describe(self) -> str:
        return self.read.describe()

    def finish(self) -> None:
        if not self._valid or (self._told_by_all and not self._differs):
            self.value = None

    def fail(self, error: Exception) -> bool:
        self.value = None
        return self.read.tolerates(error)


class NearestJob(WindowJob):
    """The neighbourhood of a point: the value there if its own pixel is valid, else that of the nearest valid one."""

    def __init__(self, plan: WindowPlan, grid: Affine, point: tuple[float, float]) -> None:
        super().__init__(plan)
        self.value: float | None = None
        self._grid = grid
        self._point = point

    @property
    def read(self) -> RowRead:
        return self.plan.read

    def area(self) -> None:
        """All of the neighbourhood counts, not the point alone."""

    def reduce(self) -> None:
        valid = np.ones(self.plan.window.shape, bool) if self.invalid is None else ~self.invalid[0]
        x, y = point_positions(np.array([self._point[0]]), np.array([self._point[1]]), self._grid)
        self.value = self._between(valid, x, y)
        if self.value is None:
            window = self.plan.window
            at = nearest_valid(
                valid,
                (int(np.floor(y[0])) - window.row_off, int(np.floor(x[0])) - window.col_off),
                self._point,
                self._grid.shifted(window.col_off, window.row_off),
                self.read.options.max_distance_pixels,
            )
            self.value = self.read.options.fill_invalid if at is None else float(self.pixels()[0][at])
        self.data = self.invalid = None

    def _between(self, valid: np.ndarray, x: Floats, y: Floats) -> float | None:
        """The value between pixels, where one is asked for and there is one."""
        level = self.plan.sources[0].header.levels[self.plan.level]
        patches = patches_of(self.read.options, x, y, (level.width, level.height))
        if patches is None:
            return None
        (around,), window = patches.windows(), self.plan.window
        there = (
            slice(around.row_off - window.row_off, around.row_end - window.row_off),
            slice(around.col_off - window.col_off, around.col_end - window.col_off),
        )
        values, missing = patches.interpolate(self.pixels()[0][there].ravel(), ~valid[there].ravel())
        return None if missing[0] else float(values[0])

    def fail(self, error: Exception) -> bool:
        return self.read.tolerates(error)


def are_dense(source: BandSource, level: int, cols: Ints, rows: Ints) -> bool:
    """True where most tiles of a band have several of some pixels, and none needs those around it."""
    if not DerivedGroup.can_group(source):
        return False
    tiling = source.header.levels[level]
    tiles = np.sort(rows // tiling.tile_height * tiling.tiles_across + cols // tiling.tile_width)
    # `np.unique` would import all of `numpy.ma` for this.
    return len(cols) >= _DENSE * (1 + int(np.count_nonzero(tiles[1:] != tiles[:-1])))


class PointGroup:
    """Many points of one band, which cost less together."""

    def __init__(self, reads: list[RowRead], x: Floats, y: Floats) -> None:
        """Read the value at each column and row, for rows that have the same band and options."""
        self._values = point_values(reads[0].sources[0], reads[0].options, x, y)
        self.job = self._values.job
        self.reads, self.x, self.y = reads, x, y

    @property
    def pays(self) -> bool:
        """True where they cost less together: many of a tile, or each with pixels around it."""
        source, options = self.reads[0].sources[0], self.reads[0].options
        if options.interpolation is not None:
            return DerivedGroup.can_group(source)
        return are_dense(source, options.level, self.x.astype(np.int64), self.y.astype(np.int64))

    def give(self, values: list[float | None]) -> None:
        """Fill in the values of the rows, once all is read."""
        found, missing = (side.tolist() for side in self._values.values())
        for read, value, lacks in zip(self.reads, found, missing, strict=True):
            values[read.row] = None if lacks else value

    def apart(self) -> Sequence[PointJob | NearestJob]:
        """Each point as a job of its own: that tells which rows a failure concerns."""
        source, options = self.reads[0].sources[0], self.reads[0].options
        if isinstance(source, DerivedBand) or options.interpolation is not None:
            return [_near(read, x, y) for read, x, y in zip(self.reads, self.x.tolist(), self.y.tolist(), strict=True)]
        of_band = layers(source.header, options.level, options.alpha)
        places = zip(self.reads, self.x.astype(np.int64).tolist(), self.y.astype(np.int64).tolist(), strict=True)
        return [PointJob(read, of_band, col, row) for read, col, row in places]


def _near(read: RowRead, x: float, y: float) -> NearestJob:
    """The job of a point, with as much around its pixel as it needs; x and y are its position in the image."""
    header, options = read.sources[0].header, read.options
    level, reach = header.levels[options.level], options.max_distance_pixels
    around = Window(int(x) - reach, int(y) - reach, 2 * reach + 1, 2 * reach + 1)
    patches = patches_of(options, np.array([x]), np.array([y]), (level.width, level.height))
    if patches is not None:
        around = around.union(patches.windows()[0])
    around_inside = around.intersection(whole(level.width, level.height))
    assert around_inside is not None  # its own pixel is in the image
    grid = header.level_transform(read.options.level)
    assert grid is not None  # `resolve` refuses a geometry on a file without one
    assert isinstance(read.geometry, shapely.Point)
    return NearestJob(WindowPlan(read, around_inside, grid, header.dtype), grid, (read.geometry.x, read.geometry.y))


def sample_point(request: Request, context: ReadContext, cancelled: Cancelled) -> pa.Array:
    """DOUBLE of each row; NULL where an argument is, outside the image, and where no valid pixel is in reach."""
    reads = resolve(request, context)
    with context.receipt.plan:
        groups, jobs = plan_points(reads)
    context.plan_pairs(len(jobs) + sum(len(group.reads) for group in groups))
    context.stream([*(group.job for group in groups), *jobs], cancelled)
    values: list[float | None] = [None] * len(request)
    for group in groups:
        if group.job.failure is None:
            group.give(values)
    again = [job for group in groups if group.job.failure is not None for job in group.apart()]
    if again:
        context.stream(again, cancelled)
    for job in (*jobs, *again):
        values[job.read.row] = job.value
    return pa.array(values, pa.float64())


def plan_points(reads: list[RowRead]) -> tuple[list[PointGroup], list[PointJob | NearestJob]]:
    """Jobs for all points inside their images: those of a grid are placed together, those of a band read together."""
    grids: dict[tuple[Affine, int, int], list[RowRead]] = defaultdict(list)
    for read in reads:
        try:
            source = one_band(read)
            check_level(source, read.options.level)
            if read.geometry is Whole.IMAGE or read.geometry.geom_type != "Point":
                kind = "the whole image" if read.geometry is Whole.IMAGE else f"a {kind_given(read.geometry)}"
                raise InvalidGeometryError(
                    f"expected a point, not {kind} ({read.describe()}); use zonal_stats for areas"
                )
        except RasteretError as error:
            if not read.tolerates(error):
                raise
            continue
        header = source.header
        transform = header.level_transform(read.options.level)
        assert transform is not None  # `resolve` refuses a geometry on a file without one
        level = header.levels[read.options.level]
        grids[transform, level.width, level.height].append(read)
    groups: list[PointGroup] = []
    jobs: list[PointJob | NearestJob] = []
    for (transform, width, height), of_grid in grids.items():
        points = [read.geometry for read in of_grid]
        xs, ys = shapely.get_x(points), shapely.get_y(points)
        x, y, inside = inside_of(xs, ys, transform, width, height)
        of_band: dict[tuple[int, PixelOptions], list[int]] = defaultdict(list)
        for place in inside.tolist():
            read = of_grid[place]
            if read.options.max_distance_pixels == 0:
                of_band[id(read.sources[0]), read.options].append(place)
            else:
                jobs.append(_near(read, float(x[place]), float(y[place])))
        for places in of_band.values():
            group = PointGroup([of_grid[place] for place in places], x[places], y[places])
            if group.pays:
                groups.append(group)
            else:
                jobs += group.apart()
    return groups, jobs
