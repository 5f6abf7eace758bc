"""`PixelTable`: gives the pixels of scenes block by block, for a call that has a row for each pixel."""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import FileChangedError, RasteretError
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.byte_limit import within_limit
from rasteret_sql.reading.changed_files import ChangedFiles, repeat_while_changed
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.derived_band import files_of
from rasteret_sql.reading.options import PixelOptions, Whole
from rasteret_sql.reading.pixel_blocks import (
    Block,
    BlockGrid,
    BlockJob,
    Numbers,
    WaitingBlocks,
    block_job,
    block_of,
    cut_blocks,
    grid_key,
)
from rasteret_sql.reading.request import Request, RowRead, Scene
from rasteret_sql.reading.resolve import resolve
from rasteret_sql.reading.target_plan import ChipPlan, TargetPlan, check_memory, plan_chip

_MOST_AHEAD = 1 << 22
"""Pixels of a band that are read at a time, at most, unless more are asked for."""
_GRIDS = 8
"""Grids of which the blocks are known at a time; scenes come one after the other."""
_PLANS = 256
"""Scenes whose headers are at hand at a time."""
_UNASKED = 8
"""One block in so many may be read before it is asked for, where all before it were."""
_KEYS = itertools.count()


@dataclass(slots=True, eq=False)
class Part:
    """One scene of a statement."""

    scene: Scene
    first: int
    """Number of its first block in the table."""
    grid: BlockGrid
    names: tuple[str, ...]
    """Of its bands."""
    asked: npt.NDArray[np.bool_]
    """True for blocks that the statement has asked for."""


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
    bands: tuple[Asked, ...]
    options: PixelOptions
    waiting: WaitingBlocks
    """Where blocks wait until pixels of them are asked for; of all statements together."""
    function: str = "read_pixels"
    """What was called, for messages."""
    total: int = 0
    """Blocks found so far."""
    done: int = 0
    """Blocks asked for so far."""
    key: int = field(default_factory=lambda: next(_KEYS))
    """Its own among all tables of the process."""
    parts: list[Part] = field(default_factory=list)
    _firsts: list[int] = field(default_factory=list)
    _grids: OrderedDict[tuple[object, ...], BlockGrid] = field(default_factory=OrderedDict)
    _plans: OrderedDict[int, ChipPlan] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, scenes: Sequence[Scene], context: ReadContext) -> list[Part | None]:
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
                names = tuple(source.band for source in plan.sources)
                part = Part(scenes[at], self.total, grid, names, np.zeros(len(grid.windows), bool))
                self.total += len(grid.windows)
                _keep(self._plans, len(self.parts), plan, _PLANS)
                self.parts.append(part)
                self._firsts.append(part.first)
                parts[at] = part
        return parts

    def _planned(self, scenes: Sequence[Scene], context: ReadContext) -> dict[int, ChipPlan]:
        """Position in `scenes` → the window of the geometry."""
        count = len(scenes)
        options = {collection: self.options.of_scene(collection) for collection in {one.collection for one in scenes}}
        request = Request(
            [scene.id for scene in scenes],
            [self.bands] * count,
            [self.geometry] * count,
            [self.crs] * count,
            [options[scene.collection] for scene in scenes],
        )
        found = {}
        for read in resolve(request, context, on_map=True):
            try:
                plan = plan_chip(read)
            except RasteretError as error:
                if not read.tolerates(error):
                    raise
                continue
            if plan is not None:
                found[read.row] = plan
        return found

    def _grid(self, plan: ChipPlan) -> BlockGrid:
        """The blocks on the grid of a scene, known for every scene that has it."""
        key = grid_key(plan)
        known = self._grids.get(key) or cut_blocks(plan)
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
            col, row = window.col_off + grid.origin[0], window.row_off + grid.origin[1]
            found.append(np.stack([row + rows, col + cols, rows * window.width + cols, lengths]))
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
        spans: dict[int, list[slice]] = {}
        for begin, end in pairwise(borders):
            if end > begin:
                spans.setdefault(int(numbers[begin]), []).append(slice(begin, end))
        for some in self._in_memory(sorted(spans)):
            for number, block in self._loaded(some, context, cancelled).items():
                for span in spans[number]:
                    block.take(offsets[span], values[span], missing[span])
        return values, missing

    def load(self, numbers: Sequence[int], context: ReadContext, cancelled: Cancelled) -> None:
        """Ask for some blocks, as `read` does."""
        for some in self._in_memory(sorted(numbers)):
            self._loaded(some, context, cancelled)

    def _in_memory(self, wanted: Sequence[int]) -> Iterator[list[int]]:
        """Cut a list of blocks into such that can be in memory together."""
        some: list[int] = []
        pixels = 0
        for number in wanted:
            part, at = self.part_of(number)
            size = self.parts[part].grid.pixels(at)
            if some and pixels + size > _MOST_AHEAD:
                yield some
                some, pixels = [], 0
            some.append(number)
            pixels += size
        if some:
            yield some

    def _loaded(self, wanted: Sequence[int], context: ReadContext, cancelled: Cancelled) -> dict[int, Block]:
        """Some blocks; those that are not at hand are read together, with others that will be wanted, too."""
        found: dict[int, Block] = {}
        lacking: dict[int, list[int]] = {}
        with self._lock:
            for number in wanted:
                part, at = self.part_of(number)
                self._ask(part, at)
                block = self.waiting.get(self.key, number)
                if block is not None:
                    found[number] = block
                else:
                    lacking.setdefault(part, []).append(at)
        if not lacking:
            return found
        last = max(lacking)
        ahead = [(last, at) for at in self._ahead(self.parts[last], lacking[last])]
        asked = [(part, at) for part, of_part in lacking.items() for at in of_part]
        for (part, at), block in self._read_blocks([*asked, *ahead], context, cancelled).items():
            number = self.parts[part].first + at
            self.waiting.put(self.key, number, block)
            found[number] = block
        return {number: found[number] for number in wanted}

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
        pixels = sum(map(part.grid.pixels, wanted))
        chosen = []
        for at in likely:
            pixels += part.grid.pixels(at)
            if pixels > _MOST_AHEAD:
                break
            if self.waiting.get(self.key, part.first + at) is None:
                chosen.append(at)
        return chosen

    def _read_blocks(
        self, wanted: Sequence[tuple[int, int]], context: ReadContext, cancelled: Cancelled
    ) -> dict[tuple[int, int], Block]:
        """Read blocks: each a part and a position in it; again, with new headers of changed files, where that is asked.

        Those of a part that cannot be read any more have no pixels, where the call asks for NULL.
        """
        jobs: dict[tuple[int, int], list[BlockJob]] = {}

        def attempt(files: ChangedFiles) -> list[BandSource]:
            jobs.clear()
            changed: list[RowRead] = []
            plans = self._plans_of({part for part, _ in wanted}, files, context)
            of_bands = {part: self._of_bands(plan, files, context, changed) for part, plan in plans.items()}
            for part, at in wanted:
                if part in plans:
                    jobs[part, at] = [block_job(one, self.parts[part].grid, at) for one in of_bands[part]]
            every = [job for of_block in jobs.values() for job in of_block]
            for job in every:
                check_memory(job.plan, context)
            with within_limit(self.options.max_bytes, lambda dry: dry.stream(every, cancelled), context):
                context.engine.stream(every, cancelled, receipt=context.receipt)
            return [one for row in changed for one in files_of(row.sources) if one.address == row.changed_file]

        repeat_while_changed(attempt, context, cancelled)
        nothing = Block([None] * len(self.bands), [None] * len(self.bands))
        return {place: block_of(jobs[place]) if place in jobs else nothing for place in wanted}

    def _of_bands(
        self, plan: ChipPlan, files: ChangedFiles, context: ReadContext, changed: list[RowRead]
    ) -> list[ChipPlan]:
        """The plans of a scene, one a band; a file that is changed again after its header was read is an error."""
        again = any(source.address in files for source in files_of(plan.sources))
        options = replace(self.options, on_change="raise") if again else self.options
        read = replace(plan.read, geometry=Whole.IMAGE, options=options, report=context.report, changed=changed)
        plans: list[ChipPlan] = []
        for band, source in enumerate(plan.sources):
            of_band, dtype = replace(read, sources=(source,)), source.header.dtype
            if isinstance(plan, TargetPlan):
                plans.append(replace(plan, read=of_band, dtype=dtype, warps=(plan.warps[band],)))
            else:
                plans.append(replace(plan, read=of_band, dtype=dtype))
        return plans

    def _plans_of(self, parts: Iterable[int], files: ChangedFiles, context: ReadContext) -> dict[int, ChipPlan]:
        """The files of parts, without those that cannot be read any more where the call asks for NULL.

        Raises:
            RasteretError: one cannot be read any more, or lies on another grid than before.
        """
        with self._lock:
            plans = {part: self._plans[part] for part in parts if part in self._plans}
        stale = [
            part for part, plan in plans.items() if any(source.address in files for source in files_of(plan.sources))
        ]
        lost = [part for part in parts if part not in plans or part in stale]
        if not lost:
            return plans
        found = self._planned([self.parts[part].scene for part in lost], context)
        for at, part in enumerate(lost):
            plans.pop(part, None)
            if at in found and self._is_on_its_grid(found[at], self.parts[part]):
                plans[part] = found[at]
        with self._lock:
            for part in lost:
                if part in plans:
                    _keep(self._plans, part, plans[part], _PLANS)
        return plans

    @staticmethod
    def _is_on_its_grid(plan: ChipPlan, part: Part) -> bool:
        """False where a file lies on another grid than before, and the call asks for NULL; else that is an error."""
        if grid_key(plan) == part.grid.key:
            return True
        moved = FileChangedError(
            f"{plan.read.describe()}: its file was changed while it was read, and lies on another grid now; run the "
            "statement again"
        )
        if not plan.read.options.tolerates(moved):
            raise moved
        plan.read.tell(moved)
        return False


def _keep(kept: OrderedDict[Any, Any], key: object, value: object, most: int) -> None:
    """Put a value at the end of those that are kept, and drop the oldest of too many."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)
