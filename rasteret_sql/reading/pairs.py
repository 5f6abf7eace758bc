"""Reads pairs of scenes and zones or points: those of a band together, and a part of the next ones with them."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import RasteretError
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.raster.edges import Floats
from rasteret_sql.raster.runs import Runs
from rasteret_sql.raster.window import point_positions
from rasteret_sql.raster.zone_statistics import Missing, Statistics
from rasteret_sql.reading.chips import read_chip
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.pixel_group import (
    MOST_PIXELS,
    DerivedGroup,
    RunsJob,
    statistics_job,
    statistics_of,
)
from rasteret_sql.reading.point_values import patches_of, point_values, runs_of_points
from rasteret_sql.reading.points import sample_point
from rasteret_sql.reading.relation import OnGrid, Relation
from rasteret_sql.reading.relation_geometries import Numbers
from rasteret_sql.reading.request import Request
from rasteret_sql.reading.run_rows import run_rows
from rasteret_sql.reading.zonal import zonal_hist, zonal_values

Parts = list[tuple[Numbers, Runs]]
"""Positions of geometries on a grid, and their runs."""
_MOST_AHEAD = 1 << 16
"""Pairs that are read at a time, at most, where a statement asks for one after the other."""
_MOST_WEIGHTED = 1 << 20
"""Pixels with weights of which statistics are computed at a time."""
_BLOCKS = 32
"""Bands of scenes of which pairs are read ahead at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Values of neighbouring pairs of a part."""

    places: Numbers
    """Position of each geometry among all that meet the part; -1 for those that do not."""
    begin: int
    """Position of the first pair."""
    values: Statistics
    """Shape (pairs, values)."""
    missing: Missing
    """True where a value is NULL, same shape."""
    known: npt.NDArray[np.bool_]
    """Shape (pairs,): False for those that are read one by one, when they are asked for."""

    @property
    def end(self) -> int:
        return self.begin + len(self.values)


class PairGroup(NamedTuple):
    """Pairs of a band that are read together."""

    job: RunsJob
    values: Callable[[], tuple[Statistics, Missing]]
    """Gives the values of each, shape (n, width), and which are NULL; once all is read."""


class PairReader(ABC):
    """Reads the pairs of one relation, for all calls of a statement.

    A statement asks for pairs scene by scene in the order of `OnGrid.numbers`, some at a time. Where it asks for one
    after the other, twice as many are read each time as before, and wait here.
    """

    def __init__(self, relation: Relation, width: int) -> None:
        """Read so many values of each pair."""
        self.relation = relation
        self._width = width
        self._blocks: OrderedDict[int, Block] = OrderedDict()
        self._ahead = 0
        """Pairs to read at the beginning of a scene."""
        self._begun: tuple[int, Future[Block | None]] | None = None
        """The part that comes next, which is read while the one before is handed out."""
        self._cut: OrderedDict[tuple[int, int, int], tuple[OnGrid, Numbers, list[tuple[Numbers, Runs]]]] = OrderedDict()
        """Parts that were read: the next scene mostly has the same."""
        self._lock = threading.Lock()

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
            parts: of the relation, of each.
            numbers: geometry of each, from 0.
            context: what they are read with.
            cancelled: polled while waiting.

        Returns:
            Shape (pairs, width), and True where a value is NULL.
        """
        if len(parts) and (parts == parts[0]).all():  # as a rule
            return self._read_part(int(parts[0]), numbers, context, cancelled)
        values = np.full((len(numbers), self._width), np.nan)
        missing = np.ones(values.shape, bool)
        for part in np.unique(parts).tolist():
            rows = np.flatnonzero(parts == part)
            values[rows], missing[rows] = self._read_part(part, numbers[rows], context, cancelled)
        return values, missing

    def _read_part(
        self, part: int, numbers: Numbers, context: ReadContext, cancelled: Cancelled
    ) -> tuple[Statistics, Missing]:
        """Values of pairs of one part."""
        with self._lock:
            block = self._blocks.get(part)
        if block is not None:
            offset = block.places[numbers] - block.begin
            if offset.min() >= 0 and offset.max() < len(block.values) and block.known[offset].all():
                return block.values[offset], block.missing[offset]
        values = np.full((len(numbers), self._width), np.nan)
        missing = np.ones(values.shape, bool)
        known = self._fill(part, block, numbers, values, missing, context, cancelled)
        if not known.all():
            rows = np.flatnonzero(~known)
            request = self.relation.request([part] * len(rows), numbers[rows].tolist())
            found = run_rows(self.one_by_one, request, context, cancelled)
            for row, of_row in zip(rows.tolist(), found.to_pylist(), strict=True):
                if of_row is not None:
                    values[row] = [np.nan if one is None else one for one in of_row]
                    missing[row] = [one is None for one in of_row]
        return values, missing

    def _fill(  # noqa: PLR0917 - arrays
        self,
        part: int,
        block: Block | None,
        numbers: Numbers,
        values: Statistics,
        missing: Missing,
        context: ReadContext,
        cancelled: Cancelled,
    ) -> npt.NDArray[np.bool_]:
        """Fill in values from the block at hand and from the next one; gives the pairs that are known then."""
        known = np.zeros(len(numbers), bool)
        with context.receipt.plan:
            sources = self._sources(part, context)
            if sources is None or not self._can_group(sources[0]):
                return known
            on_grid = self.relation.on_grid(sources, context)
        at = on_grid.places()[numbers]
        known |= at < 0  # a point that is on another band's image alone has no value
        lacking = ~known
        if block is not None:
            lacking &= ~_give(block, at, lacking, values, missing, known)
        if lacking.any():
            wanted = self._more(block, np.unique(at[lacking]), on_grid)
            block = self._begun_before(part, wanted) or self._block(wanted, sources[0], on_grid, context, cancelled)
            self._keep(part, block)
            if block.end == len(on_grid.numbers):  # a statement that read one scene to its end reads the next one, too
                self._begin_next(part, 2 * block.end, context, cancelled)
            _give(block, at, lacking, values, missing, known)
        return known

    def _can_group(self, source: BandSource) -> bool:
        """False where pairs are read one by one: where pixels depend on others around them, or are those of a grid."""
        return not self.relation.options.has_target and DerivedGroup.can_group(source)

    def _sources(self, part: int, context: ReadContext) -> tuple[BandSource, ...] | None:
        """The file of a part; None where it is not found any more."""
        scene, band = self.relation.parts[part]
        bands = self.relation.bands if band is None else (band,)
        found = self.relation.look_up([scene], [bands], context)[scene, bands]
        return None if isinstance(found, RasteretError) else found

    def _more(self, block: Block | None, wanted: Numbers, on_grid: OnGrid) -> Numbers:
        """The positions to read where some are wanted: more, if these go on from the block before."""
        begin, end = int(wanted[0]), int(wanted[-1]) + 1
        goes_on = begin == (0 if block is None else block.end) and len(wanted) == end - begin
        ahead = self._ahead if block is None else 2 * len(block.values)
        if not goes_on or ahead <= end - begin:
            return wanted
        return np.arange(begin, min(begin + min(ahead, _MOST_AHEAD), len(on_grid.numbers)))

    def _block(
        self, wanted: Numbers, source: BandSource, on_grid: OnGrid, context: ReadContext, cancelled: Cancelled
    ) -> Block:
        """Read the pairs at some positions."""
        begin = int(wanted[0])
        with context.receipt.plan:
            chosen = wanted[self.together(on_grid, wanted)]
        values = np.full((int(wanted[-1]) + 1 - begin, self._width), np.nan)
        missing = np.ones(values.shape, bool)
        known = np.zeros(len(values), bool)
        with context.receipt.plan:
            parts = self._parts(on_grid, chosen)
            groups = [(some - begin, self.group(source, on_grid, some, runs)) for some, runs in parts]
        # Without progress, which counts the pairs that were handed out.
        context.engine.run([group.job for _, group in groups], cancelled, receipt=context.receipt)
        with context.receipt.reduce:
            for rows, (job, found) in groups:
                # Else one by one: that tells which it concerns, and reads changed files again.
                if job.failure is None:
                    if not job.skipped:
                        values[rows], missing[rows] = found()
                    known[rows] = True
        return Block(on_grid.places(), begin, values, missing, known)

    def _parts(self, on_grid: OnGrid, positions: Numbers) -> Parts:
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
        with self._lock:
            self._cut[key] = on_grid, positions, parts  # holds the grid, so that no other one gets its identity
            while len(self._cut) > _BLOCKS:
                self._cut.popitem(last=False)
        return parts

    def _keep(self, part: int, block: Block) -> None:
        with self._lock:
            self._blocks[part] = block
            self._blocks.move_to_end(part)
            while len(self._blocks) > _BLOCKS:
                self._blocks.popitem(last=False)

    def _begin_next(self, part: int, ahead: int, context: ReadContext, cancelled: Cancelled) -> None:
        """Begin to read the part after one that was read to its end."""
        self._ahead = max(self._ahead, ahead)
        following = part + 1
        if following >= len(self.relation.parts):
            return

        def read() -> Block | None:
            sources = self._sources(following, context)
            if sources is None or not self._can_group(sources[0]):
                return None
            on_grid = self.relation.on_grid(sources, context)
            wanted = np.arange(min(self._ahead, _MOST_AHEAD, len(on_grid.numbers)))
            return self._block(wanted, sources[0], on_grid, context, cancelled) if len(wanted) else None

        begun = context.engine.begin(read)  # where it is only planned, it is done now
        with self._lock:
            self._begun = following, begun

    def _begun_before(self, part: int, wanted: Numbers) -> Block | None:
        """The block that was begun for a part, where it has all that is wanted."""
        with self._lock:
            begun = self._begun
            if begun is None or begun[0] != part:
                return None
            self._begun = None
        try:
            block = begun[1].result()
        except RasteretError:
            return None  # it is read again, and fails for the call that wants it
        return block if block is not None and block.begin <= wanted[0] and wanted[-1] < block.end else None


def _give(  # noqa: PLR0917 - arrays
    block: Block,
    at: Numbers,
    wanted: npt.NDArray[np.bool_],
    values: Statistics,
    missing: Missing,
    known: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Fill in those of the pairs that are wanted and in a block; gives which these are."""
    inside = wanted & (at >= block.begin) & (at < block.end)
    offset = at[inside] - block.begin
    values[inside], missing[inside], known[inside] = block.values[offset], block.missing[offset], block.known[offset]
    return inside


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
    bands = range(len(reader.relation.bands))
    of_bands = [reader.read(parts + band, numbers, context, cancelled) for band in bands]
    values, missing = (np.concatenate(side, axis=1) for side in zip(*of_bands, strict=True))
    return values, missing


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
