"""`RecordWindows`: reads named scenes on one window, and tells the places and pixel sizes of their files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from rasteret_sql.errors import (
    InvalidArgumentError,
    InvalidCrsError,
    MemoryLimitError,
    RasteretError,
    UnknownSceneError,
)
from rasteret_sql.functions.kinds import RESOLUTION
from rasteret_sql.functions.python_arguments import grid_arguments
from rasteret_sql.geo.crs import LONLAT, crs_or_code, normalize_crs, same_crs, transformer
from rasteret_sql.geo.grid import Grid, Window
from rasteret_sql.geo.image_crs import map_crs
from rasteret_sql.geo.placement import on_lonlat
from rasteret_sql.hosts.area_frame import require_geopandas
from rasteret_sql.hosts.area_samples import Bands, asked_bands
from rasteret_sql.hosts.asked_reads import AskedReads
from rasteret_sql.hosts.awaited import awaited
from rasteret_sql.hosts.left_out import tell_left_out
from rasteret_sql.hosts.progress_listener import progress_listener
from rasteret_sql.hosts.read_arguments import WindowArguments, takes, with_defaults
from rasteret_sql.hosts.xarray_dataset import GridChip, combine_layers, layers_of, window_of
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.raster.warp.resampling import RESAMPLINGS
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.context import Found, ReadContext
from rasteret_sql.reading.options import require, require_one_of
from rasteret_sql.reading.own_lattice import own_lattice
from rasteret_sql.selection.areas import Areas
from rasteret_sql.selection.pixels import Samples, any_shape, read_samples

_GROUPS = (None, "datetime", "id")
_AT_ONCE = 2048
"""Scenes whose headers are looked up at a time."""
_EDGE_POINTS = 20
"""Points on each edge of a footprint that goes to another CRS."""


@dataclass(frozen=True, slots=True, eq=False)
class _Records:
    """Scenes by their names, and the image that each is a part of."""

    ids: list[str]
    times: dict[str, np.datetime64]
    image: dict[str, int]
    """Number of the image of each scene."""
    images: int


class RecordWindows(AskedReads):
    """Has the methods of a collection that name its scenes."""

    @takes(WindowArguments)
    def read_window(
        self,
        *,
        record_ids: Sequence[str] | pa.Array | pa.ChunkedArray,
        bounds: Sequence[float],
        res: float | tuple[float, float],
        bands: Bands,
        target_crs: int | str | None = None,
        group_by: str | None = None,
        resampling: str | None = None,
        **named: Unpack[WindowArguments],
    ) -> np.ndarray:
        """Pixels of named scenes on one grid: the first of them that has a valid pixel gives it.

        Args:
            record_ids: ids of scenes, the one that counts first at the beginning.
            bounds: (minx, miny, maxx, maxy) in the CRS of the pixels. Pixels begin at (minx, maxy), and there are as
                many as extent / res, rounded.
            res: size of a pixel in units of that CRS, a number or (x, y).
            bands: names, or expressions over bands.
            **named: as `WindowArguments` has them.
            target_crs: CRS of the pixels; by default that of the first scene.
            group_by: None: one image of all. 'datetime': one for each time, ascending; 'id': one for each scene.
            resampling: as `read_chip` has it; by default nearest for bands of integers and bilinear for floats. Pixels
                that are only moved stay as they are.

        Returns:
            (bands, height, width), with `group_by` (images, bands, height, width), in the dtype that holds all bands.
            Where no scene has a valid pixel: the file's nodata, else 0.

        Raises:
            ValueError: a value cannot be used, a scene or band is not known, or no scene could be read.
            MemoryLimitError: before any request, when the array would exceed `max_call_bytes`.
            RasteretError: with `on_error='raise'`, why a scene could not be read.
            ByteLimitError: the call would fetch more than `max_bytes`.
        """
        given = with_defaults(WindowArguments, named)
        require(group_by in _GROUPS, "group_by", group_by, "None, 'datetime' or 'id'")
        if resampling is not None:
            require_one_of("resampling", resampling, RESAMPLINGS)
        options = self._pixel_options(given, clip=False)
        records = self._records(record_ids, group_by)
        asked = asked_bands(self._session, self._index, self.bands, bands, given["data_source"], options)
        failures: dict[str, Exception] = {}
        with self._session.receipts.begin("read_window") as receipt:
            context = self._session.paying(receipt).reading(
                backend=self._reader(given), progress=progress_listener(given["progress"])
            )
            sources = self._first_sources(context, records.ids, asked)
            crs = sources[0].header.map_crs if target_crs is None else crs_or_code(normalize_crs(target_crs))
            if crs is None:
                raise InvalidCrsError(f'the file of scene "{records.ids[0]}" has no CRS; give target_crs=')
            area, size = _area(bounds, res, crs)
            grid = grid_arguments(crs, res, None, (float(bounds[0]), float(bounds[3])))
            found = _unread(sources, records.images, size, self._session.settings.max_call_bytes)
            for method, some in _methods(sources, resampling).items():
                told = replace(options, on_error="raise", resampling=method, **grid)  # failures are told of here
                mine = [asked[band] for band in some]
                samples = read_samples(context, records.ids, area, mine, told, check=any_shape, part=size)
                failures |= {part.scene_id: error for part, error in samples.failures.items()}
                if failures and options.on_error == "raise":
                    raise next(iter(failures.values()))
                _fill(found, samples, records, size, {band: str(asked[band]) for band in some})
        self._follow_refreshed(options.on_change)
        tell_left_out(failures, len(records.ids), found=len(failures) < len(records.ids))
        return found[0] if group_by is None else found

    read_window_async = awaited(read_window)

    def native_res(self, band: str | None = None) -> tuple[float, float]:
        """Width and height of a pixel of the first scene, in units of its CRS.

        Args:
            band: of which band; by default the first.

        Raises:
            ValueError: there is no scene or no such band, or the file does not say where it lies.
        """
        ids = self._selection.batches(["id"], limit=1).read_all()["id"].to_pylist()
        if not ids:
            raise InvalidArgumentError(f'collection "{self._selection.index.name}" has no scenes, so no resolution')
        transform = own_lattice(self._first_sources(self._session.reading(), ids, [self._band(band)])[0].header)
        if transform is None:
            raise InvalidArgumentError(
                f'the file of scene "{ids[0]}" does not say where it lies, so it has no resolution'
            )
        return float(np.hypot(transform.a, transform.d)), float(np.hypot(transform.b, transform.e))

    def footprints(self, *, crs: int | str | None = None, band: str | None = None) -> Any:
        """The places of the scenes' images as a geopandas.GeoDataFrame; needs `pip install rasteret-sql[geopandas]`.

        Args:
            crs: of the footprints; by default that of the images, or lon/lat where they are in several.
            band: of which band's file; by default the first.

        Returns:
            A row for each scene whose file says where it lies, in the order of the index: `record_id`, `datetime`
            (naive UTC) and `geometry`, the outline of the image: exact in its own CRS.

        Raises:
            ImportError: geopandas is not installed.
            ValueError: no such band, or no scene could be placed.
        """
        require_geopandas("footprints", "to_table(['id', 'geometry']) has the footprints that the items say")
        table = self._selection.batches(["id", "datetime"]).read_all()
        ids: list[str] = table["id"].to_pylist()
        images: list[shapely.Polygon] = []
        own: list[str] = []
        lost: dict[str, RasteretError] = {}
        for scene, found in self._found(ids, self._band(band)):
            header = None if isinstance(found, RasteretError) else found[0].header
            if header is None or header.transform is None or header.crs is None:
                lost[scene] = found if isinstance(found, RasteretError) else InvalidCrsError("its file has no place")
                continue
            images.append(Grid(header.transform, header.width, header.height).outline())
            own.append(header.crs)
        tell_left_out(lost, len(ids), found=len(lost) < len(ids))
        kept = [at for at, scene in enumerate(ids) if scene not in lost]
        maps = list(map(map_crs, own))
        several = any(not same_crs(one, maps[0]) for one in maps)
        wanted = crs_or_code(normalize_crs(crs)) if crs is not None else LONLAT if several or not own else maps[0]
        return import_module("geopandas").GeoDataFrame(
            {"record_id": [ids[at] for at in kept], "datetime": table["datetime"].to_numpy()[kept]},
            geometry=_moved(images, own, wanted),
            crs=wanted,
        )

    def _band(self, band: str | None) -> str:
        return self._selection.index.bands[0] if band is None else band

    def _found(self, ids: Sequence[str], band: str) -> Iterator[tuple[str, Found]]:
        """The file of a band of each scene, or why there is none."""
        context = self._session.reading()
        for begin in range(0, len(ids), _AT_ONCE):
            asked = [(scene, (band,)) for scene in ids[begin : begin + _AT_ONCE]]
            answers = context.look_up(asked, self._selection.index.name, context.backend)
            yield from ((one[0], answers[one]) for one in asked)

    def _first_sources(
        self, context: ReadContext, ids: Sequence[str], names: Sequence[Asked]
    ) -> tuple[BandSource, ...]:
        """The bands of the first scene that has them."""
        errors: list[RasteretError] = []
        for scene in ids:
            asked = scene, tuple(names)
            found = context.look_up([asked], self._selection.index.name, context.backend)[asked]
            if not isinstance(found, RasteretError):
                return found
            errors.append(found)
        raise errors[0]

    def _records(self, record_ids: Any, group_by: str | None) -> _Records:
        """The scenes that are named, with their times."""
        given = record_ids.to_pylist() if isinstance(record_ids, pa.Array | pa.ChunkedArray) else record_ids
        is_list = isinstance(given, Iterable) and not isinstance(given, str | bytes)
        ids = list(dict.fromkeys(map(str, given))) if is_list else []
        if not ids:
            raise InvalidArgumentError(f"record_ids={record_ids!r} cannot be used; expected a list of one id or more")
        table = self._selection.batches(["id", "datetime"]).read_all()
        all_times = dict(zip(table["id"].to_pylist(), table["datetime"].to_numpy(), strict=True))
        unknown = [scene for scene in ids if scene not in all_times]
        if unknown:
            raise UnknownSceneError(
                f'record_ids names no scene "{unknown[0]}" of collection "{self._selection.index.name}"'
            )
        times = {scene: all_times[scene] for scene in ids}
        if group_by == "datetime":
            order = np.unique(list(times.values()))
            return _Records(ids, times, {scene: int(np.searchsorted(order, times[scene])) for scene in ids}, len(order))
        if group_by == "id":
            return _Records(ids, times, {scene: at for at, scene in enumerate(ids)}, len(ids))
        return _Records(ids, times, dict.fromkeys(ids, 0), 1)


def _area(bounds: Sequence[float], res: float | tuple[float, float], crs: str) -> tuple[Areas, Window]:
    """The area of a window, and its pixels."""
    try:
        sides = [float(side) for side in bounds]
    except (TypeError, ValueError):
        sides = []
    if len(sides) != 4 or not np.isfinite(sides).all() or sides[0] >= sides[2] or sides[1] >= sides[3]:
        raise InvalidArgumentError(f"bounds={bounds!r} cannot be used; expected (minx, miny, maxx, maxy)")
    across, down = _pixel(res)
    width, height = round((sides[2] - sides[0]) / across), round((sides[3] - sides[1]) / down)
    if min(width, height) < 1:
        raise InvalidArgumentError(f"bounds={tuple(bounds)!r} have no pixel of res={res!r}; they are in {crs}")
    return Areas(np.array([shapely.box(*sides)], object), crs), Window(0, 0, width, height)


def _pixel(res: float | tuple[float, float]) -> tuple[float, float]:
    """Width and height of a pixel."""
    if res is not None:
        with suppress(InvalidArgumentError):  # it speaks of resolution=, which the call does not have
            across, down = grid_arguments(None, res, None, None)["resolution"]
            return across, down
    raise InvalidArgumentError(f"res={res!r} cannot be used; expected {RESOLUTION.expected}")


def _unread(sources: Sequence[BandSource], images: int, size: Window, most: int) -> npt.NDArray[Any]:
    """An array without a valid pixel, shape (images, bands, height, width)."""
    dtype = np.result_type(*(source.header.dtype for source in sources))
    needed = images * len(sources) * size.width * size.height * dtype.itemsize
    if needed > most:
        raise MemoryLimitError(
            f"{images} images of {len(sources)} bands of {size.height} × {size.width} pixels need {needed:,} bytes, "
            f"more than max_call_bytes = {most:,}; nothing was fetched. Give a coarser res=, or fewer scenes a call"
        )
    found = np.zeros((images, len(sources), size.height, size.width), dtype)
    for band, source in enumerate(sources):
        found[:, band] = 0 if source.header.nodata is None else source.header.nodata
    return found


def _fill(found: npt.NDArray[Any], samples: Samples, records: _Records, size: Window, bands: Mapping[int, str]) -> None:
    """Put what was read into the images; `bands` are their numbers and names, in the order of the samples."""
    chips: dict[int, list[GridChip]] = defaultdict(list)
    for place, job in zip(samples.places, samples.jobs, strict=True):
        valid = None if job.invalid is None else ~job.invalid
        chip = GridChip(records.times[place.scene_id], 0, window_of(job.plan), job.pixels(), valid)
        chips[records.image[place.scene_id]].append(chip)
    for image, of_image in chips.items():
        for at, (band, name) in enumerate(bands.items()):
            combine_layers(found[image, band], layers_of(of_image, at), size, "combine_first", name)


def _methods(sources: Sequence[BandSource], resampling: str | None) -> dict[str, list[int]]:
    """Method → numbers of the bands that are read with it."""
    methods: dict[str, list[int]] = defaultdict(list)
    for band, source in enumerate(sources):
        methods[resampling or ("bilinear" if source.header.dtype.kind == "f" else "nearest")].append(band)
    return methods


def _moved(images: Sequence[shapely.Polygon], own: Sequence[str], wanted: str) -> list[shapely.Geometry]:
    """Outlines in a CRS, of images in their own ones."""
    moved: list[shapely.Geometry] = []
    for image, crs in zip(images, own, strict=True):
        if same_crs(crs, wanted):
            moved.append(image)
        elif same_crs(wanted, LONLAT):
            moved.append(on_lonlat(np.array([image], object), crs)[0])
        else:
            dense = shapely.segmentize(image, image.length / (4 * _EDGE_POINTS))
            xy = shapely.get_coordinates(dense)
            moved.append(shapely.polygons(np.column_stack(transformer(crs, wanted).transform(xy[:, 0], xy[:, 1]))))
    return moved
