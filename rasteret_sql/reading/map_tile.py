"""Reads the pixels of a map's tile: of each the first scene that has it; of scenes no more than the tile needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import RasteretError
from rasteret_sql.geo.grid import Window
from rasteret_sql.geo.pixel_map import PixelMap
from rasteret_sql.geo.target_grid import TargetGrid
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.raster.composite import has_pixels
from rasteret_sql.raster.warp.resampling import RADIUS
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.changed_files import ChangedFiles, repeat_while_changed
from rasteret_sql.reading.composites import read_composites
from rasteret_sql.reading.context import FailedRow, Found, ReadContext
from rasteret_sql.reading.derived_band import files_of
from rasteret_sql.reading.mosaic import Mosaic
from rasteret_sql.reading.options import PixelOptions, Whole
from rasteret_sql.reading.relation import Relation
from rasteret_sql.reading.relation_geometries import Shapes
from rasteret_sql.reading.request import RowRead, Scene
from rasteret_sql.reading.target_job import TargetJob
from rasteret_sql.reading.target_plan import BandWarp, TargetPlan, plan_target

Pixels = npt.NDArray[np.generic]
Mask = npt.NDArray[np.bool_]

MOST_SCENES = 256
"""Scenes of which a tile is made, at most: the first ones."""
_LOOKED_UP = 4
"""Scenes whose files are looked up together at first; then twice as many, and so on."""
_AHEAD = 8
"""Scenes among which those are sought that cover the rest of the tile."""
_MORE = 4
"""Scenes that are read after the first ones left pixels open; then twice as many, and so on."""


@dataclass(slots=True, eq=False)
class TilePixels:
    """The pixels of a tile."""

    pixels: Pixels
    """Shape (bands, height, width)."""
    valid: Mask
    """The same shape."""
    failures: dict[str, Exception] = field(default_factory=dict)
    """Scene id → why it is left out."""


@dataclass(frozen=True, slots=True, eq=False)
class TileRead:
    """A tile that is asked for."""

    target: TargetGrid
    bands: tuple[Asked, ...]
    options: PixelOptions
    """Without a grid. Scenes that cannot be read are left out, whatever they say."""
    method: str = "first"
    """One of `METHODS`."""
    best_by: Asked | None = None
    """Of the method best."""


def read_tile(
    asked: TileRead, scenes: Sequence[Scene], context: ReadContext, cancelled: Cancelled
) -> TilePixels | None:
    """Read a tile of some scenes.

    Args:
        asked: the tile.
        scenes: in the order in which the method takes them; `MOST_SCENES` of them count.
        context: what they are read with.
        cancelled: the call's flag.

    Returns:
        None where no scene reaches the tile. A tile of scenes that all failed has no valid pixel.
    """
    some = scenes[:MOST_SCENES]
    if not some:
        return None
    told: dict[str, Exception] = {}

    def report(row: FailedRow) -> None:
        told.setdefault(row.scene_id, row.error)

    context = replace(context, report=report)
    asked = replace(asked, options=replace(asked.options, on_error="null"))
    made = _first if asked.method == "first" else _composite
    found = made(asked, some, context, cancelled)
    if found is None and told:
        shape = len(asked.bands), *asked.target.window.shape
        found = TilePixels(np.zeros(shape, np.uint8), np.zeros(shape, bool))
    if found is not None:
        found.failures |= told
    return found


def _composite(
    asked: TileRead, scenes: Sequence[Scene], context: ReadContext, cancelled: Cancelled
) -> TilePixels | None:
    """The tile as a composite of all its scenes."""
    target = asked.target
    column = np.empty(1, object)
    column[0] = shapely.box(*target.grid.outline().bounds)
    assert target.crs is not None  # of maps
    options = replace(
        asked.options,
        crs=target.crs,
        resolution=(target.lattice.a, -target.lattice.e),
        align=(target.lattice.c, target.lattice.f),
    )
    scores = () if asked.best_by is None else (asked.best_by,)
    relation = Relation("tiles", "read_mosaic", Shapes(column, [target.crs]), asked.bands + scores, options)
    mosaic = Mosaic(relation, asked.method)
    groups = mosaic.find([scenes], context)
    numbers = [number for group in groups for number in group.numbers]
    if not numbers:
        return None
    (found,) = read_composites(mosaic, numbers, context, cancelled)
    return None if found is None else TilePixels(found.pixels, found.valid)


def _first(asked: TileRead, scenes: Sequence[Scene], context: ReadContext, cancelled: Cancelled) -> TilePixels | None:
    """The tile of the first scenes that have its pixels."""
    run: _First

    def attempt(_: ChangedFiles) -> list[BandSource]:
        nonlocal run
        run = _First(asked, scenes, context, cancelled)
        run.read()
        return [one for read in run.changed for one in files_of(read.sources) if one.address == read.changed_file]

    files = repeat_while_changed(attempt, context, cancelled)
    for read in run.changed:
        run.failures[read.scene_id] = files.failure(read.changed_file) or RasteretError(
            f"{read.describe()}: a file changes while it is read"
        )
    return run.made()


class _TileJob(TargetJob):
    """Reads a scene for a tile."""

    error: Exception | None = None

    def fail(self, error: Exception) -> bool:
        self.error = error
        return self.plan.read.tolerates(error)


class _First:
    """One read of a tile, which stops when no scene can add a pixel."""

    def __init__(self, asked: TileRead, scenes: Sequence[Scene], context: ReadContext, cancelled: Cancelled) -> None:
        self._asked = asked
        self._scenes = scenes
        self._context = context
        self._cancelled = cancelled
        self._open = np.ones(asked.target.window.shape, bool)
        """Pixels that no scene gave so far."""
        self._pixels: Pixels | None = None
        self._files: list[Found] = []
        """Of the first so many scenes."""
        self._plans: dict[int, TargetPlan | None] = {}
        self._read: dict[int, _TileJob] = {}
        """Scenes that were read before their turn."""
        self.changed: list[RowRead] = []
        self.failures: dict[str, Exception] = {}

    def read(self) -> None:
        """Read scenes until the tile is full."""
        due, more = 0, 0
        while (due := self._take_from(due)) < len(self._scenes):
            jobs = self._choose(due, more)
            self._context.stream(list(jobs.values()), self._cancelled)
            self._read |= jobs
            more = max(_MORE, more * 2)

    def _take_from(self, number: int) -> int:
        """Take the scenes that were read, in their order; gives the first one that has to be read."""
        while number < len(self._scenes) and self._open.any():
            if self._adds(number, self._open):
                job = self._read.pop(number, None)
                if job is None:
                    return number
                self._take(job)
            number += 1
        return len(self._scenes)

    def _choose(self, first: int, more: int) -> dict[int, _TileJob]:
        """Choose the scenes that are read next: as many as cover the tile, and more where others left pixels open.

        Args:
            first: number of the first one.
            more: how many are read although others cover the same pixels.
        """
        expected = self._open.copy()
        jobs: dict[int, _TileJob] = {}
        for number in range(first, min(first + max(_AHEAD, more), len(self._scenes))):
            if jobs and not more and not expected.any():
                break
            if number not in self._read and self._adds(number, self._open):
                if not self._adds(number, expected):
                    if not more:
                        continue
                    more -= 1
                plan = self._plan(number)
                assert plan is not None  # it adds something
                jobs[number] = _TileJob(plan, None)
                covered = covered_by(plan)
                expected = np.zeros_like(expected) if covered is None else expected & ~covered
        return jobs

    def _adds(self, number: int, wanted: Mask) -> bool:
        """True where a scene may give one of some pixels."""
        plan = self._plan(number)
        if plan is None:
            return False
        covered = covered_by(plan)
        return bool(wanted.any() if covered is None else (covered & wanted).any())

    def _take(self, job: _TileJob) -> None:
        """Take the pixels that are still open."""
        if job.error is not None:
            return
        pixels = job.pixels()
        has = has_pixels(pixels, None if job.invalid is None else ~job.invalid).all(axis=0) & self._open
        if self._pixels is None:
            self._pixels = np.zeros(pixels.shape, pixels.dtype)
        elif self._pixels.dtype != pixels.dtype:
            self._pixels = self._pixels.astype(np.result_type(self._pixels, pixels))
        np.copyto(self._pixels, pixels, where=has)
        self._open &= ~has

    def _plan(self, number: int) -> TargetPlan | None:
        """The tile on a scene; None: it has nothing here."""
        if number not in self._plans:
            with self._context.receipt.plan:
                self._plans[number] = self._planned(number)
        return self._plans[number]

    def _planned(self, number: int) -> TargetPlan | None:
        if number >= len(self._files):
            self._look_up(max(number + 1, _LOOKED_UP, 2 * len(self._files)))
        scene, files, asked = self._scenes[number], self._files[number], self._asked
        if isinstance(files, RasteretError):
            self.failures[scene.id] = files
            return None
        read = RowRead(
            0, scene.id, files, Whole.IMAGE, asked.options, self._context.report, self.changed, target=asked.target
        )
        try:
            return plan_target(read, asked.target)
        except RasteretError as error:
            self.failures[scene.id] = error
            return None

    def _look_up(self, end: int) -> None:
        """Look up the next scenes, together."""
        asked = self._asked
        keys = [(scene.id, asked.bands) for scene in self._scenes[len(self._files) : end]]
        found = self._context.look_up(list(dict.fromkeys(keys)), asked.options.collection, self._context.backend)
        self._files += [found[key] for key in keys]

    def made(self) -> TilePixels | None:
        """The result."""
        if self._pixels is None:
            return None
        return TilePixels(self._pixels, np.broadcast_to(~self._open, self._pixels.shape), self.failures)


def covered_by(plan: TargetPlan) -> Mask | None:
    """The pixels of a target that a scene can give, shape (height, width); None: all of them."""
    if not all(plan.warps):
        return np.zeros(plan.target.window.shape, bool)
    masks = [mask for mask in map(_covered_by_band, plan.warps) if mask is not None]
    return np.logical_and.reduce(masks) if masks else None


def _covered_by_band(each: BandWarp | None) -> Mask | None:
    assert each is not None  # asked of all bands
    level = each.window.sources[0].header.levels[each.window.level]
    return _covered(each.warp.map, (level.width, level.height), each.warp.target, each.warp.method in RADIUS)


@lru_cache(maxsize=256)
def _covered(pixel_map: PixelMap, size: tuple[int, int], target: Window, of_points: bool) -> Mask | None:
    """The pixels whose centre lies on an image, or a part of whose cell does: once for all images of a grid.

    Args:
        pixel_map: target to image.
        size: width and height of the image.
        target: the pixels.
        of_points: True: the centre decides.
    """
    width, height = size
    if of_points:
        left, top = pixel_map.centres(target)(target)
        right, bottom = left, top
    else:
        first_x, first_y, last_x, last_y = pixel_map.corners(target)(target)
        left, right = np.minimum(first_x, last_x), np.maximum(first_x, last_x)
        top, bottom = np.minimum(first_y, last_y), np.maximum(first_y, last_y)
    inside: Mask = (right >= 0) & (left <= width) & (bottom >= 0) & (top <= height)
    return None if inside.all() else inside
