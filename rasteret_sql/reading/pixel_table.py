"""`PixelTable`: gives the pixels of scenes block by block, for a call that has a row for each pixel."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import FileChangedError, RasteretError
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.raster.scanline import polygon_mask
from rasteret_sql.reading.byte_limit import within_limit
from rasteret_sql.reading.changed_files import ChangedFiles, repeat_while_changed
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.options import PixelOptions, Whole
from rasteret_sql.reading.request import Request
from rasteret_sql.reading.resolve import resolve
from rasteret_sql.reading.tiles import blocks, touched_boxes
from rasteret_sql.reading.window_job import WindowJob, WindowPlan, check_memory, geometry_of, plan_window

Numbers = npt.NDArray[np.int64]
_BLOCK_PIXELS = 1 << 12
"""Tiles with fewer pixels are read several at a time."""
_MOST_AHEAD = 1 << 22
"""Pixels of a band that are read at a time, at most, unless more are asked for."""
_MOST_BYTES = 1 << 26
"""Bytes of pixels that wait to be asked for, at most, but for those of the last read."""
_RUN = 1 << 10
"""Pixels of a run, at most: DuckDB makes rows of up to 2048 runs at a time."""
_GRIDS = 8
"""Grids of which the blocks are known at a time; scenes come one after the other."""
_PLANS = 64
"""Scenes whose headers are at hand at a time."""
_MOST_MASK = 1 << 24
"""Pixels of a mask that is made at once for several blocks."""
_UNASKED = 8
"""One block in so many may be read before it is asked for, where all before it were."""


@dataclass(slots=True, eq=False)
class BlockGrid:
    """The blocks of whole tiles in which the pixels of a geometry lie on the images of one grid."""

    key: tuple[object, ...]
    """Equal for images of the same grid and tiles."""
    windows: list[Window]
    """Row by row; the part of each block inside the window of the geometry."""
    transform: Affine | None
    """Of the level that is read; None where the file is not georeferenced."""
    geometry: shapely.Geometry | None
    """In the CRS of the images; None where all pixels of the blocks count."""
    all_touched: bool
    pattern: npt.NDArray[np.bool_] | None = None
    """True for blocks that the statement asked for of the scene before."""
    _rows: dict[int, Window] = field(default_factory=dict)
    """First row → the window of all blocks that begin there."""
    _mask: tuple[Window, npt.NDArray[np.bool_]] | None = None
    """The part of the geometry's mask that was used last: that of a row of blocks, as a rule."""

    def __post_init__(self) -> None:
        for one in self.windows:
            first = self._rows.get(one.row_off, one)
            width = one.col_end - first.col_off
            self._rows[one.row_off] = Window(first.col_off, first.row_off, width, first.height)

    def runs(self, block: int) -> tuple[Numbers, Numbers, Numbers]:
        """Row and first column of each run inside its block, and its length."""
        window = self.windows[block]
        if self.geometry is None:
            first = np.arange(0, window.width, _RUN)
            rows = np.repeat(np.arange(window.height), len(first))
            return rows, np.tile(first, window.height), np.tile(np.minimum(_RUN, window.width - first), window.height)
        mask = self._mask_of(window, self.geometry)
        edges = np.zeros((window.height, window.width + 1), np.int8)
        edges[:, :-1] = mask
        edges[:, 1:] -= mask
        rows, starts = np.nonzero(edges == 1)
        lengths = np.nonzero(edges == -1)[1] - starts
        pieces = -(-lengths // _RUN)
        at = np.repeat(np.arange(len(rows)), pieces)
        shift = (np.arange(len(at)) - np.repeat(np.cumsum(pieces) - pieces, pieces)) * _RUN
        return rows[at], starts[at] + shift, np.minimum(_RUN, lengths[at] - shift)

    def _mask_of(self, window: Window, geometry: shapely.Geometry) -> npt.NDArray[np.bool_]:
        """The mask of a block. That of its row is made at once, so that edges are looked at once for all blocks of it.

        Where a row is too large for that, it is made for the block alone.
        """
        row = self._rows[window.row_off]
        if row.width * row.height > _MOST_MASK:
            row = window
        known = self._mask
        if known is None or known[0] != row:
            assert self.transform is not None  # a geometry is placed on georeferenced files only
            known = self._mask = row, polygon_mask(geometry, self.transform, row, self.all_touched)
        return known[1][:, window.col_off - row.col_off : window.col_end - row.col_off]


@dataclass(slots=True, eq=False)
class Part:
    """One scene of a statement."""

    scene_id: str
    first: int
    """Number of its first block in the table."""
    grid: BlockGrid
    asked: npt.NDArray[np.bool_]
    """True for blocks that the statement has asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The pixels of a block."""

    values: list[npt.NDArray[np.generic] | None]
    """Of each band, one after the other, row by row; None where it could not be read."""
    invalid: list[npt.NDArray[np.bool_] | None]
    """True where a pixel is not valid; None where all are."""

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return sum(0 if part is None else part.nbytes for part in (*self.values, *self.invalid))


class BlockJob(WindowJob):
    """Reads a band of a block."""

    failed = False

    def fail(self, error: Exception) -> bool:
        self.failed = True
        return self.plan.read.tolerates(error)


@dataclass(slots=True, eq=False)
class PixelTable:
    """The pixels of one geometry on many scenes, in blocks that are read when a statement asks for pixels of them.

    A block is a tile as a rule, so no tile is read of which no row is wanted. A statement asks for one block after the
    other, and says only by that which ones it wants. So blocks are read ahead where others show that they are wanted:
    the columns that it asked for in the row of blocks before, the blocks that it asked for of the scene before, and
    where it asked for all so far, an eighth of these.
    """

    geometry: shapely.Geometry | Whole | None
    crs: str
    bands: tuple[str | int, ...]
    options: PixelOptions
    function: str = "read_pixels"
    """What was called, for messages."""
    total: int = 0
    """Blocks found so far."""
    done: int = 0
    """Blocks asked for so far."""
    parts: list[Part] = field(default_factory=list)
    _firsts: list[int] = field(default_factory=list)
    _grids: OrderedDict[tuple[object, ...], BlockGrid] = field(default_factory=OrderedDict)
    _plans: OrderedDict[int, WindowPlan] = field(default_factory=OrderedDict)
    _blocks: OrderedDict[int, Block] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, scenes: Sequence[str], context: ReadContext) -> list[Part | None]:
        """Find the blocks of each scene; None where it misses the geometry.

        Raises:
            RasteretError: of a scene that cannot be read, unless `on_error` is 'null': then it is reported, and None.
        """
        plans = self._planned(scenes, context)
        context.receipt.saw(len(scenes))
        context.receipt.planned(len(plans))
        parts: list[Part | None] = [None] * len(scenes)
        with self._lock:
            for at, plan in plans.items():
                grid = self._grid(plan)
                part = Part(scenes[at], self.total, grid, np.zeros(len(grid.windows), bool))
                self.total += len(grid.windows)
                _keep(self._plans, len(self.parts), plan, _PLANS)
                self.parts.append(part)
                self._firsts.append(part.first)
                parts[at] = part
        return parts

    def _planned(self, scenes: Sequence[str], context: ReadContext) -> dict[int, WindowPlan]:
        """Position in `scenes` → the window of the geometry."""
        count = len(scenes)
        request = Request(
            scenes, [self.bands] * count, [self.geometry] * count, [self.crs] * count, [self.options] * count
        )
        found = {}
        for read in resolve(request, context):
            try:
                plan = plan_window(read)
            except RasteretError as error:
                if not read.tolerates(error):
                    raise
                continue
            if plan is not None:
                found[read.row] = plan
        return found

    def _grid(self, plan: WindowPlan) -> BlockGrid:
        """The blocks on the grid of a scene, known for every scene that has it."""
        key = _key(plan)
        known = self._grids.get(key) or _cut(plan)
        _keep(self._grids, key, known, _GRIDS)
        return known

    def part_of(self, number: int) -> tuple[int, int]:
        """The part that a block is of, and its position in the part."""
        part = bisect_right(self._firsts, number) - 1
        return part, number - self._firsts[part]

    def runs(self, numbers: Sequence[int]) -> tuple[list[int], npt.NDArray[np.int64]]:
        """Runs of the pixels of blocks that count.

        Returns:
            How many there are of each block; of each run the row and first column in the image, the position of its
            first pixel in the block, and its length, shape (4, runs).
        """
        counts: list[int] = []
        found: list[npt.NDArray[np.int64]] = []
        for number in numbers:
            part, at = self.part_of(number)
            grid = self.parts[part].grid
            window = grid.windows[at]
            rows, cols, lengths = grid.runs(at)
            found.append(np.stack([window.row_off + rows, window.col_off + cols, rows * window.width + cols, lengths]))
            counts.append(len(rows))
        return counts, np.concatenate([np.empty((4, 0), np.int64), *found], axis=1)

    def read(
        self, numbers: Numbers, offsets: Numbers, context: ReadContext, cancelled: Cancelled
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Values of pixels.

        Args:
            numbers: of the block of each.
            offsets: position of each in its block.
            context: what they are read with.
            cancelled: polled while waiting.

        Returns:
            Shape (pixels, bands), and True where a value is NULL.
        """
        values = np.empty((len(numbers), len(self.bands)))
        missing = np.zeros(values.shape, bool)
        borders = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
        wanted = {int(numbers[begin]) for begin in borders[:-1]} if len(numbers) else set()
        loaded = self._loaded(sorted(wanted), context, cancelled)
        for begin, end in pairwise(borders):
            if end == begin:
                continue
            block, at = loaded[int(numbers[begin])], offsets[begin:end]
            for band, pixels in enumerate(block.values):
                if pixels is None:
                    values[begin:end, band], missing[begin:end, band] = 0, True
                    continue
                values[begin:end, band] = pixels[at]
                invalid = block.invalid[band]
                if invalid is not None:
                    missing[begin:end, band] = invalid[at]
        return values, missing

    def _loaded(self, wanted: Sequence[int], context: ReadContext, cancelled: Cancelled) -> dict[int, Block]:
        """Some blocks; those that are not at hand are read, with others that will be wanted, too."""
        found: dict[int, Block] = {}
        lacking: dict[int, list[int]] = {}
        with self._lock:
            for number in wanted:
                part, at = self.part_of(number)
                self._ask(part, at)
                block = self._blocks.get(number)
                if block is not None:
                    found[number] = block
                else:
                    lacking.setdefault(part, []).append(at)
        for part, blocks_of in lacking.items():
            ahead = self._ahead(self.parts[part], blocks_of)
            read = self._read_part(part, [*blocks_of, *ahead], context, cancelled)
            first = self.parts[part].first
            found |= {first + at: read[at] for at in blocks_of}
            with self._lock:
                for at, block in read.items():
                    self._blocks[first + at] = block
                held = sum(block.nbytes for block in self._blocks.values())
                while held > _MOST_BYTES and len(self._blocks) > len(read):
                    held -= self._blocks.popitem(last=False)[1].nbytes
        return found

    def _ask(self, number: int, at: int) -> None:
        """Take note that a block of a part is asked for."""
        part = self.parts[number]
        if part.asked[at]:
            return
        if number and not part.asked.any() and self.parts[number - 1].grid is part.grid:
            part.grid.pattern = self.parts[number - 1].asked
        part.asked[at] = True
        self.done += 1

    def _ahead(self, part: Part, wanted: Sequence[int]) -> list[int]:
        """The blocks of a part to read with those that are wanted."""
        windows, last = part.grid.windows, max(wanted)
        asked = int(np.count_nonzero(part.asked))
        row = windows[last].row_off
        if part.grid.pattern is not None:
            likely = (last + 1 + np.flatnonzero(part.grid.pattern[last + 1 :])).tolist()[: 2 * asked]
        else:
            before = [at for at in np.flatnonzero(part.asked[:last]).tolist() if windows[at].row_off < row]
            above = windows[before[-1]].row_off if before else row
            columns = {windows[at].col_off for at in before if windows[at].row_off == above}
            likely = []
            for at in range(last + 1, len(windows)):
                if windows[at].row_off != row:
                    break
                if windows[at].col_off in columns:
                    likely.append(at)
            if part.asked[: last + 1].all():
                end = min(last + 1 + asked // _UNASKED, len(windows))
                likely = sorted({*likely, *range(last + 1, end)})
        pixels = sum(windows[at].width * windows[at].height for at in wanted)
        chosen = []
        for at in likely:
            pixels += windows[at].width * windows[at].height
            if pixels > _MOST_AHEAD:
                break
            if part.first + at not in self._blocks:
                chosen.append(at)
        return chosen

    def _read_part(
        self, number: int, blocks_of: Sequence[int], context: ReadContext, cancelled: Cancelled
    ) -> dict[int, Block]:
        """Read blocks of a part; again, with the headers that its files have now, where that is wanted."""
        windows = self.parts[number].grid.windows
        jobs: list[list[BlockJob]] = []

        def attempt(files: ChangedFiles) -> list[BandSource]:
            jobs.clear()
            plan = self._plan(number, files, context)
            if plan is None:
                return []
            again = any(source.address in files for source in plan.sources)
            options = replace(self.options, on_change="raise") if again else self.options
            read = replace(plan.read, geometry=Whole.IMAGE, options=options, report=context.report, changed=[])
            reads = [(replace(read, sources=(source,)), source.header.dtype) for source in plan.sources]
            jobs.extend(
                [BlockJob(WindowPlan(one, windows[at], plan.grid, dtype)) for one, dtype in reads] for at in blocks_of
            )
            every = [job for of_block in jobs for job in of_block]
            for job in every:
                check_memory(job.plan, context)
            with within_limit(self.options.max_bytes, lambda dry: dry.run(every, cancelled), context):
                context.engine.run(every, cancelled, receipt=context.receipt)
            return [one for row in read.changed for one in row.sources if one.address == row.changed_file]

        repeat_while_changed(attempt, context, cancelled)
        if not jobs:
            return dict.fromkeys(blocks_of, Block([None] * len(self.bands), [None] * len(self.bands)))
        return {at: _block(of_block) for at, of_block in zip(blocks_of, jobs, strict=True)}

    def _plan(self, number: int, files: ChangedFiles, context: ReadContext) -> WindowPlan | None:
        """The files of a part; None where they cannot be read any more and the call asks for NULL.

        Raises:
            RasteretError: they cannot be read any more, or lie on another grid than before.
        """
        part = self.parts[number]
        with self._lock:
            plan = self._plans.get(number)
        if plan is not None and not any(source.address in files for source in plan.sources):
            return plan
        plan = self._planned([part.scene_id], context).get(0)
        if plan is None:
            return None
        if _key(plan) != part.grid.key:
            moved = FileChangedError(
                f"{plan.read.describe()}: its file was changed while it was read, and lies on another grid now; run "
                "the statement again"
            )
            if not plan.read.options.tolerates(moved):
                raise moved
            plan.read.tell(moved)
            return None
        with self._lock:
            _keep(self._plans, number, plan, _PLANS)
        return plan


def _keep(kept: OrderedDict[Any, Any], key: object, value: object, most: int) -> None:
    """Put a value at the end of those that are kept, and drop the oldest of too many."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)


def _key(plan: WindowPlan) -> tuple[object, ...]:
    """Equal for images of which a geometry has the same pixels in the same tiles."""
    header = plan.sources[0].header
    level = header.levels[plan.level]
    return header.crs, plan.grid, level.width, level.height, level.tile_width, level.tile_height


def _cut(plan: WindowPlan) -> BlockGrid:
    """The blocks of a window that its geometry touches."""
    level = plan.sources[0].header.levels[plan.level]
    windows = list(blocks(plan.window, level.tile_width, level.tile_height, _BLOCK_PIXELS))
    geometry = geometry_of(plan.read)
    if geometry is not None and plan.grid is not None:
        spans = np.array([(one.col_off, one.row_off, one.col_end, one.row_end) for one in windows], np.float64)
        touched = touched_boxes(spans, geometry, plan.grid)
        windows = [one for one, keep in zip(windows, touched, strict=True) if keep]
    return BlockGrid(_key(plan), windows, plan.grid, geometry, plan.read.options.all_touched)


def _block(jobs: Sequence[BlockJob]) -> Block:
    """The pixels that the jobs of a block read, one a band."""
    return Block(
        [None if job.failed else job.pixels()[0].ravel() for job in jobs],
        [None if job.failed or job.invalid is None else job.invalid[0].ravel() for job in jobs],
    )
