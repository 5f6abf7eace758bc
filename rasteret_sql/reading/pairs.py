"""Reads pairs of scenes and zones or points: those that are asked for together, and the next ones before they are."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.engine import cancel
from rasteret_sql.engine.cache import CacheShare
from rasteret_sql.errors import RasteretError
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.raster.edges import Floats
from rasteret_sql.raster.runs import Runs
from rasteret_sql.raster.window import point_positions
from rasteret_sql.raster.zone_statistics import Missing, Statistics
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.chips import read_chip
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.expected_pairs import ExpectedPairs, positions_of
from rasteret_sql.reading.pair_batch import AskedPairs, Block, PairBatch, PairGroup, PairValues
from rasteret_sql.reading.pixel_group import MOST_PIXELS, DerivedGroup, statistics_job, statistics_of
from rasteret_sql.reading.point_values import patches_of, point_values, runs_of_points
from rasteret_sql.reading.points import sample_point
from rasteret_sql.reading.read_ahead import Order, Place, ReadAhead, Span
from rasteret_sql.reading.relation import OnGrid, Relation
from rasteret_sql.reading.relation_geometries import Numbers
from rasteret_sql.reading.request import Request, Scene
from rasteret_sql.reading.resolve import check_level
from rasteret_sql.reading.run_rows import run_rows
from rasteret_sql.reading.tiles_again import bytes_again
from rasteret_sql.reading.zonal import zonal_hist, zonal_values
from rasteret_sql.reading.zones_on_target import TargetsOfZones, ZonesOnTarget

Parts = list[tuple[Numbers, Runs]]
"""Positions of geometries on a grid, and their runs."""
_MOST_WEIGHTED = 1 << 20
"""Pixels with weights of which statistics are computed at a time."""
_MOST_KEPT = 1 << 18
"""Pairs whose values wait to be asked for, at most."""
_MOST_CUT = 1 << 17
"""Pairs whose runs are known for the next scene, at most."""
_BATCHES = 3
"""Batches that are read ahead at a time."""
_LOOKED_AT = 64
"""Scenes whose files are looked up together, to be read ahead."""


class _File(NamedTuple):
    """The band of a part, and the geometries on its grid."""

    source: BandSource
    on_grid: OnGrid
    on_target: ZonesOnTarget | None
    """They on another grid, where one is asked for that they share."""


class PairReader(ABC):
    """Reads the pairs of one relation, for all calls of a statement.

    A statement asks for pairs scene by scene in the order of `OnGrid.numbers`, some at a time. All that it asks for at
    a time are read together, of whatever scenes. Where it asks for one after the other, the next ones are begun, and
    wait here.
    """

    def __init__(self, relation: Relation, width: int) -> None:
        """Read so many values of each pair."""
        self.relation = relation
        self.parts_ahead: int | None = None
        """Parts beyond which nothing is read before it is asked for; None: all that are known."""
        self._width = width
        self._bands = len(relation.bands) if relation.of_points else 1
        """Parts of a scene that are asked for together."""
        self._blocks: OrderedDict[int, Block] = OrderedDict()
        self._ahead = ReadAhead()
        self._expected = ExpectedPairs()
        self._begun: deque[tuple[PairBatch, Future[Iterable[Block]]]] = deque()
        """What is read before it is asked for."""
        self._files: dict[int, _File | None] = {}
        """Of the parts that are read; None where pairs are read one by one."""
        self._cut: OrderedDict[tuple[int, int, int], tuple[OnGrid, Numbers, Parts]] = OrderedDict()
        """Parts that were read: the next scene mostly has the same."""
        self._targets = TargetsOfZones()
        self._share: CacheShare | None = None
        """The part of the cache for its tiles: most are read once, and many scenes have many.

        Rows that ask for scenes in any order may have all of the cache: a cross join comes back to each scene.
        """
        self._has_room: set[Scene] = set()
        """Scenes of which the share has room for what comes up again."""
        self._lock = threading.RLock()

    @property
    def nbytes(self) -> int:
        """Bytes that the geometries and their pixels hold, about."""
        with self._lock:
            runs = [runs for _, _, parts in self._cut.values() for _, runs in parts]
            return self.relation.nbytes + sum(one.nbytes for one in runs) + self._targets.nbytes

    @abstractmethod
    def together(self, on_grid: OnGrid, positions: Numbers) -> npt.NDArray[np.bool_]:
        """Tell which of some geometries on a grid can be read together."""

    @abstractmethod
    def runs(self, on_grid: OnGrid, positions: Numbers) -> Runs:
        """Pixels of some of them."""

    @abstractmethod
    def group(self, source: BandSource, on_grid: OnGrid, positions: Numbers, runs: Runs) -> PairGroup:
        """Reads some of them, of which the pixels are known."""

    @abstractmethod
    def one_by_one(self, request: Request, context: ReadContext, cancelled: Cancelled) -> pa.Array:
        """DOUBLE[] of each row."""

    def read(
        self, parts: Numbers, numbers: Numbers, context: ReadContext, cancelled: Cancelled
    ) -> tuple[Statistics, Missing]:
        """Values of pairs.

        Args:
            parts: of the relation, of each; of points all those of the first band come before those of the next.
            numbers: geometry of each, from 0.
            context: what they are read with.
            cancelled: polled while waiting.

        Returns:
            Shape (pairs, width), and True where a value is NULL.
        """
        found = PairValues(len(numbers), self._width)
        if len(numbers):
            asked = [AskedPairs(part, rows, numbers[rows]) for part, rows in _by_part(parts)]
            with self._lock:
                left = self._give(asked, found)
                own = self._start(left, context, cancelled)
                begun = self._begun_for(left)
                # After its own, so that tiles are fetched in the order in which they are asked for.
                count = len(numbers) // self._bands
                self._begin_next(parts[:count] // self._bands, numbers[:count], context, cancelled)
            for batch, future in begun:
                left = self._take(batch, future, left, found)
            if own is not None:
                self._keep(own.finish(told=True))
                with self._lock:
                    self._give(left, found)
            cancel.check(cancelled)
        self._read_others(parts, numbers, found, context, cancelled)
        return found.values, found.missing

    def read_once(
        self, parts: Numbers, numbers: Numbers, context: ReadContext, cancelled: Cancelled
    ) -> tuple[PairValues, int]:
        """Values of the pairs that can be read together, of which nothing is kept; and how many of them meet."""
        found, met = PairValues(len(numbers), self._width), 0
        with self._lock:
            self._files.clear()  # a file may have been changed since the statement before
            asked = [AskedPairs(part, rows, numbers[rows]) for part, rows in _by_part(parts)]
            batch = self._start(asked, context, cancelled, in_order=False)
        if batch is not None:
            blocks = {block.part: block for block in batch.finish(told=True)}
            for one in asked:
                block = blocks.get(one.part)
                if block is not None:
                    block.give(one, found)
                    meets = block.places[one.numbers] >= 0
                    met += int(meets.sum())
                    if self.relation.options.has_target:  # its pixels may meet an image that the zone misses
                        found.known[one.rows[~meets]] = False
        return found, met

    def _read_others(
        self, parts: Numbers, numbers: Numbers, found: PairValues, context: ReadContext, cancelled: Cancelled
    ) -> None:
        """Read the pairs that are not known yet one by one."""
        rows = np.flatnonzero(~found.known)
        if not len(rows):
            return
        request = self.relation.request(parts[rows].tolist(), numbers[rows].tolist())
        values = run_rows(self.one_by_one, request, context, cancelled)
        for row, of_row in zip(rows.tolist(), values.to_pylist(), strict=True):
            if of_row is not None:
                found.values[row] = [np.nan if one is None else one for one in of_row]
                found.missing[row] = [one is None for one in of_row]

    def _give(self, asked: Sequence[AskedPairs], found: PairValues) -> list[AskedPairs]:
        """Fill in what is at hand; gives what is not."""
        left = []
        for one in asked:
            block = self._blocks.get(one.part)
            rest = one if block is None else block.give(one, found)
            if rest is not None:
                left.append(rest)
        return left

    def _start(
        self, asked: Sequence[AskedPairs], context: ReadContext, cancelled: Cancelled, *, in_order: bool = True
    ) -> PairBatch | None:
        """Begin to read pairs that nobody reads yet; None where there are none that can be read together."""
        self._look_up([one.part for one in asked], context)
        wanted = []
        for one in asked:
            file = self._files[one.part]
            if file is not None:
                at = file.on_grid.places()[one.numbers]
                at = np.unique(at[at >= 0])
                if not any(begun.covers(one.part, at) for begun, _ in self._begun):
                    wanted.append((one.part, file, at))
        return self._batch(wanted, context, cancelled, in_order=in_order) if wanted else None

    def _look_up(self, parts: Sequence[int], context: ReadContext) -> None:
        """Find the files of parts."""
        parts = [part for part in parts if part not in self._files]
        if not parts:
            return
        with context.receipt.plan:
            asked = {part: self._asked_of(part) for part in parts}
            scenes = list(dict.fromkeys(scene for scene, _ in asked.values()))
            bands = list(dict.fromkeys(bands for _, bands in asked.values()))
            found = self.relation.look_up(scenes, bands, context)
            for part, key in asked.items():
                sources = found[key]
                if not isinstance(sources, RasteretError):
                    check_level(sources[0], self.relation.options.level)
                # Pixels that depend on others around them are read one by one, and so what is not found any more.
                if isinstance(sources, RasteretError) or not DerivedGroup.can_group(sources[0]):
                    self._files[part] = None
                else:
                    self._files[part] = self._file(part, sources, context)

    def _file(self, part: int, sources: tuple[BandSource, ...], context: ReadContext) -> _File | None:
        """The file of a part; None where it has no grid on which its geometries are read together."""
        on_grid, on_target = self.relation.on_grid(sources, context), None
        if self.relation.options.has_target:
            on_target = self._targets.of(self.relation, self.relation.parts[part].scene, sources[0], on_grid, context)
            if on_target is None:
                return None
        return _File(sources[0], on_grid, on_target)

    def _asked_of(self, part: int) -> tuple[Scene, tuple[Asked, ...]]:
        scene, band = self.relation.parts[part]
        return scene, self.relation.bands if band is None else (band,)

    def _batch(
        self,
        wanted: Sequence[tuple[int, _File, Numbers]],
        context: ReadContext,
        cancelled: Cancelled,
        *,
        in_order: bool = True,
    ) -> PairBatch:
        """Begin to read some positions of parts, together."""
        if in_order:
            self._make_room([part for part, _, _ in wanted], context)
        batch = PairBatch(context, cancelled, self._share)
        with context.receipt.plan:
            for part, file, positions in wanted:
                block = Block(part, file.on_grid.places(), positions, PairValues(len(positions), self._width))
                batch.add(block, self._groups(file, positions, context))
        batch.start()
        return batch

    def _groups(self, file: _File, positions: Numbers, context: ReadContext) -> list[tuple[Numbers, PairGroup]]:
        """The groups of some positions of a file, without those that are read one by one."""
        source, on_grid, on_target = file
        if on_target is not None:
            chosen = positions[on_target.together(positions)]
            return [*on_target.groups(source, chosen, self.relation.statistics, context)]
        chosen = positions[self.together(on_grid, positions)]
        return [(some, self.group(source, on_grid, some, runs)) for some, runs in self._cuts(on_grid, chosen)]

    def _make_room(self, parts: Sequence[int], context: ReadContext) -> None:
        """Have the cache keep what comes up again of the scenes of some parts."""
        every, cache_bytes = self.relation.parts, context.engine.cache.max_bytes
        self._share = self._share or CacheShare.of(cache_bytes)
        for part in parts:
            scene = every[part].scene
            if scene in self._has_room:
                continue
            self._has_room.add(scene)
            others = range(part, min(part + len(self.relation.bands), len(every)))
            of_scene = [one for one in others if every[one].scene == scene]
            self._look_up(of_scene, context)
            bands = [file.source for one in of_scene if (file := self._files[one]) is not None]
            self._share.make_room(bytes_again(bands, self.relation.options, apart=self.relation.apart), cache_bytes)

    def _cuts(self, on_grid: OnGrid, positions: Numbers) -> Parts:
        """Positions in parts of which the pixels fit into memory, and their runs; the same ones for the next scene."""
        if not len(positions):
            return []
        key = (id(on_grid), int(positions[0]), len(positions))
        known = self._cut.get(key)
        if known is not None and np.array_equal(known[1], positions):
            return known[2]
        runs = self.runs(on_grid, positions)
        sizes = list(_of_size(runs.pixels, MOST_PIXELS if runs.weights is None else _MOST_WEIGHTED))
        if len(sizes) == 1:
            parts = [(positions, runs)]
        else:
            parts = [(positions[some], runs.of(np.arange(some.start, some.stop))) for some in sizes]
        if runs.weights is not None and len(runs.weights) > MOST_PIXELS:
            return parts  # too many to be kept
        self._cut[key] = on_grid, positions, parts  # holds the grid, so that no other one gets its identity
        held = sum(len(one[1]) for one in self._cut.values())
        while held > _MOST_CUT and len(self._cut) > 1:
            held -= len(self._cut.popitem(last=False)[1][1])
        return parts

    def _keep(self, blocks: Iterable[Block]) -> None:
        with self._lock:
            for block in blocks:
                self._blocks[block.part] = block
                self._blocks.move_to_end(block.part)
            kept = sum(len(one.positions) for one in self._blocks.values())
            while kept > _MOST_KEPT and len(self._blocks) > 1:
                kept -= len(self._blocks.popitem(last=False)[1].positions)

    def _begin_next(self, scenes: Numbers, numbers: Numbers, context: ReadContext, cancelled: Cancelled) -> None:
        """Begin to read the pairs that come next, where the statement asks for one after the other."""

        def grid_of(scene: int) -> OnGrid | None:
            file = self._first_file(scene, context)
            return None if file is None else file.on_grid

        positions = positions_of(scenes, numbers, grid_of)
        if positions is None:
            return

        def size(scene: int) -> int:
            on_grid = grid_of(scene)
            return 0 if on_grid is None else self._expected.size(on_grid)

        order = self._expected.ask(scenes, positions, grid_of)
        if order is not Order.NEXT:
            for batch, _ in self._begun:
                batch.drop()
            self._begun.clear()
        on_grid = grid_of(int(scenes[-1]))
        assert on_grid is not None  # it has positions
        at = int(np.searchsorted(self._expected.positions(on_grid), positions[-1]))
        self._ahead.ask(Place(int(scenes[-1]), at), len(numbers), order, size)
        for part in [part for part in self._files if part < scenes[-1] * self._bands]:
            del self._files[part]
        while len(self._begun) < _BATCHES and (spans := self._ahead.more(size)):
            batch = self._batch([one for span in spans for one in self._wanted(span)], context, cancelled)
            self._begun.append((batch, context.engine.begin(batch.finish)))

    def _first_file(self, scene: int, context: ReadContext) -> _File | None:
        """The file of a scene's first band; those of the next scenes are looked up with it."""
        part, most = scene * self._bands, len(self.relation.parts)
        if part not in self._files:
            if self.parts_ahead is not None:
                most = min(most, self.parts_ahead)
            self._look_up(range(part, min(part + _LOOKED_AT * self._bands, most)), context)
        return self._files.get(part)

    def _wanted(self, span: Span) -> Iterator[tuple[int, _File, Numbers]]:
        """The positions to read for a span, of each band."""
        begin = span.scene * self._bands
        first = self._files[begin]
        assert first is not None  # such a scene has no span
        for part in range(begin, begin + self._bands):
            file = self._files[part]
            if file is None:
                continue
            at = self._expected.positions(first.on_grid)[span.begin : span.end]
            if file.on_grid is not first.on_grid:  # a band of another resolution
                at = file.on_grid.places()[first.on_grid.numbers[at]]
                at = np.unique(at[at >= 0])
            yield part, file, at

    def _begun_for(self, asked: Sequence[AskedPairs]) -> list[tuple[PairBatch, Future[Iterable[Block]]]]:
        """Take out what was begun for some pairs, in the order in which it was."""
        with self._lock:
            found = [one for one in self._begun if any(one[0].has_some(each) for each in asked)]
            for one in found:
                self._begun.remove(one)
        return found

    def _take(
        self, batch: PairBatch, future: Future[Iterable[Block]], left: list[AskedPairs], found: PairValues
    ) -> list[AskedPairs]:
        """Wait for what was begun; gives the pairs that are still not there."""
        try:
            blocks = batch.finish() if future.cancel() else future.result()
        except RasteretError:
            return left  # these are read again, and that fails for the call that wants them
        self._keep(blocks)
        with self._lock:
            return self._give(left, found)


def _by_part(parts: Numbers) -> Iterator[tuple[int, Numbers]]:
    """Each part, and its rows."""
    if (parts == parts[0]).all():
        yield int(parts[0]), np.arange(len(parts))
        return
    order = np.argsort(parts, kind="stable")
    borders = np.flatnonzero(np.diff(parts[order])) + 1
    for rows in np.split(order, borders):
        yield int(parts[rows[0]]), rows


class ZoneReader(PairReader):
    """Reads the statistics of zones that `relation.statistics` names."""

    def __init__(self, relation: Relation) -> None:
        super().__init__(relation, len(relation.statistics))

    def together(self, on_grid: OnGrid, positions: Numbers) -> npt.NDArray[np.bool_]:
        return on_grid.are_small_zones(positions)

    def runs(self, on_grid: OnGrid, positions: Numbers) -> Runs:
        return on_grid.runs(positions, self.relation.options)

    def group(self, source: BandSource, on_grid: OnGrid, positions: Numbers, runs: Runs) -> PairGroup:  # noqa: ARG002
        names = self.relation.statistics
        job = statistics_job(source, self.relation.options, names, runs)
        return PairGroup(job, lambda: statistics_of(job, names))

    def one_by_one(self, request: Request, context: ReadContext, cancelled: Cancelled) -> pa.Array:
        return zonal_values(request, context, cancelled, self.relation.statistics)


class PointReader(PairReader):
    """Reads the values at points: of the pixels that hold them, or between pixels."""

    def __init__(self, relation: Relation) -> None:
        super().__init__(relation, 1)

    def together(self, on_grid: OnGrid, positions: Numbers) -> npt.NDArray[np.bool_]:  # noqa: ARG002
        return np.full(len(positions), self.relation.options.max_distance_pixels == 0)

    def runs(self, on_grid: OnGrid, positions: Numbers) -> Runs:
        x, y = self._places(on_grid, positions)
        return runs_of_points(patches_of(self.relation.options, x, y, on_grid.size), x, y)

    def group(self, source: BandSource, on_grid: OnGrid, positions: Numbers, runs: Runs) -> PairGroup:
        found = point_values(source, self.relation.options, *self._places(on_grid, positions), runs)

        def values() -> tuple[Statistics, Missing]:
            values, missing = found.values()
            return values[:, None], missing[:, None]

        return PairGroup(found.job, values)

    def _places(self, on_grid: OnGrid, positions: Numbers) -> tuple[Floats, Floats]:
        """Columns and rows of some points; where they have those of their pixels, these."""
        if self.relation.options.interpolation is None:
            cols, rows = on_grid.windows[positions, 0], on_grid.windows[positions, 1]
            return cols.astype(np.float64), rows.astype(np.float64)
        xy = on_grid.placed[positions]
        return point_positions(xy[:, 0], xy[:, 1], on_grid.transform)

    def one_by_one(self, request: Request, context: ReadContext, cancelled: Cancelled) -> pa.Array:
        values = sample_point(request, context, cancelled)
        return pa.ListArray.from_arrays(pa.array(np.arange(len(request) + 1), pa.int32()), values)


def samples_of(
    reader: PairReader, parts: Numbers, numbers: Numbers, context: ReadContext, cancelled: Cancelled
) -> tuple[Statistics, Missing]:
    """Values of points, shape (pairs, bands), and which are NULL; `parts` are those of the first band."""
    bands = len(reader.relation.bands)
    of_bands = np.concatenate([parts + band for band in range(bands)])
    values, missing = reader.read(of_bands, np.tile(numbers, bands), context, cancelled)
    return values.reshape(bands, len(parts)).T, missing.reshape(bands, len(parts)).T


def chips_of(
    relation: Relation, parts: Numbers, numbers: Numbers, context: ReadContext, cancelled: Cancelled
) -> pa.Array:
    """The chip of each pair."""
    return run_rows(read_chip, relation.request(parts.tolist(), numbers.tolist()), context, cancelled)


def histograms_of(
    relation: Relation, parts: Numbers, numbers: Numbers, context: ReadContext, cancelled: Cancelled
) -> pa.Array:
    """The pixels of each value of each pair, as a MAP."""
    return run_rows(zonal_hist, relation.request(parts.tolist(), numbers.tolist()), context, cancelled)


def _of_size(pixels: Numbers, most: int) -> Iterator[slice]:
    """Cut a list of geometries into parts of about so many pixels at most."""
    reach = np.cumsum(pixels) // most
    borders = [0, *(np.flatnonzero(np.diff(reach)) + 1).tolist(), len(pixels)]
    for begin, end in pairwise(borders):
        if end > begin:
            yield slice(begin, end)
