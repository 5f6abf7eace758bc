"""`ChipTable`: makes the chips of a call known by their numbers, and reads them in whatever process asks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InvalidArgumentError, RasteretError
from rasteret_sql.geo.target_grid import lattice_through
from rasteret_sql.hosts.chosen_scenes import ChosenScenes, times_in_seconds
from rasteret_sql.hosts.collection_handle import CallAccess, CollectionHandle, reading
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.reading.sized_chips import dtype_of
from rasteret_sql.selection.areas import Areas
from rasteret_sql.selection.chip_order import Chips
from rasteret_sql.selection.chip_places import ChipPlaces, Extent, chips_around, grid_of_chips, require_room
from rasteret_sql.selection.chip_reader import ChipReader, Series, dtype_for_tensors
from rasteret_sql.selection.chip_source import ChipForm, SceneImages
from rasteret_sql.selection.common_grid import on_common_grid
from rasteret_sql.warning import warn

_AT_ONCE = 256
"""Scenes whose headers are held together while chips are placed."""


@dataclass(frozen=True, slots=True, eq=False)
class ChipRequest:
    """The chips of a call, as it asks for them."""

    collection: CollectionHandle
    access: CallAccess
    bands: tuple[Asked, ...]
    size: tuple[int, int]
    """Height and width of a chip."""
    stride: tuple[int, int]
    """Rows and columns from one to the next."""
    edges: str
    options: PixelOptions
    one_grid: bool
    """True: all scenes are put on one grid, of what the options say."""
    may_resample: bool
    time_series: bool
    dtype: str | None
    fill: float | None
    areas: Areas | None
    """Chips that meet none of them are left out; None: none are."""


class ChipTable:
    """Chips by their numbers from 0. Its pickle says where the collection is and which chips there are."""

    def __init__(self, request: ChipRequest, scenes: ChosenScenes) -> None:
        """Place the chips: headers are looked up, and no pixel is read.

        Raises:
            InvalidArgumentError: there is none, or bands have different pixels.
            RasteretError: with `on_error` 'raise', why a scene cannot be read.
        """
        self._collection, self._access = request.collection, request.access
        self.tolerates = request.options.on_error == "null"
        self._ids, self._times = scenes.ids, scenes.times
        with self.reading("to_torch_dataset") as context:
            self._form = _form(request, context, scenes.ids)
            extents = context.engine.call(lambda _: self._extents(context))
        there = [one for one in extents if one is not None]
        dtypes = {one.dtype: f'scene "{scene}"' for one, scene in zip(extents, self._ids, strict=True) if one}
        pixels = dtype_of(dtypes) if request.dtype is None else np.result_type(*dtypes)
        self._dtype = dtype_for_tensors(pixels, request.dtype)
        self._fill, self._fills = request.fill, there[0].fills
        self._series: Series | None = None
        if request.time_series:
            self._series = _series(extents, scenes.times)
            extents = [reduce(Extent.union, there)]
        self.places, self._row = _placed(request, scenes, extents, self._series)
        self.labels = None if scenes.labels is None else scenes.labels[self._row]
        self._process = -1
        self._reader: ChipReader | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None, "_process": -1}

    def __len__(self) -> int:
        return len(self.places)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a chip: (bands, height, width), with a time axis (times, bands, height, width)."""
        return self._here().shape

    @property
    def dtype(self) -> np.dtype:
        """Of the pixels of a chip."""
        return self._dtype

    @property
    def nbytes(self) -> int:
        """Bytes of a chip."""
        return self._here().nbytes

    def reading(self, function: str) -> AbstractContextManager[ReadContext]:
        """The surroundings of one call, in this process."""
        return reading(self._collection, self._access, function)

    def read(
        self, chips: Chips, data: npt.NDArray[np.generic], context: ReadContext, cancelled: Cancelled
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Read chips into an array.

        Args:
            chips: their numbers, none twice.
            data: shape (n, *shape).
            context: of `reading`.
            cancelled: the call's flag.

        Returns:
            True for valid pixels, of the shape of `data`; and True for chips whose scene could be read.

        Raises:
            RasteretError: a scene cannot be read, unless the call said that such are left out: then warnings tell.
        """
        valid, failures = self._here().read(chips, data, context, cancelled, tells=self.tolerates)
        kept = np.ones(len(chips), bool)
        if failures:
            self._tell(failures)
            if self._series is None:
                lost = [number for number, scene in enumerate(self._ids) if scene in failures]
                kept = ~np.isin(self.places.image[chips], lost)
        return valid, kept

    def times(self, chips: Chips) -> npt.NDArray[np.float64]:
        """Seconds since 1970, UTC, of each chip: shape (n,); with a time axis (n, times)."""
        if self._series is not None:
            return np.broadcast_to(times_in_seconds(np.unique(self._times)), (len(chips), self._series.count))
        return times_in_seconds(self._times)[self.places.image[chips]]

    def rows(self) -> pa.Table:
        """A row for each chip.

        `chip`, its number; `row`, of the scenes that were given; `scene_id` and `datetime`, naive UTC, unless it has
        an axis of time; `transform`, (a, b, c, d, e, f) from pixel corners to `crs`; `bounds`, in it.
        """
        chips = np.arange(len(self))
        crs = [extent.crs for extent in self.places.extents]
        columns: dict[str, Any] = {"chip": chips, "row": self._row}
        if self._series is None:
            columns |= {
                "scene_id": pa.array(self._ids).take(pa.array(self.places.image)),
                "datetime": self._times[self.places.image],
            }
        lists = {"transform": self.places.transforms(chips), "bounds": self.places.bounds(chips)}
        for name, values in lists.items():
            columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
        return pa.table(columns | {"crs": pa.array(crs, pa.string()).take(pa.array(self.places.image))})

    def _here(self) -> ChipReader:
        """The reader of this process: what another one knows of files is bound to its own connections."""
        if self._reader is None or self._process != os.getpid():
            images = SceneImages(self._ids, self._form)
            self._reader = ChipReader(
                self.places, images, self._series, self._dtype, len(self._fills), self._fill, self._fills
            )
            self._process = os.getpid()
        return self._reader

    def _extents(self, context: ReadContext) -> list[Extent | None]:
        """The place of each scene; None of those that have no pixel."""
        found: list[Extent | None] = []
        failures: dict[str, RasteretError] = {}
        for begin in range(0, len(self._ids), _AT_ONCE):
            some = range(begin, min(begin + _AT_ONCE, len(self._ids)))
            images = SceneImages(self._ids, self._form).at(some, context)
            for number in some:
                image = images[number]
                if isinstance(image, RasteretError):
                    if not self.tolerates:
                        raise image
                    failures[self._ids[number]] = image
                found.append(None if image is None or isinstance(image, RasteretError) else Extent.of(image))
        if failures:
            self._tell(failures)
        if all(one is None for one in found):
            raise InvalidArgumentError(
                "no scene can be read" if failures else "no scene has a pixel on the grid; choose another target_crs="
            )
        return found

    def _tell(self, failures: Mapping[str, RasteretError]) -> None:
        scene, error = next(iter(failures.items()))
        warn(f'{len(failures)} scenes cannot be read, first "{scene}": {error}; they are left out')


def _form(request: ChipRequest, context: ReadContext, ids: Sequence[str]) -> ChipForm:
    """The form of the chips; raises where no scene has a place that a grid could be at."""
    options = replace(request.options, on_error="raise")  # scenes that fail are told of here
    grid = None
    if request.one_grid:
        options = on_common_grid(context, ids, request.bands, options)
        if options.crs is None or options.resolution is None:
            raise InvalidArgumentError("no scene says where it lies, so there is no grid for all of them")
        assert not isinstance(options.align, str)  # a place, if at all
        grid = options.crs, lattice_through(options.resolution, options.align or (0.0, 0.0))
    return ChipForm(request.bands, request.size, options, grid, request.may_resample)


def _series(extents: Sequence[Extent | None], times: npt.NDArray[np.datetime64]) -> Series:
    """The scenes along the axis of time."""
    distinct = np.unique(times)
    windows = [
        (0, 0, 0, 0)
        if one is None
        else (one.window.row_off, one.window.col_off, one.window.row_end, one.window.col_end)
        for one in extents
    ]
    return Series(np.searchsorted(distinct, times), len(distinct), np.array(windows, np.int64))


def _placed(
    request: ChipRequest, scenes: ChosenScenes, extents: Sequence[Extent | None], series: Series | None
) -> tuple[ChipPlaces, npt.NDArray[np.int64]]:
    """The chips, and the row of the scenes that each is of."""
    small = require_room(extents, request.size, request.edges)
    if scenes.places is not None:
        images = np.zeros_like(scenes.row_scene) if series is not None else scenes.row_scene
        places, meets = chips_around(extents, images, scenes.places, request.size)
        rows = np.flatnonzero(meets)
        if len(rows) < len(meets):
            warn(f"{len(meets) - len(rows)} of {len(meets)} geometries do not meet their scene; they have no chip")
    else:
        places = grid_of_chips(extents, request.size, request.stride, request.edges)
        if series is not None:  # all times lie on one image, and some of it may be in none of them
            places = places.at(series.meets(places))
        rows = places.image.astype(np.int64)
        if small:
            warn(
                f"{small} of {len(extents)} scenes are smaller than a chip of {request.size[0]} × {request.size[1]} "
                "pixels; they have none. Give edges='pad' to fill what is missing"
            )
    if request.areas is not None and len(places):
        near = places.near(request.areas)
        places, rows = places.at(near), rows[near]
    if not len(places):
        raise InvalidArgumentError(
            "there is no chip: no geometry meets a scene"
            if request.areas is not None or scenes.places is not None
            else "there is no chip: no scene has room for one on the grid. Give a smaller chip_size, or edges='pad'"
        )
    return places, rows
