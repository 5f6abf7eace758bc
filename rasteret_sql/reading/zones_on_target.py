"""`ZonesOnTarget`: reads zones on a lattice that they share, other than the file's: neighbours from one piece of it."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.engine.job import TileNeed
from rasteret_sql.errors import RasteretError
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.geo.pixel_map import pixel_map
from rasteret_sql.geo.pixel_map_over import Sides, is_elsewhere
from rasteret_sql.geo.placement import are_all_places
from rasteret_sql.geo.target_grid import coverings
from rasteret_sql.geo.wanted_grid import WantedGrid
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.raster.expand import expand
from rasteret_sql.raster.runs import Runs
from rasteret_sql.raster.warp.neighbourhood import Source
from rasteret_sql.raster.warp.plan import WarpPlans, plan_warps
from rasteret_sql.raster.warp.scattered import (
    PixelPositions,
    ScatteredWarp,
    TargetPixels,
    can_scatter,
    place_scattered,
    taps_of,
)
from rasteret_sql.raster.zone_runs import are_zones
from rasteret_sql.raster.zone_statistics import Missing, Statistics
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.options import PixelOptions, Whole
from rasteret_sql.reading.pair_batch import PairGroup
from rasteret_sql.reading.pixel_group import GroupJob, statistics_of_pixels
from rasteret_sql.reading.relation import OnGrid, Relation
from rasteret_sql.reading.relation_geometries import Geometries, Numbers, Placed
from rasteret_sql.reading.request import RowRead, Scene
from rasteret_sql.reading.target_grids import wanted_grid
from rasteret_sql.reading.target_plan import levels_of, method_of, source_area
from rasteret_sql.reading.tiles import FEW_TILES, TilePart, touched_parts
from rasteret_sql.reading.window_job import WindowJob, window_tiles
from rasteret_sql.reading.window_plan import WindowPlan
from rasteret_sql.tiff.header import Level

_MOST_PIXELS = 1 << 14
"""Pixels of the window of a zone that is read together with others."""
_MOST_TAPS = 1 << 19
"""Source pixels that are looked at for the pixels of its window."""
_MOST_TOGETHER = 1 << 18
"""Pixels of the source, and of the target, around zones that are read from one piece."""
_MOST_GRIDS = 8
"""Grids of scenes for which they are known."""
_MOST_KEPT = 1 << 21
"""Pixels of zones, about, whose pieces are known for the next scene: each has its place there."""
_INSIDE = 1.5
"""Pixels by which the box of a source is smaller, where tiles are looked for that come near to it by one."""


@dataclass(frozen=True, eq=False)
class _Piece:
    """Neighbouring zones that are read together."""

    positions: Numbers
    """Of them, among those of a grid."""
    level: int
    """Of the source."""
    source: Window
    """Around the source pixels of all."""
    plans: WarpPlans
    """Of each."""
    runs: Runs
    """Of each, in the pixels of the lattice."""

    @property
    def count(self) -> int:
        """Pixels of all."""
        return int(self.runs.length.sum())

    def pixels(self) -> TargetPixels:
        """The pixels of all, one zone after the other."""
        runs = self.runs
        target, rows = (np.repeat(side, runs.length) for side in (runs.polygon, runs.row))
        return TargetPixels(target, expand(runs.col, runs.length), rows)

    @cached_property
    def places(self) -> PixelPositions:
        """The places of these on the source: the same for all scenes of a grid."""
        return place_scattered(self.plans.map, self.plans.method, self.pixels())

    @property
    def is_placed(self) -> bool:
        """True where that is known."""
        return "places" in self.__dict__

    def area(self, transform: Affine, level: Level) -> shapely.Geometry:
        """The source pixels of all, as each by itself would read them, in the CRS of the image.

        Args:
            transform: pixel → CRS of the level.
            level: that is read.
        """
        sources = self.plans.sources
        (left, top), size = sources[:, :2].T.astype(np.float64), sources[:, 2:].T
        across, down = np.minimum(size / 2, _INSIDE)
        cols, rows = (left + across, left + size[0] - across), (top + down, top + size[1] - down)
        xy = [transform.apply(cols[col], rows[row]) for col, row in ((0, 0), (1, 0), (1, 1), (0, 1))]
        boxes = shapely.polygons(np.moveaxis(np.array(xy), 2, 0))
        if not self.plans.map.is_separable:
            tile = np.array([level.tile_width, level.tile_height])
            tiles = (sources[:, :2] + sources[:, 2:] - 1) // tile - sources[:, :2] // tile + 1
            for at in np.flatnonzero(tiles.prod(1) > FEW_TILES).tolist():
                boxes[at] = source_area(self.plans.one(at), transform) or boxes[at]
        return shapely.geometrycollections(boxes)

    @property
    def nbytes(self) -> int:
        """Bytes that it holds, of the arrays of pixels about."""
        return self.runs.nbytes + 32 * self.count


class ZonesOnTarget:
    """The zones that meet the images of one grid, on a lattice on which all are wanted.

    Args:
        on_grid: they, on the grid of the images.
        geometries: of which they are.
        wanted: the lattice.
        source: an image of the grid.
        options: of the call.
        most_bytes: that one zone may hold.
    """

    def __init__(  # noqa: PLR0917 - of one grid
        self,
        on_grid: OnGrid,
        geometries: Geometries,
        wanted: WantedGrid,
        source: BandSource,
        options: PixelOptions,
        most_bytes: int,
    ) -> None:
        assert wanted.lattice is not None
        self.on_grid = on_grid
        self._options = options
        placed = _placed(geometries, on_grid.numbers, wanted)
        windows = coverings(wanted.lattice, placed)
        windows[(windows[:, 2:].prod(1) > _MOST_PIXELS) | ~are_zones(placed)] = 0
        self._plans: list[tuple[int, Numbers, WarpPlans]] = []
        """Level of the source, positions that are read from it, and their plans."""
        self._of = np.full((2, len(windows)), -1)
        """Of each position, which of these it is in, and where; -1 for those that are read one by one."""
        there = np.flatnonzero(windows[:, 2])
        levels = levels_of(source, options, wanted.lattice, wanted.crs, windows[there])
        for level in np.unique(levels).tolist():
            self._plan(source, level, there[levels == level], wanted, windows, most_bytes)
        windows[self._of[0] < 0] = 0
        self._on_target = OnGrid(on_grid.numbers, placed, windows, wanted.lattice, (0, 0), on_grid.count)
        self._known: dict[tuple[int, int], tuple[Numbers, list[_Piece]]] = {}

    def _plan(  # noqa: PLR0917 - of one level
        self,
        source: BandSource,
        number: int,
        positions: Numbers,
        wanted: WantedGrid,
        windows: Numbers,
        most_bytes: int,
    ) -> None:
        """Plan the zones that are read from a level; those that do not fit together with others are left out."""
        header = source.header
        level, transform = header.levels[number], header.level_transform(number)
        if transform is None or wanted.lattice is None:
            return
        size = level.width, level.height
        sides = Sides(wanted.lattice, wanted.crs, transform, header.crs, size)
        plans = plan_warps(pixel_map(*sides), windows[positions], size, method_of(source, self._options))
        pixels, read = plans.targets[:, 2:].prod(1), plans.sources[:, 2:].prod(1)
        fits = (
            ~is_elsewhere(windows[positions], sides)
            & can_scatter(plans)
            & (pixels * taps_of(plans) <= _MOST_TAPS)
            & (read <= _MOST_TOGETHER)
        )
        fits &= (pixels + read) * header.dtype.itemsize <= most_bytes
        some = np.flatnonzero(fits)
        self._of[0, positions[some]], self._of[1, positions[some]] = len(self._plans), np.arange(len(some))
        self._plans.append((number, positions[some], plans.take(some)))

    def together(self, positions: Numbers) -> npt.NDArray[np.bool_]:
        """Tell which of some zones are read together with others."""
        found: npt.NDArray[np.bool_] = self._of[0, positions] >= 0
        return found

    def groups(
        self, source: BandSource, positions: Numbers, names: Sequence[str], context: ReadContext
    ) -> Iterator[tuple[Numbers, PairGroup]]:
        """Give what reads the statistics of some zones that `together` tells of, and which of them each reads.

        Args:
            source: the band of an image of the grid.
            positions: of the zones, sorted.
            names: statistics wanted.
            context: of the call.
        """
        for piece in self._pieces(positions):
            job = _PieceJob(source, self._options, piece, names, context)
            yield piece.positions, PairGroup(job, job.values)

    def _pieces(self, positions: Numbers) -> list[_Piece]:
        """The pieces of some zones; the same ones for the next scene."""
        if not len(positions):
            return []
        key = int(positions[0]), len(positions)
        known = self._known.get(key)
        if known is not None and np.array_equal(known[0], positions):
            return known[1]
        pieces = [
            piece
            for number in np.unique(self._of[0, positions]).tolist()
            for piece in self._cut(number, positions[self._of[0, positions] == number])
        ]
        self._known[key] = positions, pieces
        held = sum(piece.count for _, each in self._known.values() for piece in each)
        while held > _MOST_KEPT and len(self._known) > 1:
            held -= sum(piece.count for piece in self._known.pop(next(iter(self._known)))[1])
        return pieces

    def _cut(self, number: int, positions: Numbers) -> Iterator[_Piece]:
        """Cut zones of a level into pieces, each of neighbours."""
        level, _, plans = self._plans[number]
        plans = plans.take(self._of[1, positions])
        runs = self._on_target.runs(positions, self._options)
        for some, source in neighbours(plans):
            yield _Piece(positions[some], level, source, plans.take(some), runs.of(some))

    @property
    def nbytes(self) -> int:
        """Bytes that it holds, about."""
        pieces = sum(piece.nbytes for _, pieces in [*self._known.values()] for piece in pieces)
        return self._on_target.nbytes + pieces


class TargetsOfZones:
    """The zones of a call on the lattices on which they are wanted, for the grids of some scenes."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Hashable, ...], ZonesOnTarget] = OrderedDict()
        self._wanted: dict[tuple[Hashable, ...], WantedGrid | None] = {}

    def of(
        self, relation: Relation, scene: Scene, source: BandSource, on_grid: OnGrid, context: ReadContext
    ) -> ZonesOnTarget | None:
        """The zones on the lattice of a band; None where each has pixels of its own size, or there is no lattice.

        Args:
            relation: of the zones.
            scene: of the band.
            source: the band.
            on_grid: those that meet its image.
            context: looks up a scene that they are aligned with.
        """
        header, options = source.header, relation.options.of_scene(scene.collection)
        if options.shape is not None:
            return None
        wanted = self._wanted_by(source, options, context)
        if wanted is None or wanted.lattice is None or not wanted.lattice.is_rectilinear:
            return None
        mask = header.validity.mask
        levels = tuple(
            (level.width, level.height, header.level_transform(number), mask is None or mask.levels[number] is not None)
            for number, level in enumerate(header.levels)
        )
        key = (id(on_grid), wanted, header.crs, levels, method_of(source, options), header.dtype.itemsize)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = ZonesOnTarget(
                on_grid, relation.geometries, wanted, source, relation.options, context.max_call_bytes
            )
            while len(self._known) > _MOST_GRIDS:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return known

    def _wanted_by(self, source: BandSource, options: PixelOptions, context: ReadContext) -> WantedGrid | None:
        """The lattice; None where there is none: then the read of each zone says why."""
        header = source.header
        key = options, header.crs, header.map_crs, header.transform, header.width, header.height
        if key not in self._wanted:
            read = RowRead(0, source.scene_id, (source,), Whole.IMAGE, options, context.report, [])
            try:
                self._wanted[key] = wanted_grid(read, context)
            except RasteretError:
                self._wanted[key] = None
        return self._wanted[key]

    @property
    def nbytes(self) -> int:
        """Bytes that they hold, about."""
        return sum(one.nbytes for one in [*self._known.values()])


def neighbours(plans: WarpPlans) -> Iterator[tuple[Numbers, Window]]:
    """Cut a list of targets, neighbours together, into parts that are near to each other.

    Returns:
        The numbers of some, and the window around their sources.
    """
    boxes = np.concatenate([plans.sources, plans.targets], 1)
    boxes[:, 2:4] += boxes[:, :2]
    boxes[:, 6:] += boxes[:, 4:6]
    begin, around = 0, boxes[0].tolist()
    for at, box in enumerate(boxes.tolist()):
        left, top, right, bottom, *target = around
        wider = [
            min(left, box[0]), min(top, box[1]), max(right, box[2]), max(bottom, box[3]),
            min(target[0], box[4]), min(target[1], box[5]), max(target[2], box[6]), max(target[3], box[7]),
        ]  # fmt: skip
        of_source, of_target = (
            (wider[first + 2] - wider[first]) * (wider[first + 3] - wider[first + 1]) for first in (0, 4)
        )
        if at > begin and max(of_source, of_target) > _MOST_TOGETHER:
            yield np.arange(begin, at), Window(left, top, right - left, bottom - top)
            begin, wider = at, box
        around = wider
    left, top, right, bottom = around[:4]
    yield np.arange(begin, len(boxes)), Window(left, top, right - left, bottom - top)


def _placed(geometries: Geometries, numbers: Numbers, wanted: WantedGrid) -> Placed:
    """Some geometries in the CRS of a lattice; None of those of which only the read of each tells why it has none."""
    placed = np.full(len(numbers), None, object)
    groups: dict[str, list[int]] = defaultdict(list)
    for at, number in enumerate(numbers.tolist()):
        groups[geometries.crs[number]].append(at)
    for given, members in groups.items():
        shapes = np.array(geometries.of(numbers[members].tolist()), object)
        moved = np.array(wanted.moved(shapes.tolist(), given), object)
        is_shape = shapely.is_geometry(moved)
        is_shape[is_shape] = ~shapely.is_empty(moved[is_shape])
        is_shape[is_shape] = are_all_places(shapes[is_shape], given)
        placed[np.array(members)[is_shape]] = moved[is_shape]
    return placed


class _PieceJob(GroupJob):
    """Reads the source of a piece, and computes the statistics of its zones from what each has of it."""

    def __init__(
        self, source: BandSource, options: PixelOptions, piece: _Piece, names: Sequence[str], context: ReadContext
    ) -> None:
        super().__init__(source)
        header = source.header
        transform = header.level_transform(piece.level)
        assert transform is not None  # else there is no piece
        read = RowRead(
            0,
            source.scene_id,
            (source,),
            piece.area(transform, header.levels[piece.level]),
            replace(options, overview=piece.level, clip=True),
            context.report,
            [],
        )
        plan = WindowPlan(read, piece.source, transform, header.dtype)
        self.memory = plan.nbytes + 16 * piece.count
        self._window: _PieceWindow | None = _PieceWindow(plan)
        self._piece, self._names = piece, names
        self._found: tuple[Statistics, Missing] | None = None

    def needs(self) -> Iterable[TileNeed]:
        assert self._window is not None
        return self._window.needs()

    def ahead(self) -> Sequence[Callable[[], object]]:
        """Find where the pixels of the zones lie; once for all scenes of a grid."""
        piece = self._piece
        return () if piece.is_placed else (lambda: piece.places,)

    def place(self, slot: int, tile: npt.NDArray[np.generic] | None) -> None:
        assert self._window is not None
        self._window.place(slot, tile)

    def finish(self) -> None:
        """Compute the pixels of the zones, and their statistics."""
        window, piece = self._window, self._piece
        assert window is not None
        window.finish()
        data, valid = window.pixels()[0], None if window.invalid is None else ~window.invalid[0]
        self._window = None
        of_piece = ScatteredWarp(Source(data, valid), piece.source, piece.plans, self._source.header.nodata)
        values, written = of_piece.values(piece.pixels(), piece.places)
        self._found = statistics_of_pixels(values, None if written.all() else ~written, piece.runs, self._names)

    def values(self) -> tuple[Statistics, Missing]:
        """Values of each zone, once all is read."""
        assert self._found is not None
        return self._found


class _PieceWindow(WindowJob):
    """Reads the source of a piece, without the tiles between those of its zones."""

    def parts(self, level: Level) -> list[TilePart]:
        parts, area = window_tiles(self.plan.window, level), self.area()
        assert area is not None and self.plan.grid is not None  # noqa: PT018 - of a piece
        return touched_parts(parts, area, self.plan.grid, self.plan.window, few=1)

    def _input_job(self, plan: WindowPlan, *, with_area: bool) -> WindowJob:
        return _PieceWindow(plan) if with_area else super()._input_job(plan, with_area=False)
