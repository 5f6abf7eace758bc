"""Reads the value of the pixel that holds a point: sample_point."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import shapely

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.engine.job import Job, TileNeed
from rasteret_sql.errors import InvalidGeometryError, RasteretError
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster.nearest import nearest_valid
from rasteret_sql.raster.window import point_pixels, whole
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.options import Whole
from rasteret_sql.reading.request import Request, RowRead
from rasteret_sql.reading.resolve import check_level, kind_given, one_band, resolve
from rasteret_sql.reading.window_job import WindowJob, WindowPlan
from rasteret_sql.tiff.validity import Kind, Layer, layers


class PointJob(Job):
    """One pixel: the common case, kept light because calls carry thousands."""

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
        self.value = None if at is None else float(self.pixels()[0][at])
        self.data = self.invalid = None

    def fail(self, error: Exception) -> bool:
        return self.read.tolerates(error)


def sample_point(request: Request, context: ReadContext, cancelled: Cancelled) -> pa.Array:
    """DOUBLE of each row; NULL where an argument is, outside the image, and where no valid pixel is in reach."""
    reads = resolve(request, context)
    with context.receipt.plan:
        jobs = plan_points(reads)
    context.plan_pairs(len(jobs))
    context.run(jobs, cancelled)
    values: list[float | None] = [None] * len(request)
    for job in jobs:
        values[job.read.row] = job.value
    return pa.array(values, pa.float64())


def plan_points(reads: list[RowRead]) -> list[PointJob | NearestJob]:
    """A job for each point inside its image; points of one grid are placed together."""
    grids: dict[tuple[Affine, int, int], list[RowRead]] = defaultdict(list)
    for read in reads:
        try:
            source = one_band(read)
            check_level(source, read.options.overview)
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
        transform = header.level_transform(read.options.overview)
        assert transform is not None  # `resolve` refuses a geometry on a file without one
        level = header.levels[read.options.overview]
        grids[transform, level.width, level.height].append(read)
    jobs: list[PointJob | NearestJob] = []
    for (transform, width, height), group in grids.items():
        points = [read.geometry for read in group]
        xs, ys = shapely.get_x(points), shapely.get_y(points)
        cols, rows = point_pixels(xs, ys, transform)
        inside = (cols >= 0) & (cols < width) & (rows >= 0) & (rows < height)
        of_band: dict[tuple[int, int, str], tuple[Layer, ...]] = {}
        for place in np.flatnonzero(inside):
            read, col, row = group[place], int(cols[place]), int(rows[place])
            reach = read.options.max_distance_pixels
            if reach == 0:
                one, options = read.sources[0].header, read.options
                known = id(one), options.overview, options.alpha
                if known not in of_band:
                    of_band[known] = layers(one, options.overview, options.alpha)
                jobs.append(PointJob(read, of_band[known], col, row))
                continue
            around = Window(col - reach, row - reach, 2 * reach + 1, 2 * reach + 1).intersection(whole(width, height))
            assert around is not None
            plan = WindowPlan(read, around, transform, read.sources[0].header.dtype)
            jobs.append(NearestJob(plan, transform, (float(xs[place]), float(ys[place]))))
    return jobs
