"""`RasteretGeoDataset`: gives the scenes of a collection as a GeoDataset of the TorchGeo that is installed.

It is imported when such a dataset is asked for: TorchGeo need not be there otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
import torch
from torchgeo.datasets import GeoDataset

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InvalidArgumentError, RasteretError
from rasteret_sql.geo.crs import crs_or_code, normalize_crs, same_crs
from rasteret_sql.geo.grid import Grid, Window
from rasteret_sql.geo.target_grid import TargetGrid, lattice_through, resolution_in
from rasteret_sql.hosts.collection_handle import CallAccess, CollectionHandle, reading
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.sized_chips import (
    Block,
    ChipArrays,
    ChipPlace,
    SceneImage,
    dtype_of,
    image_in,
    image_on,
    read_blocks,
)
from rasteret_sql.selection.chip_reader import dtype_for_tensors
from rasteret_sql.selection.chip_source import ChipForm, SceneImages
from rasteret_sql.warning import warn

_LENGTH = np.timedelta64(1, "us")
"""Of a scene: TorchGeo finds no instant by its own slice."""
_ON_LINE = 1e-6
"""Pixels by which a query may miss the grid of a scene and is on it all the same: coordinates round."""
_AT_ONCE = 256
"""Scenes whose headers are held together while the index is made."""

Sample = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class GeoRequest:
    """A dataset as a call asks for it."""

    collection: CollectionHandle
    access: CallAccess
    form: ChipForm
    """Of the scenes on their own grids."""
    target_crs: str | None
    chip_size: tuple[int, int] | None
    is_image: bool
    time_series: bool
    dtype: str | None
    transforms: Callable[[Sample], Sample] | None


class RasteretGeoDataset(GeoDataset):  # type: ignore[misc]
    """Scenes of a collection, queried by [xmin:xmax:xres, ymin:ymax:yres, tmin:tmax:step] in the CRS of the dataset.

    `index` is a GeoDataFrame: a row for each scene with its id, `rid`, its footprint, and its time as an interval of a
    microsecond. Pixels lie as `rasterio.merge.merge(bounds, res)` puts them; the first scene that has a valid pixel
    gives it. Those of a scene that are only moved stay as they are; others are nearest for integers and bilinear for
    floats. Where no scene has a valid pixel: the file's nodata, else 0.
    """

    def __init__(
        self,
        request: GeoRequest,
        ids: Sequence[str],
        times: npt.NDArray[np.datetime64],
        labels: Sequence[np.generic | None] | None,
    ) -> None:
        """Look the scenes up: no pixel is read.

        Raises:
            ValueError: there is none in the CRS, or bands have different pixels.
        """
        self._request = request
        self._number = {scene: number for number, scene in enumerate(ids)}
        self._ids, self._labels = list(ids), labels
        self._images: SceneImages | None = None
        self._rows: _Rows | None = None
        self._process = -1
        self.transforms = request.transforms
        self.chip_size = request.chip_size
        self.paths = request.collection.place
        with reading(request.collection, request.access, "to_torchgeo_dataset") as context:
            crs, kept, outlines, facts = context.engine.call(lambda _: self._look(context))
        first, res = facts[0], self._first_resolution
        self._res = res
        pixels = dtype_of(dict.fromkeys((image.dtype for image in facts), "a scene")) if request.dtype is None else None
        tensors = dtype_for_tensors(pixels if pixels is not None else first.dtype, request.dtype)
        # As TorchGeo has it: classes are what a loss takes.
        is_class = not request.is_image and tensors.kind in "iu" and request.dtype is None
        self._dtype = np.dtype("int64") if is_class else tensors
        self._fills = first.fills
        begin = times[kept]
        intervals = pd.IntervalIndex.from_arrays(begin, begin + _LENGTH, closed="both", name="datetime")
        self.index = geopandas.GeoDataFrame(
            {"rid": [ids[number] for number in kept]}, index=intervals, geometry=outlines, crs=crs
        )
        if request.chip_size is not None:
            self._check_room(request.chip_size)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_images": None, "_rows": None, "_process": -1}

    def close(self) -> None:
        """Let go of the headers that are at hand; a query looks them up again."""
        self._images = None

    def __getitem__(self, index: Any) -> Sample:
        """The pixels of a query.

        Args:
            index: up to three slices; what is missing is that of the dataset. Times are pandas Timestamps, and both
                ends count; a step of time takes every n-th scene.

        Returns:
            `image` (bands, height, width), with time_series (scenes, bands, height, width), or `mask`, without an axis
            of bands if there is one band; `bounds` (9,), the query with times in seconds since 1970; `transform` (9,),
            from pixel corners to the CRS; all float64. `label` of the first scene, where it has one.

        Raises:
            IndexError: no scene meets the query.
            ValueError: a scene cannot be read.
        """
        x, y, t = self._disambiguate_slice(index)
        rows = self._rows_here()
        numbers = rows.meeting((x.start, y.start, x.stop, y.stop), (t.start, t.stop), t.step)
        if not numbers:
            raise IndexError(f"index: {index} not found in dataset with bounds: {self.bounds}")
        height, width = round((y.stop - y.start) / y.step), round((x.stop - x.start) / x.step)
        if min(height, width) < 1:
            raise InvalidArgumentError(f"index: {index} has no pixel of {x.step} × {y.step}; give larger slices")
        grid = TargetGrid(rows.crs, lattice_through((x.step, y.step), (x.start, y.stop)), Window(0, 0, width, height))
        try:
            with reading(self._request.collection, self._request.access, "to_torchgeo_dataset") as context:
                data = context.engine.call(lambda cancelled: self._read(numbers, grid, context, cancelled))
        except RasteretError as error:
            if isinstance(error, ValueError):
                raise
            raise InvalidArgumentError(f"index: {index} cannot be read: {error}") from error
        times = t.start.timestamp(), t.stop.timestamp()
        bounds = [x.start, x.stop, x.step, y.start, y.stop, y.step, *times, t.step]
        sample: Sample = {
            "bounds": torch.tensor(bounds, dtype=torch.float64),
            "transform": torch.tensor([x.step, 0, x.start, 0, -y.step, y.stop, 0, 0, 1], dtype=torch.float64),
        }
        tensor = torch.from_numpy(data if self._request.time_series else data[0])
        if self._request.is_image:
            sample["image"] = tensor
        else:
            sample["mask"] = tensor.squeeze(-3)
        label = None if self._labels is None else self._labels[numbers[0]]
        if label is not None:
            sample["label"] = torch.tensor(label)
        return sample if self.transforms is None else self.transforms(sample)

    def _read(
        self, numbers: Sequence[int], grid: TargetGrid, context: ReadContext, cancelled: Cancelled
    ) -> npt.NDArray[np.generic]:
        """The pixels of scenes on a grid, shape (images, bands, height, width)."""
        series = self._request.time_series
        shape = len(numbers) if series else 1, len(self._fills), grid.window.height, grid.window.width
        data = np.empty(shape, self._dtype)
        valid = np.zeros(shape, bool)
        for band, fill in enumerate(self._fills):
            data[:, band] = fill
        arrays = ChipArrays(data, valid)
        images = self._here().at(numbers, context)
        blocks = []
        for slot, number in enumerate(numbers):
            image = images[number]
            if isinstance(image, RasteretError):
                raise image
            block = None if image is None else _block(image, grid, slot if series else 0)
            if block is None:
                continue
            if series:
                blocks.append(block)
                continue
            read_blocks([block], arrays, context, cancelled)
            if valid.all():
                break
        read_blocks(blocks, arrays, context, cancelled)
        return data

    def _rows_here(self) -> _Rows:
        """The index as it is now: TorchGeo, and users, may put it into another CRS or choose some of its rows."""
        rows = self._rows
        if rows is None or rows.index is not self.index or rows.known_crs != self.index.crs:
            rows = self._rows = _Rows.of(self.index, self._number)
        return rows

    def _here(self) -> SceneImages:
        """The images of this process: what another one knows of files is bound to its own connections."""
        images = self._images
        if images is None or self._process != os.getpid():
            images = self._images = SceneImages(self._ids, self._request.form)
            self._process = os.getpid()
        return images

    def _look(self, context: ReadContext) -> tuple[str, list[int], list[shapely.Geometry], list[SceneImage]]:
        """The CRS, and of each scene in it its number, its outline and, for its dtype, one image of each dtype."""
        crs = self._request.target_crs
        kept: list[int] = []
        outlines: list[shapely.Geometry] = []
        others: dict[str, int] = {}
        facts: dict[np.dtype, SceneImage] = {}
        for begin in range(0, len(self._ids), _AT_ONCE):
            some = range(begin, min(begin + _AT_ONCE, len(self._ids)))
            images = SceneImages(self._ids, self._request.form).at(some, context)
            for number in some:
                image = images[number]
                if isinstance(image, RasteretError):
                    raise image
                if image is None or image.crs is None or image.lattice is None:
                    raise InvalidArgumentError(
                        f'the file of scene "{self._ids[number]}" does not say where it lies, so it has no place in a '
                        "GeoDataset; to_torch_dataset takes it"
                    )
                crs = crs or image.crs
                same = same_crs(image.crs, crs)
                if not same and self._request.target_crs is None:
                    others[image.crs] = others.get(image.crs, 0) + 1
                    continue
                outline = _outline(image) if same else _outline_in(image, crs)
                if outline is None:
                    continue
                if not kept:
                    self._first_resolution = _resolution(image, crs)
                facts.setdefault(image.dtype, image)
                kept.append(number)
                outlines.append(outline)
        if others:
            told = ", ".join(f"{count} in {name}" for name, count in others.items())
            warn(f"scenes in another CRS than {crs} are left out: {told}. Put all into one with target_crs=")
        if not kept or crs is None:
            raise InvalidArgumentError(f"no scene has a place in {crs}; choose another target_crs=")
        return crs, kept, outlines, list(facts.values())

    def _check_room(self, size: tuple[int, int]) -> None:
        """Warn of chips for which a sampler of TorchGeo gives nothing, and says nothing."""
        height, width = size[0] * self._res[1], size[1] * self._res[0]
        whole = self.index.geometry.union_all()
        west, south, east, north = whole.bounds
        across, down = (east - west) / self._res[0], (north - south) / self._res[1]
        if width > east - west or height > north - south:
            warn(
                f"chips of {size[0]} × {size[1]} pixels are larger than the scenes together, which have {down:.0f} × "
                f"{across:.0f}; samplers of TorchGeo give none, or mostly empty ones. Give a smaller chip_size"
            )
        elif whole.buffer(-float(np.hypot(height, width)) / 2).is_empty:
            most = int(min(across, down) / np.sqrt(2))
            warn(
                f"chips of {size[0]} × {size[1]} pixels are too large for RandomPatchSampler of TorchGeo, which keeps "
                f"half a diagonal from the edges and would yield nothing: about {most} pixels would do. "
                "GriddedPatchSampler takes them"
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """The index of a dataset as arrays: to ask the frame takes longer than to read a chip."""

    index: Any
    """The frame that they are of."""
    known_crs: Any
    """As the frame has it."""
    crs: str
    """As `geo.crs` writes it."""
    numbers: npt.NDArray[np.int64]
    """Of the scene of each row."""
    begin: npt.NDArray[np.datetime64]
    end: npt.NDArray[np.datetime64]
    outlines: npt.NDArray[np.object_]
    bounds: npt.NDArray[np.float64]
    """Shape (n, 4)."""

    @classmethod
    def of(cls, index: Any, number: Mapping[str, int]) -> _Rows:
        """Those of a frame."""
        outlines = np.asarray(index.geometry.values, object)
        return cls(
            index,
            index.crs,
            crs_or_code(normalize_crs(index.crs.to_wkt())),
            np.array([number[scene] for scene in index["rid"]], np.int64),
            index.index.left.to_numpy(),
            index.index.right.to_numpy(),
            outlines,
            shapely.bounds(outlines).reshape(-1, 4),
        )

    def meeting(self, box: tuple[float, float, float, float], times: tuple[Any, Any], step: int) -> list[int]:
        """Numbers of scenes that have a pixel in a box at a time; an edge in common is none. Both ends count."""
        first, last = (pd.Timestamp(time).to_datetime64() for time in times)
        rows = np.flatnonzero((self.begin <= last) & (self.end >= first))[::step]
        west, south, east, north = self.bounds[rows].T
        rows = rows[(west < box[2]) & (east > box[0]) & (south < box[3]) & (north > box[1])]
        rows = rows[shapely.intersects(self.outlines[rows], shapely.box(*box))]
        found: list[int] = self.numbers[rows].tolist()
        return found


def _block(image: SceneImage, grid: TargetGrid, slot: int) -> Block | None:
    """The pixels of a scene in the window of a grid."""
    at = _own_pixel(image, grid)
    if at is None:
        method = "bilinear" if image.dtype.kind in "fc" else "nearest"
        options = image.read.options
        read = replace(image.read, options=replace(options, resampling=options.resampling or method))
        moved = image_in(read, grid)
        if moved is None:
            return None
        image, at = moved, (grid.window.row_off, grid.window.col_off)
    row, col = at
    planned = image.plan(Window(col, row, grid.window.width, grid.window.height))
    return None if planned is None else Block(*planned, [ChipPlace(slot, row, col)])


def _own_pixel(image: SceneImage, grid: TargetGrid) -> tuple[int, int] | None:
    """Row and column at which a grid begins among a scene's own pixels; None where it is not in line with them."""
    own, wanted = image.lattice, grid.transform
    if own is None or image.crs is None or grid.crs is None or not same_crs(image.crs, grid.crs):
        return None
    if not own.is_rectilinear or (own.a, own.e) != (wanted.a, wanted.e):
        return None
    col, row = (wanted.c - own.c) / own.a, (wanted.f - own.f) / own.e
    if abs(col - round(col)) > _ON_LINE or abs(row - round(row)) > _ON_LINE:
        return None
    return round(row), round(col)


def _outline(image: SceneImage) -> shapely.Geometry:
    assert image.lattice is not None  # it has a place
    window = image.window
    return Grid(image.lattice.shifted(window.col_off, window.row_off), window.width, window.height).outline()


def _outline_in(image: SceneImage, crs: str) -> shapely.Geometry | None:
    """The footprint of a scene in another CRS; None where it has no place in it."""
    moved = image_on(image.read, crs, lattice_through(_resolution(image, crs)))
    if moved is None:
        return None
    return _outline(moved) if moved.outline is None else moved.outline


def _resolution(image: SceneImage, crs: str) -> tuple[float, float]:
    """Width and height of the pixels of a scene's first band, in units of a CRS."""
    header = image.read.sources[0].header
    assert header.transform is not None and header.crs is not None  # noqa: PT018 - it has a place
    return resolution_in(crs, header.crs, header.transform)
