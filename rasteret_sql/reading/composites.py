"""Reads the composites of a mosaic: block by block, scene by scene, some scenes of all blocks at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.engine.forecast import Forecast
from rasteret_sql.errors import FileChangedError, MemoryLimitError, RasteretError
from rasteret_sql.geo.grid import Window
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.raster.composite import Mask, Pixels, Reducer, held_bytes, reducer
from rasteret_sql.raster.scanline import polygon_mask
from rasteret_sql.raster.warp.output import off_nodata
from rasteret_sql.reading.changed_files import ChangedFiles, repeat_while_changed
from rasteret_sql.reading.chip_column import Chip, chip_column
from rasteret_sql.reading.composite_block import CompositeBlock, SceneJob
from rasteret_sql.reading.composite_waves import Bounds, CompositeWaves
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.derived_band import files_of
from rasteret_sql.reading.mosaic import Composite, Mosaic
from rasteret_sql.reading.request import RowRead
from rasteret_sql.reading.target_part import cut, part_of, with_edges
from rasteret_sql.reading.target_plan import TargetPlan, plan_target
from rasteret_sql.reading.window_plan import fill_value, geometry_of
from rasteret_sql.result_types import COMPOSITE

_SCENES_BYTES = 48 * 1024 * 1024
"""Bytes of scenes that are held at a time."""
_VALUES_BYTES = 128 * 1024 * 1024
"""Bytes of all values of blocks whose median is taken that are held at a time."""
_SIDE = 1024
"""Pixels on a side of a block: two of the usual tiles. Blocks lie along multiples of it."""
_FIRST_SCENES = 4
"""Scenes of a block that are read at first, where the first valid pixel counts; then twice as many, and so on."""


class Made(NamedTuple):
    """A composite."""

    pixels: Pixels
    """Shape (bands, height, width)."""
    valid: Mask
    """The same shape."""
    scenes: int
    """How many gave a pixel."""


def read_composites(
    mosaic: Mosaic, numbers: Sequence[int], context: ReadContext, cancelled: Cancelled
) -> list[Made | None]:
    """Make some composites of a mosaic.

    Args:
        mosaic: Has them.
        numbers: Of the composites.
        context: What they are read with.
        cancelled: The call's flag.

    Returns:
        None where no scene gives a pixel.

    Raises:
        MemoryLimitError: before any request, where a composite takes more than `max_call_bytes`.
    """
    for number in numbers:
        _check_memory(mosaic, mosaic.composites[number], context)
    run: _Run

    def attempt(_: ChangedFiles) -> list[BandSource]:
        nonlocal run
        run = _Run(mosaic, numbers, context, cancelled)
        run.read()
        return run.changed_files()

    files = repeat_while_changed(attempt, context, cancelled)
    run.settle(files)
    return run.made()


def _check_memory(mosaic: Mosaic, composite: Composite, context: ReadContext) -> None:
    read = mosaic.places[composite.zone]
    assert read.target is not None
    window = read.target.window
    values = 0
    if mosaic.method != "median":
        values = held_bytes(mosaic.method, (len(read.sources), *window.shape), mosaic.dtype, 0)
    needed = mosaic.chip_bytes(composite.zone) + values
    if needed > context.max_call_bytes:
        raise MemoryLimitError(
            f"{read.describe()}: the composite of {window.width} × {window.height} pixels needs {needed:,} bytes at "
            f"once, more than max_call_bytes = {context.max_call_bytes:,}; nothing was fetched. Use a coarser "
            "resolution :=, a smaller geometry, or connect(max_call_bytes=...)"
        )


class _Run:
    """One read of some composites."""

    def __init__(self, mosaic: Mosaic, numbers: Sequence[int], context: ReadContext, cancelled: Cancelled) -> None:
        self._mosaic = mosaic
        self._context = context
        self._cancelled = cancelled
        self._is_dry = isinstance(context.engine, Forecast)
        self._changed: list[RowRead] = []
        composites = [mosaic.composites[number] for number in numbers]
        self._sources = self._look_up({scene for one in composites for scene in one.scenes.tolist()})
        self._reads = [_Composite(mosaic, one) for one in composites]

    def _look_up(self, scenes: set[int]) -> dict[int, tuple[BandSource, ...]]:
        """The files of scenes; those that have none any more were reported."""
        relation, known = self._mosaic.relation, self._mosaic.scenes
        # Taken, not kept: where a file was changed they are looked up anew.
        files = self._mosaic.files
        at_hand = {scene: taken for scene in scenes if (taken := files.pop(scene, None)) is not None}
        order = sorted(scenes - at_hand.keys())
        found = relation.look_up([known[scene] for scene in order], [relation.bands], self._context) if order else {}
        answers = {scene: found[known[scene], relation.bands] for scene in order}
        return at_hand | {scene: files for scene, files in answers.items() if not isinstance(files, RasteretError)}

    def read(self) -> None:
        """Read all."""
        todo = [(read, block) for read in self._reads for block in read.blocks]
        most = _FIRST_SCENES if self._mosaic.method in ("first", "last") else 0
        while todo:
            self._read_some(todo, most)
            todo = [(read, block) for read, block in todo if not block.done]
            most *= 2

    def _read_some(self, todo: Sequence[tuple[_Composite, CompositeBlock]], most: int) -> None:
        """Read some scenes of each block, or all of them where there is no number."""
        reads = {id(block): read for read, block in todo}

        def end(block: CompositeBlock) -> None:
            if block.done and not self._is_dry:
                reads[id(block)].end(block)

        ends = [min(block.next + (most or block.scenes), block.scenes) for _, block in todo]
        bounds = Bounds(_SCENES_BYTES, _VALUES_BYTES)
        with CompositeWaves(self._context, self._cancelled, bounds, end, self._mosaic.share) as waves:
            waves.total = sum(ends) - sum(block.next for _, block in todo)
            for (read, block), last in zip(todo, ends, strict=True):
                waves.begin(block, read.held_bytes(block))
                for number in range(block.next, last):
                    job = self._job(read, block, number)
                    block.next = number + 1
                    if job is None:
                        block.take(number, None)
                        waves.total -= 1
                    else:
                        waves.add(job)
                waves.close(block)

    def _job(self, read: _Composite, block: CompositeBlock, number: int) -> SceneJob | None:
        """Read a scene for a block; None where it has nothing there."""
        if block.complete:
            return None
        scene = int(read.composite.scenes[number])
        plans = read.plans.get(scene)
        if plans is None:
            with self._context.receipt.plan:
                plans = read.plans[scene] = self._plans(read, scene)
        parts = [part_of(plan, block.window) for plan in plans]
        if self._mosaic.reads_files_once:
            whole = block.window if read.has_strips and self._is_beyond_share else read.whole
            parts = [None if part is None else with_edges(part, whole) for part in parts]
        some = [part for part in parts if part is not None]
        if not parts or len(some) < len(parts):
            return None
        return SceneJob(block, number, some, lambda: read.plans.update({scene: ()}))

    @property
    def _is_beyond_share(self) -> bool:
        """True where tiles that all strips of a block need are gone before the next one: none is worth keeping."""
        share = self._mosaic.share
        return share is not None and self._mosaic.tile_bytes > share.max_bytes

    def _plans(self, read: _Composite, scene: int) -> tuple[TargetPlan, ...]:
        """The whole target on a scene: of the pixels, and of the scores; none where it misses them."""
        sources = self._sources.get(scene)
        if sources is None:
            return ()
        mosaic, target = self._mosaic, read.place.target
        assert target is not None
        row = mosaic.row(mosaic.scenes[scene], sources, self._context)
        row = replace(
            row,
            # It is a value of the composite, and need be none of a scene whose dtype is a smaller one.
            options=replace(row.options, fill=None),
            geometry=read.place.geometry,
            target=target,
            changed=self._changed,
        )
        pixels = mosaic.pixel_bands(sources)
        plans = []
        try:
            for some in (pixels, sources[len(pixels) :]):
                plan = plan_target(replace(row, sources=some), target) if some else None
                if plan is None and some:
                    return ()
                if plan is not None:
                    plans.append(plan)
        except RasteretError as error:
            if not row.tolerates(error):
                raise
            return ()
        return tuple(plans)

    def changed_files(self) -> list[BandSource]:
        """Bands whose files are not those that were indexed."""
        return [one for read in self._changed for one in files_of(read.sources) if one.address == read.changed_file]

    def settle(self, files: ChangedFiles) -> None:
        """Raise, or report, that a file was changed and cannot be read all the same."""
        for read in self._changed:
            why = files.failure(read.changed_file)
            error = FileChangedError(
                f"{read.describe()}: a file was changed since it was indexed, and "
                + (f"has no header that can be read: {why}" if why else "again while it was read: try later")
            )
            if not read.options.tolerates(error):
                raise error
            read.tell(error)

    def made(self) -> list[Made | None]:
        """The composites."""
        return [read.made() for read in self._reads]


class _Composite:
    """A composite that is read."""

    def __init__(self, mosaic: Mosaic, composite: Composite) -> None:
        self.composite = composite
        self.place = mosaic.places[composite.zone]
        self.plans: dict[int, tuple[TargetPlan, ...]] = {}
        """Of the scenes that were planned."""
        self._mosaic = mosaic
        assert self.place.target is not None
        self._target = self.place.target
        self._gave = np.zeros(len(composite.scenes), bool)
        self.has_strips = False
        """True where blocks were cut since their values do not fit."""
        self._pixels: Pixels | None = None
        self._valid: Mask | None = None
        self.blocks = list(self._cut())

    @property
    def whole(self) -> Window:
        """The pixels of the target."""
        return self._target.window

    @property
    def _shape(self) -> tuple[int, int, int]:
        return len(self.place.sources), self._target.window.height, self._target.window.width

    def _cut(self) -> Iterator[CompositeBlock]:
        """The blocks that have pixels of the geometry."""
        scenes = len(self.composite.scenes)
        for square in cut(self._target.window, _SIDE):
            for window in self._strips(square, scenes):
                inside = self._inside(window)
                if inside is None or inside.any():
                    shape = len(self.place.sources), window.height, window.width
                    make = partial(reducer, self._mosaic.method, shape, self._mosaic.dtype, inside, scenes)
                    yield CompositeBlock(window, scenes, make)

    def _strips(self, square: Window, scenes: int) -> Iterator[Window]:
        """Cut a square into strips of which all values of a median can be held."""
        rows = square.height
        if self._mosaic.method == "median":
            of_row = held_bytes("median", (len(self.place.sources), 1, square.width), self._mosaic.dtype, scenes)
            rows = max(_VALUES_BYTES // of_row, 1)
            self.has_strips |= rows < square.height
        for row in range(square.row_off, square.row_end, rows):
            yield Window(square.col_off, row, square.width, min(rows, square.row_end - row))

    def _inside(self, window: Window) -> Mask | None:
        """True for pixels of the geometry; None where all are wanted."""
        geometry = geometry_of(self.place)
        if geometry is None:
            return None
        own = self._target.window
        part = Window(window.col_off - own.col_off, window.row_off - own.row_off, window.width, window.height)
        inside = polygon_mask(geometry, self._target.transform, part, self.place.options.all_touched)
        return None if inside.all() else inside

    def held_bytes(self, block: CompositeBlock) -> int:
        """Bytes that a block holds beside the result, of scenes that are not in flight."""
        if self._mosaic.method != "median":
            return 0
        shape = len(self.place.sources), block.window.height, block.window.width
        return held_bytes("median", shape, self._mosaic.dtype, block.scenes)

    def end(self, block: CompositeBlock) -> None:
        """Take the pixels of a block that is done."""
        made = block.end()
        if made is None:
            return
        pixels, valid = self._finished(made)
        self._gave |= made.gave
        if block.window == self._target.window:
            self._pixels, self._valid = pixels, valid
            return
        if self._pixels is None or self._valid is None:
            self._pixels = np.empty(self._shape, pixels.dtype)
            for band, fill in enumerate(self._fills()):
                self._pixels[band] = fill
            self._valid = np.zeros(self._shape, bool)
        own, window = self._target.window, block.window
        rows = slice(window.row_off - own.row_off, window.row_end - own.row_off)
        cols = slice(window.col_off - own.col_off, window.col_end - own.col_off)
        self._pixels[:, rows, cols], self._valid[:, rows, cols] = pixels, valid

    def _finished(self, made: Reducer) -> tuple[Pixels, Mask]:
        """The pixels of a block, filled where there is no value."""
        pixels, valid = made.result()
        for band, fill in enumerate(self._fills()):
            nodata = self._mosaic.nodata(self.place, band)
            if nodata is not None and nodata == nodata:  # noqa: PLR0124 - NaN
                same = valid[band] & (pixels[band] == nodata)
                if same.any():  # of a scene whose nodata is another
                    pixels[band][same] = off_nodata(pixels[band][same], nodata)
            if not valid[band].all():
                pixels[band][~valid[band]] = fill
        return pixels, valid

    def _fills(self) -> list[float]:
        bands = range(len(self.place.sources))
        return [fill_value(self.place, self._mosaic.nodata(self.place, band)) for band in bands]

    def made(self) -> Made | None:
        """The result; None where no scene gave a pixel."""
        if self._pixels is None or self._valid is None or not self._gave.any():
            return None
        return Made(self._pixels, self._valid, int(self._gave.sum()))


def composite_rows(mosaic: Mosaic, numbers: Sequence[int | None], made: Sequence[Made | None]) -> pa.Array:
    """STRUCT(scenes, chip) in a list for each row, which is empty where there is no composite.

    Args:
        mosaic: Has them.
        numbers: Of the composite of each row; None: it has none.
        made: Of each row that has one, in their order.
    """
    found = iter(made)
    rows = [None if number is None else next(found) for number in numbers]
    there = [(number, row) for number, row in zip(numbers, rows, strict=True) if number is not None and row is not None]
    places = [mosaic.places[mosaic.composites[number].zone] for number, _ in there]
    chips = [_chip(mosaic, place, row) for place, (_, row) in zip(places, there, strict=True)]
    values = pa.StructArray.from_arrays(
        [pa.array([row.scenes for _, row in there], pa.int32()), chip_column(chips)],
        fields=list(COMPOSITE),
    )
    ends = np.cumsum([0, *(row is not None for row in rows)])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), values)


def _chip(mosaic: Mosaic, place: RowRead, made: Made) -> Chip:
    target = place.target
    assert target is not None
    bands = tuple(source.band for source in place.sources)
    return Chip(made.pixels, made.valid, bands, target.transform, target.crs, mosaic.nodata(place, 0))
