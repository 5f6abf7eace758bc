"""Makes an xarray Dataset of arrays of dask, whose chunks are read when they are computed, in whatever process."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from rasteret_sql.errors import InvalidArgumentError, MemoryLimitError
from rasteret_sql.geo.grid import Window
from rasteret_sql.hosts.area_samples import AreaRead
from rasteret_sql.hosts.collection_handle import CallAccess, CollectionHandle
from rasteret_sql.hosts.extras import require_extra
from rasteret_sql.hosts.ready_arrays import ReadyArrays, Slot
from rasteret_sql.hosts.xarray_dataset import (
    GridChip,
    Layer,
    Variable,
    dataset_on_grid,
    layers_of,
    put_together,
    times_of,
    union,
    variables_of,
    window_of,
)
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.reading.target_plan import TargetPlan
from rasteret_sql.selection.areas import Areas
from rasteret_sql.selection.call_access import call_backend
from rasteret_sql.selection.pixels import Into, Planned, any_shape, read_samples
from rasteret_sql.warning import warn

if TYPE_CHECKING:
    import xarray

Chunks = str | int | Mapping[str, int | str | Sequence[int] | None] | None
"""The pixels, areas and times that a chunk has; None: there are no chunks."""
Places = Sequence[np.ndarray | None]
"""What samples are read into, as `Into` gives it."""
_DIMS = ("time", "geometry", "y", "x")
_SIDE = 1024
"""Pixels on a side of a chunk, at least, where none is asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockReader:
    """Reads the chunks of a variable."""

    collection: CollectionHandle
    access: CallAccess
    areas: Areas
    band: Asked
    options: PixelOptions
    """With the grid of all scenes."""
    scenes: Mapping[tuple[int, int], tuple[str, ...]]
    """Of each number of a time and an area, the first one first."""
    window: Window
    """The pixels of the dataset in the lattice of the grid."""
    counts: tuple[int, int]
    """How many times and areas there are."""
    variable: Variable
    combine: str

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Times, areas, height and width."""
        return (*self.counts, self.window.height, self.window.width)

    def __call__(self, block_info: Any = None) -> np.ndarray:
        """The chunk that dask asks for."""
        times, areas, rows, cols = (range(*each) for each in block_info[None]["array-location"])
        return self.read(times, areas, rows, cols)

    def read(self, times: Sequence[int], areas: Sequence[int], rows: range, cols: range) -> np.ndarray:
        """Pixels of some times and areas.

        Raises:
            MemoryLimitError: they are more than a call may hold.
        """
        part = Window(self.window.col_off + cols.start, self.window.row_off + rows.start, len(cols), len(rows))
        shape = len(times), len(areas), part.height, part.width
        size, most = math.prod(shape) * self.variable.dtype.itemsize, self.collection.session.settings.max_call_bytes
        if size > most:
            raise MemoryLimitError(
                f'{shape[0]} times, {shape[1]} areas and {shape[2]} × {shape[3]} pixels of "{self.variable.name}" need '
                f"{size:,} bytes at once, more than max_call_bytes = {most:,}; nothing was fetched. Select less of it, "
                "or give chunks="
            )
        ready = ReadyArrays([self.variable.dtype], np.arange(len(times)), len(areas), part)
        layers: dict[Slot, list[Layer]] = {}
        for number, area in enumerate(areas):
            at = {scene: place for place, time in enumerate(times) for scene in self.scenes.get((time, area), ())}

            def into(planned: Sequence[Planned], number: int = number, at: Mapping[str, int] = at) -> Places:
                return ready.give([(0, at[scene], number, window_of(plan), plan.dtype) for (scene, _), plan in planned])

            chips = self._chips(list(at), area, part, into)
            for scene, place in at.items():
                if scene in chips:
                    layers.setdefault((0, place, number), []).extend(layers_of([chips[scene]], 0))
        put_together(ready, layers, [self.variable], self.combine)
        return ready.data[0]

    def _chips(self, scenes: Sequence[str], area: int, part: Window, into: Into) -> dict[str, GridChip]:
        """The pixels of scenes in a part of the grid, read into the arrays that are given for them."""
        if not scenes:
            return {}
        session, access = self.collection.session, self.access
        reader = call_backend(
            session, access.backend, access.cloud_config, access.data_source, self.collection.data_source
        )
        one = Areas(self.areas.geometries[area : area + 1], self.areas.crs)
        told = replace(self.options, on_error="raise")  # scenes that fail are told of here
        with session.receipts.begin("get_xarray") as receipt:
            context = session.paying(receipt).reading(backend=reader)
            samples = read_samples(context, scenes, one, [self.band], told, check=any_shape, part=part, into=into)
            if samples.failures and self.options.on_error == "raise":
                raise next(iter(samples.failures.values()))
        for lost, error in samples.failures.items():
            warn(f'scene "{lost.scene_id}" could not be read, and is left out of a chunk: {error}')
        chips = {}
        for place, job in zip(samples.places, samples.jobs, strict=True):
            valid = None if job.invalid is None else ~job.invalid
            no_time = np.datetime64("NaT")
            chips[place.scene_id] = GridChip(no_time, area, window_of(job.plan), job.pixels(), valid)
        return chips


Wrap = Callable[[BlockReader, tuple[tuple[int, ...], ...]], Any]
"""Makes the array of a variable of what reads it and the sizes of its chunks."""


def lazy_dataset(
    asked: AreaRead, collection: CollectionHandle, access: CallAccess, chunks: Chunks, combine: str
) -> xarray.Dataset:
    """Plan a dataset: headers are looked up, and no pixels are read.

    Args:
        asked: what is read, on one grid.
        collection: where chunks find it.
        access: how they reach the files.
        chunks: as `get_xarray` takes them.
        combine: how scenes of one time are put together.

    Raises:
        ImportError: dask is not installed.
        InvalidArgumentError: chunks are none, or nothing meets the areas.
    """
    require_extra("chunks=", "dask", {"dask": "dask"}, "without chunks= it reads at once")
    array = import_module("dask.array")

    def of_dask(reader: BlockReader, sizes: tuple[tuple[int, ...], ...]) -> Any:
        return array.map_blocks(
            reader,
            chunks=sizes,
            dtype=reader.variable.dtype,
            meta=np.empty((0,) * len(_DIMS), reader.variable.dtype),
            name=f"rasteret-{reader.variable.name}-{uuid.uuid4().hex}",
        )

    return planned_dataset(asked, collection, access, chunks, combine, of_dask)


def planned_dataset(  # noqa: PLR0917 - of one call
    asked: AreaRead, collection: CollectionHandle, access: CallAccess, chunks: Chunks, combine: str, wrap: Wrap
) -> xarray.Dataset:
    """Plan a dataset whose arrays `wrap` makes; else as `lazy_dataset`."""
    planned, failures, options, scenes = asked.plan()
    options = replace(options, on_error=asked.options.on_error)
    variables = variables_of(planned, asked.names, failures)
    first = planned[0].plan
    assert isinstance(first, TargetPlan)  # all are on one grid
    count, all_times = len(asked.areas.geometries), times_of(scenes)
    whole = union([window_of(one.plan) for one in planned])
    times = np.unique([all_times[one.part.scene_id] for one in planned])
    slots: list[dict[tuple[int, int], tuple[str, ...]]] = [{} for _ in variables]
    for (scene, (band,)), plan in planned:
        slot = int(np.searchsorted(times, all_times[scene])), plan.read.row % count
        slots[band][slot] = (*slots[band].get(slot, ()), scene)
    counts = len(times), count
    sizes = chunk_sizes(chunks, counts, whole, _tile(first))
    data = [
        wrap(BlockReader(collection, access, asked.areas, band, options, some, whole, counts, variable, combine), sizes)
        for band, some, variable in zip(asked.asked, slots, variables, strict=True)
    ]
    return dataset_on_grid(data, variables, times, count, (first.target.lattice, whole, first.crs))


def _tile(plan: TargetPlan) -> tuple[int, int]:
    """Height and width of the stored tiles of the first band, where its pixels are those of the grid; else of none."""
    each = next(one for one in plan.warps if one)
    if not each.warp.map.is_shift(plan.target.window):
        return 1, 1
    level = each.window.sources[0].header.levels[each.window.level]
    return level.tile_height, level.tile_width


def chunk_sizes(
    chunks: Chunks, counts: tuple[int, int], window: Window, tile: tuple[int, int]
) -> tuple[tuple[int, ...], ...]:
    """The sizes of chunks along time, geometry, y and x.

    Args:
        chunks: as `get_xarray` takes them.
        counts: how many times and areas there are.
        window: the pixels in the lattice of the grid.
        tile: height and width of stored tiles; of what is not said, chunks are whole tiles.

    Raises:
        InvalidArgumentError: they are none.
    """
    if isinstance(chunks, int) and not isinstance(chunks, bool):
        chunks = {"y": chunks, "x": chunks}
    said = {} if chunks == "auto" else chunks
    if not isinstance(said, Mapping) or not set(said) <= set(_DIMS):
        raise InvalidArgumentError(
            f"chunks={chunks!r} cannot be used; expected 'auto', a number of pixels, or a dict of {', '.join(_DIMS)}"
        )
    lengths = (*counts, window.height, window.width)
    starts = (0, 0, window.row_off, window.col_off)
    usual = (1, 1, *(side * -(-_SIDE // side) for side in tile))
    return tuple(_along(dim, said.get(dim), *each) for dim, *each in zip(_DIMS, lengths, starts, usual, strict=True))


def _along(dim: str, said: int | str | Sequence[int] | None, length: int, start: int, usual: int) -> tuple[int, ...]:
    """The sizes on one dimension: they end at multiples of the size, counted from the corner of the grid."""
    if said in (None, "auto"):
        said = usual
    if isinstance(said, Sequence) and not isinstance(said, str) and sum(said) == length and min(said) > 0:
        return tuple(map(int, said))
    if isinstance(said, bool) or not isinstance(said, int) or not (said > 0 or said == -1):
        raise InvalidArgumentError(
            f"chunks={{'{dim}': {said!r}}} cannot be used; expected a number above 0, -1 for all, 'auto', or sizes "
            f"that add up to {length}"
        )
    if said == -1:
        return (length,)
    borders = [start, *range((start // said + 1) * said, start + length, said), start + length]
    return tuple(int(size) for size in np.diff(borders))
