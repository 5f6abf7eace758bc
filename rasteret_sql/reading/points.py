"""Reads the value of the pixel that holds a point: sample_point."""

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
from rasteret_sql.raster.edges import Ints
from rasteret_sql.raster.nearest import nearest_valid
from rasteret_sql.raster.runs import pixel_runs
from rasteret_sql.raster.window import point_pixels, whole
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.derived_band import DerivedBand
from rasteret_sql.reading.options import PixelOptions, Whole
from rasteret_sql.reading.pixel_group import DerivedGroup, pixel_group
from rasteret_sql.reading.request import Request, RowRead
from rasteret_sql.reading.resolve import check_level, kind_given, one_band, resolve
from rasteret_sql.reading.window_job import WindowJob
from rasteret_sql.reading.window_plan import WindowPlan
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
            yield TileNeed(address, level, index, slot, facts, source.backend)

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
    """The neighbourhood of a point: its own pixel if that is valid, else the nearest valid one."""

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
        centre = point_pixels(np.array([self._point[0]]), np.array([self._point[1]]), self._grid)
        at = nearest_valid(
            valid,
            (int(centre[1][0]) - self.plan.window.row_off, int(centre[0][0]) - self.plan.window.col_off),
            self._point,
            self._grid.shifted(self.plan.window.col_off, self.plan.window.row_off),
            self.read.options.max_distance_pixels,
        )
        self.value = self.read.options.fill_invalid if at is None else float(self.pixels()[0][at])
        self.data = self.invalid = None

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
    """Many pixels of one band, which cost less together."""

    def __init__(self, reads: list[RowRead], cols: Ints, rows: Ints) -> None:
        """Read the pixel at each column and row, for rows that have the same band and options."""
        self.job = pixel_group(reads[0].sources[0], reads[0].options, pixel_runs(cols, rows))
        self.reads, self.cols, self.rows = reads, cols, rows

    @property
    def are_dense(self) -> bool:
        """As the function of this name, for these."""
        return are_dense(self.reads[0].sources[0], self.reads[0].options.level, self.cols, self.rows)

    def give(self, values: list[float | None]) -> None:
        """Fill in the values of the rows, once all is read."""
        pixels = self.job.values.astype(np.float64).tolist()
        hidden = [False] * len(pixels) if self.job.invalid is None else self.job.invalid.tolist()
        for read, value, is_hidden in zip(self.reads, pixels, hidden, strict=True):
            values[read.row] = None if is_hidden else value

    def apart(self) -> Sequence[PointJob | NearestJob]:
        """Each pixel as a job of its own: that tells which rows a failure concerns."""
        if isinstance(self.reads[0].sources[0], DerivedBand):
            windows = (Window(col, row, 1, 1) for col, row in zip(self.cols.tolist(), self.rows.tolist(), strict=True))
            return [_near(read, window) for read, window in zip(self.reads, windows, strict=True)]
        of_band = layers(self.reads[0].sources[0].header, self.reads[0].options.level, self.reads[0].options.alpha)
        places = zip(self.reads, self.cols.tolist(), self.rows.tolist(), strict=True)
        return [PointJob(read, of_band, col, row) for read, col, row in places]


def _near(read: RowRead, around: Window) -> NearestJob:
    """The job of a point in a neighbourhood, which may be its own pixel alone."""
    header = read.sources[0].header
    grid = header.level_transform(read.options.level)
    assert grid is not None  # `resolve` refuses a geometry on a file without one
    assert isinstance(read.geometry, shapely.Point)
    return NearestJob(WindowPlan(read, around, grid, header.dtype), grid, (read.geometry.x, read.geometry.y))


def sample_point(request: Request, context: ReadContext, cancelled: Cancelled) -> pa.Array:
    """DOUBLE of each row; NULL where an argument is, outside the image, and where no valid pixel is in reach."""
    reads = resolve(request, context)
    with context.receipt.plan:
        groups, jobs = plan_points(reads)
    context.plan_pairs(len(jobs) + sum(len(group.reads) for group in groups))
    context.run([*(group.job for group in groups), *jobs], cancelled)
    values: list[float | None] = [None] * len(request)
    for group in groups:
        if group.job.failure is None:
            group.give(values)
    again = [job for group in groups if group.job.failure is not None for job in group.apart()]
    if again:
        context.run(again, cancelled)
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
        cols, rows = point_pixels(xs, ys, transform)
        inside = np.flatnonzero((cols >= 0) & (cols < width) & (rows >= 0) & (rows < height))
        of_band: dict[tuple[int, PixelOptions], list[int]] = defaultdict(list)
        for place in inside.tolist():
            read = of_grid[place]
            reach = read.options.max_distance_pixels
            if reach == 0:
                of_band[id(read.sources[0]), read.options].append(place)
                continue
            col, row = int(cols[place]), int(rows[place])
            around = Window(col - reach, row - reach, 2 * reach + 1, 2 * reach + 1).intersection(whole(width, height))
            assert around is not None
            jobs.append(_near(read, around))
        for places in of_band.values():
            group = PointGroup([of_grid[place] for place in places], cols[places], rows[places])
            if group.are_dense:
                groups.append(group)
            else:
                jobs += group.apart()
    return groups, jobs
