"""`BlockGrid`: cuts the pixels of a geometry into blocks of whole tiles; `Block`: holds those that were read."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster.scanline import polygon_mask
from rasteret_sql.reading.target_job import TargetJob
from rasteret_sql.reading.target_part import cut, part_or_nothing
from rasteret_sql.reading.target_plan import ChipPlan, TargetPlan
from rasteret_sql.reading.tiles import blocks, touched_boxes
from rasteret_sql.reading.window_job import WindowJob
from rasteret_sql.reading.window_plan import WindowPlan, geometry_of

Numbers = npt.NDArray[np.int64]
_BLOCK_PIXELS = 1 << 12
"""Tiles with fewer pixels are read several at a time."""
_MOST_BYTES = 1 << 27
"""Bytes of pixels that wait to be asked for, at most."""
_SIDES = 64, 1024
"""Pixels on a side of a block of a target grid, at least and at most."""
_RUN = 1 << 10
"""Pixels of a run, at most: DuckDB makes rows of up to 2048 runs at a time."""
_MOST_MASK = 1 << 24
"""Pixels of a mask that is made at once for several blocks."""


@dataclass(slots=True, eq=False)
class BlockGrid:
    """The blocks in which the pixels of a geometry lie on the images of one grid, or on a target grid.

    They are whole tiles of the images; on a target grid squares.
    """

    key: tuple[object, ...]
    """Equal for images of the same grid and tiles."""
    windows: list[Window]
    """Row by row; the part of each block inside the window of the geometry. On a target grid from its first pixel."""
    transform: Affine | None
    """Of these windows; None where the file is not georeferenced."""
    geometry: shapely.Geometry | None
    """In the CRS of the images; None where all pixels of the blocks count."""
    all_touched: bool
    lattice: Affine | None
    """That in which rows and columns are numbered: the same, or of a target grid all of it."""
    origin: tuple[int, int]
    """Column and row of the first pixel of the windows in it."""
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

    def pixels(self, block: int) -> int:
        """Pixels of a block, also those that do not count."""
        return self.windows[block].width * self.windows[block].height

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


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The pixels of a block."""

    values: list[npt.NDArray[np.generic] | None]
    """Of each band, one after the other, row by row; None where it could not be read, or was only planned."""
    invalid: list[npt.NDArray[np.bool_] | None]
    """True where a pixel is not valid; None where all are."""

    def take(self, at: Numbers, values: npt.NDArray[np.float64], missing: npt.NDArray[np.bool_]) -> None:
        """Put the pixels at some positions into arrays of shape (pixels, bands)."""
        for band, (pixels, invalid) in enumerate(zip(self.values, self.invalid, strict=True)):
            if pixels is None:
                values[:, band], missing[:, band] = 0, True
                continue
            values[:, band] = pixels[at]
            if invalid is not None:
                missing[:, band] = invalid[at]

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return sum(0 if part is None else part.nbytes for part in (*self.values, *self.invalid))


class WaitingBlocks:
    """Blocks that wait to be asked for, the latest at the end. Nobody says when a statement ends, so they are few."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most_bytes
        self._held = 0
        self._blocks: OrderedDict[tuple[int, int], Block] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, table: int, number: int) -> Block | None:
        """A block of a table, None where it does not wait any more."""
        with self._lock:
            found = self._blocks.get((table, number))
            if found is not None:
                self._blocks.move_to_end((table, number))
            return found

    def put(self, table: int, number: int, block: Block) -> None:
        """Let a block wait; of too many bytes the blocks that were used the longest ago go."""
        with self._lock:
            before = self._blocks.pop((table, number), None)
            self._held += block.nbytes - (0 if before is None else before.nbytes)
            self._blocks[table, number] = block
            while self._held > self._most and len(self._blocks) > 1:
                self._held -= self._blocks.popitem(last=False)[1].nbytes

    def __len__(self) -> int:
        return len(self._blocks)


class _Read:
    """The end of a job that reads a band of a block."""

    plan: ChipPlan
    failed = False
    skipped = False

    def skip(self) -> None:
        self.skipped = True

    def fail(self, error: Exception) -> bool:
        self.failed = True
        return self.plan.read.tolerates(error)


class _WindowBlock(_Read, WindowJob):
    """On the grid of the file."""

    plan: WindowPlan


class _TargetBlock(_Read, TargetJob):
    """On a target grid."""

    plan: TargetPlan


BlockJob = _WindowBlock | _TargetBlock


def block_job(plan: ChipPlan, grid: BlockGrid, block: int) -> BlockJob:
    """The job that reads a block.

    Args:
        plan: of one band.
        grid: of the scene.
        block: number of the block in it.
    """
    window = grid.windows[block]
    if isinstance(plan, WindowPlan):
        return _WindowBlock(replace(plan, window=window))
    return _TargetBlock(part_or_nothing(plan, window.moved(*grid.origin)), None)


def grid_key(plan: ChipPlan) -> tuple[object, ...]:
    """Equal for images of which a geometry has the same pixels in the same blocks."""
    if isinstance(plan, TargetPlan):
        return plan.target.crs, plan.target.lattice, plan.target.window, _side(plan)
    header = plan.sources[0].header
    level = header.levels[plan.level]
    return header.crs, plan.grid, level.width, level.height, level.tile_width, level.tile_height


def _side(plan: TargetPlan) -> int:
    """Pixels on a side of the blocks of a target: about as many as a tile gives."""
    each = next(one for one in plan.warps if one)
    level = each.window.sources[0].header.levels[each.window.level]
    across, down = each.warp.scale
    return int(min(max(_SIDES[0], min(level.tile_width * across, level.tile_height * down)), _SIDES[1]))


def cut_blocks(plan: ChipPlan) -> BlockGrid:
    """The blocks of a window that its geometry touches."""
    geometry = geometry_of(plan.read)
    if isinstance(plan, TargetPlan):
        whole = plan.target.window
        origin = whole.col_off, whole.row_off
        windows = [one.moved(-origin[0], -origin[1]) for one in cut(whole, _side(plan))]
        lattice: Affine | None = plan.target.lattice
    else:
        level = plan.sources[0].header.levels[plan.level]
        origin, lattice = (0, 0), None if plan.transform is None else plan.grid
        windows = list(blocks(plan.window, level.tile_width, level.tile_height, _BLOCK_PIXELS))
    if geometry is not None and plan.grid is not None:
        spans = np.array([(one.col_off, one.row_off, one.col_end, one.row_end) for one in windows], np.float64)
        touched = touched_boxes(spans, geometry, plan.grid)
        windows = [one for one, keep in zip(windows, touched, strict=True) if keep]
    return BlockGrid(grid_key(plan), windows, plan.grid, geometry, plan.read.options.all_touched, lattice, origin)


def block_of(jobs: Sequence[BlockJob]) -> Block:
    """The pixels that the jobs of a block read, one a band."""
    lost = [job.failed or job.skipped for job in jobs]
    return Block(
        [None if no else job.pixels()[0].ravel() for job, no in zip(jobs, lost, strict=True)],
        [None if no or job.invalid is None else job.invalid[0].ravel() for job, no in zip(jobs, lost, strict=True)],
    )
