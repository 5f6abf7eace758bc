"""sample_point: the value of the pixel that holds a point."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import shapely

from rasteret_sql.engine.job import Job, TileNeed
from rasteret_sql.engine.scheduler import Engine
from rasteret_sql.errors import InvalidGeometryError, RasteretError
from rasteret_sql.kernels.rows import Cancelled, PixelArguments, RowRead, Scenes, check_level, one_band, resolve
from rasteret_sql.kernels.window_job import WindowJob, WindowPlan
from rasteret_sql.plan.window import point_pixels, whole
from rasteret_sql.raster.nearest import nearest_valid
from rasteret_sql.tiff.nodata import matches_nodata
from rasteret_sql.types import Affine, Window


class PointJob(Job):
    """One pixel: the common case, kept light because calls carry thousands."""

    __slots__ = ("_col", "_row", "_valid", "read", "value")

    def __init__(self, read: RowRead, col: int, row: int) -> None:
        self.read = read
        self.value: float | None = None
        self._valid = True
        self._col = col
        self._row = row

    def needs(self) -> Iterable[TileNeed]:
        source = self.read.sources[0]
        header, at = source.header, self.read.options.overview
        mask = header.masks[at] if header.masks else None
        for slot, level in enumerate((header.levels[at], mask)):
            if level is not None:
                index = (self._row // level.tile_height) * level.tiles_across + self._col // level.tile_width
                yield TileNeed(source.address, level, index, slot, source.facts)

    def place(self, slot: int, tile: np.ndarray | None) -> None:
        header, at = self.read.sources[0].header, self.read.options.overview
        if slot == 1:
            mask = header.masks[at]
            assert mask is not None
            here = None if tile is None else tile[self._row % mask.tile_height, self._col % mask.tile_width]
            if here is None or not here[header.mask_sample]:
                self._valid = False
            return
        level = header.levels[at]
        if tile is None:
            pixel = np.array(0 if header.nodata is None else header.nodata).astype(header.dtype)
        else:
            pixel = tile[self._row % level.tile_height, self._col % level.tile_width, header.sample]
        nodata = None if header.internal_mask else header.nodata
        if not matches_nodata(np.asarray(pixel), nodata):
            self.value = float(pixel)

    def describe(self) -> str:
        return self.read.describe()

    def finish(self) -> None:
        if not self._valid:
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

    def finish(self) -> None:
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


def sample_point(args: PixelArguments, scenes: Scenes, engine: Engine, cancelled: Cancelled) -> pa.Array:
    """DOUBLE of each row; NULL where an argument is, outside the image, and where no valid pixel is in reach."""
    jobs = plan_points(resolve(args, scenes))
    engine.run(jobs, scenes.backend, cancelled, scenes.progress)
    values: list[float | None] = [None] * len(args)
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
            if read.geometry is None or read.geometry.geom_type != "Point":
                kind = "the whole image" if read.geometry is None else f"a {read.geometry.geom_type}"
                raise InvalidGeometryError(
                    f"a point is wanted, not {kind} ({read.describe()}); use zonal_stats for areas"
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
        for place in np.flatnonzero(inside):
            read, col, row = group[place], int(cols[place]), int(rows[place])
            reach = read.options.max_distance_pixels
            if reach == 0:
                jobs.append(PointJob(read, col, row))
                continue
            around = Window(col - reach, row - reach, 2 * reach + 1, 2 * reach + 1).intersection(whole(width, height))
            assert around is not None
            plan = WindowPlan(read, around, None, read.sources[0].header.dtype)
            jobs.append(NearestJob(plan, transform, (float(xs[place]), float(ys[place]))))
    return jobs
