"""`TrainingReads`: gives a collection as datasets of PyTorch and TorchGeo, imported when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions.python_arguments import grid_arguments
from rasteret_sql.geo.crs import crs_or_code, normalize_crs
from rasteret_sql.hosts.area_samples import Bands, asked_bands
from rasteret_sql.hosts.chip_table import ChipRequest, ChipTable
from rasteret_sql.hosts.chosen_scenes import chosen_scenes, require_label, scene_labels
from rasteret_sql.hosts.collection_handle import CallAccess, CollectionHandle
from rasteret_sql.hosts.extras import require_extra
from rasteret_sql.index.change.build_request import require_concurrency
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.settings import DEFAULT_MAX_CONCURRENT
from rasteret_sql.lazy import lazy_module
from rasteret_sql.reading.options import PixelOptions, require_one_of
from rasteret_sql.scenes.dates import DateLike
from rasteret_sql.selection.areas import AUTO, Crs, Kinds, read_areas
from rasteret_sql.selection.chip_order import Shares
from rasteret_sql.selection.chip_places import EDGES
from rasteret_sql.selection.chip_source import ChipForm
from rasteret_sql.selection.filters import subset_of
from rasteret_sql.selection.scene_view import SceneView
from rasteret_sql.selection.selection import Selection
from rasteret_sql.session.session import Session

if TYPE_CHECKING:
    from rasteret_sql.hosts import torch_dataset, torchgeo_dataset
else:
    torch_dataset = lazy_module("rasteret_sql.hosts.torch_dataset")
    torchgeo_dataset = lazy_module("rasteret_sql.hosts.torchgeo_dataset")


class _Collection(Protocol):
    """A collection, as far as it is needed here."""

    _session: Session
    _selection: Selection

    @property
    def bands(self) -> list[str]: ...
    @property
    def name(self) -> str: ...
    @property
    def data_source(self) -> str: ...
    @property
    def sql(self) -> Callable[..., Any]: ...


class TrainingReads:
    """Has the methods of a collection that make datasets for training."""

    def to_torch_dataset(
        self: _Collection,
        scenes_or_sql: Any,
        bands: Bands,
        *,
        chip_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        edges: str = "drop",
        iterable: bool = False,
        shuffle: bool = True,
        seed: int | None = None,
        batch_size: int | None = None,
        drop_last: bool = False,
        shard: tuple[int, int] = (0, 1),
        files_at_once: int = 4,
        round_bytes: int = 64 << 20,
        prefetch: int = 1,
        is_image: bool = True,
        with_valid: bool = False,
        dtype: Any = None,
        fill: float | None = None,
        label_field: str | None = None,
        transforms: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        time_series: bool = False,
        allow_resample: bool = False,
        target_crs: int | str | None = None,
        resolution: float | tuple[float, float] | None = None,
        resampling: str | None = None,
        geometries: Any = None,
        geometry_crs: Crs = AUTO,
        geometry_column: str | None = None,
        mask: str | None = None,
        dilate: int = 0,
        scaled: bool = False,
        nodata: float | None = None,
        on_error: str = "raise",
        cloud_config: CloudConfig | Mapping[str, Any] | None = None,
        data_source: str | None = None,
        backend: StorageBackend | None = None,
        **filters: Any,
    ) -> torch_dataset.ChipDataset | torch_dataset.ChipStream:
        """Chips of one size as a dataset of PyTorch. Needs `pip install rasteret-sql[torch]`.

        Headers are looked up now, and no pixel is read. The dataset works in worker processes of a DataLoader, forked
        or spawned: its pickle says where the collection is, and has no credentials.

        Args:
            scenes_or_sql: None: all scenes. SQL text: a query with a column `id`, in which the scenes are the table
                `scenes`, or a condition on them. Or a table, relation or frame with a column `id`; a part of the
                collection; a list of ids.
            bands: names, or expressions over bands; a dict names its values.
            chip_size: pixels of a chip, a number or (height, width).
            stride: pixels from one chip to the next, likewise; by default as many as a chip has.
            edges: 'drop': chips lie within their scene; 'pad': they cover all of it, and hang over on the right and
                below.
            iterable: False: a dataset by number; its `batches` read file by file. True: one that gives chips as they
                come, file by file and ahead of what is asked for.
            shuffle: of an iterable one: files in an order of chance, chips of `files_at_once` of them mixed. False: in
                the order of numbers.
            seed: of this order, with `set_epoch`; None: by PyTorch's own generator, another one each epoch.
            batch_size: of an iterable one: it gives batches, which are the memory that was read into; for
                `DataLoader(dataset, batch_size=None)`. None: it gives chips.
            drop_last: True: batches that are not full are left out.
            shard: of an iterable one, (number, count): the part of one of several processes that train together.
            files_at_once: scenes whose chips are mixed.
            round_bytes: of chips that are read and mixed at a time.
            prefetch: how many times as many are read ahead.
            is_image: True: the pixels are `image`; False: `mask`, without an axis of bands if there is one band.
            with_valid: True: samples have `valid`, True where a pixel is valid.
            dtype: of the pixels, such as 'float32' or torch.float32; by default the smallest of PyTorch's that holds
                them: int32 for uint16, int64 for uint32, else their own.
            fill: value of pixels that are not valid; by default the file's nodata, else 0.
            label_field: column of numbers, of `scenes_or_sql` or of the collection, which is `label`.
            transforms: called last with each sample, or with each batch.
            time_series: True: a chip has all scenes of its place, and an axis of time in front: all times of the
                scenes that are chosen. Scenes of one time fill each other's holes.
            allow_resample: True: bands with larger pixels are put on the grid of those with the smallest.
            target_crs: CRS of the pixels. It or resolution asks for one grid for all scenes.
            resolution: size of a pixel in units of its CRS, a number or (x, y).
            resampling: as `read_chip` has it, one of GDAL's methods.
            geometries: areas in any form that `get_numpy` takes; chips that meet none of them are left out.
            geometry_crs: CRS of geometries; by default what they say themselves, else EPSG:4326.
            geometry_column: column of `scenes_or_sql` with a geometry in each row: a chip lies around its middle.
            mask: condition over bands: where it is true, pixels are not valid.
            dilate: pixels by which the mask grows.
            scaled: True: values in units, by scale and offset; False: as stored.
            nodata: value of pixels that are not valid, in place of what the file says.
            on_error: 'raise': a scene that cannot be read is an error; 'null': it is left out, and a warning tells.
            cloud_config: how files are reached, in place of what is registered for the data source.
            data_source: dataset of the scenes, in place of the collection's.
            backend: how pixels are read, in place of all these.
            **filters: which scenes: cloud_cover_lt, date_range, bbox, split, split_column, as for `subset`.

        Returns:
            A `torch.utils.data.Dataset` or `IterableDataset` of dicts: `image` (bands, height, width), with time_series
            (times, bands, height, width); `transform` (6,), from pixel corners to the CRS; `time`, seconds since 1970
            (UTC); `chip`, its number in `rows()`; and `valid` and `label` where they are asked for.

        Raises:
            ValueError: unknown band, no scene, no chip, a chip larger than all scenes, or bands of different pixels.
            ImportError: PyTorch is not installed.
            RasteretError: with `on_error='raise'`, why a scene cannot be read.
        """
        require_extra("to_torch_dataset", "torch", {"torch": "PyTorch"}, "get_numpy works without it")
        size = pair("chip_size", chip_size)
        require_one_of("edges", edges, EDGES)
        grid = grid_arguments(target_crs, resolution, None, None)
        options = PixelOptions(
            self.name,
            clip=False,
            on_error=on_error,
            mask=mask,
            dilate=dilate,
            scaled=scaled,
            nodata=nodata,
            resampling=resampling,
            **grid,
        )
        asked = asked_bands(self._session, self._selection.index, self.bands, bands, data_source, options)
        scenes = chosen_scenes(
            self,
            self._selection,
            scenes_or_sql,
            filters,
            label_field=label_field,
            geometry_column=geometry_column,
            geometry_crs=geometry_crs,
        )
        request = ChipRequest(
            CollectionHandle.of(self._session, self._selection.index, self.data_source),
            CallAccess(backend, cloud_config, data_source),
            asked,
            size,
            size if stride is None else pair("stride", stride),
            edges,
            options,
            one_grid=bool(grid) or time_series,
            may_resample=allow_resample,
            time_series=time_series,
            dtype=None if dtype is None else dtype_name(dtype),
            fill=fill,
            areas=None if geometries is None else read_areas(geometries, geometry_crs, kinds=Kinds.ANY),
        )
        table = ChipTable(request, scenes)
        form = torch_dataset.SampleForm(is_image, with_valid, transforms)
        if not iterable:
            return torch_dataset.ChipDataset(table, form)
        return torch_dataset.ChipStream(
            table,
            form,
            shuffle=shuffle,
            seed=seed,
            batch_size=None if batch_size is None else positive("batch_size", batch_size),
            drop_last=drop_last,
            files_at_once=positive("files_at_once", files_at_once),
            round_bytes=positive("round_bytes", round_bytes),
            prefetch=positive("prefetch", prefetch, least=0),
            shares=_shares(shard),
        )

    def to_torchgeo_dataset(
        self: _Collection,
        *,
        bands: Bands,
        chip_size: int | tuple[int, int] | None = None,
        is_image: bool = True,
        allow_resample: bool = False,
        cloud_cover_lt: float | None = None,
        date_range: Sequence[DateLike] | str | None = None,
        bbox: Sequence[float] | None = None,
        split: str | Sequence[str] | None = None,
        split_column: str = "split",
        label_field: str | None = None,
        geometries: Any = None,
        geometries_crs: Crs = 4326,
        transforms: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        max_concurrent: int = DEFAULT_MAX_CONCURRENT,
        cloud_config: CloudConfig | Mapping[str, Any] | None = None,
        backend: StorageBackend | None = None,
        time_series: bool = False,
        target_crs: int | str | None = None,
        dtype: Any = None,
        resampling: str | None = None,
    ) -> torchgeo_dataset.RasteretGeoDataset:
        """The scenes as a GeoDataset of TorchGeo, for its samplers. Needs `pip install rasteret-sql[torchgeo]`.

        It works in worker processes of a DataLoader, forked or spawned: its pickle has no credentials.

        Args:
            bands: names, or expressions over bands; a dict names its values.
            chip_size: pixels of the chips that samplers are to give, a number or (height, width): a warning tells
                where they would give none. Queries may have any size.
            is_image: True: the pixels are `image`; False: `mask`, integers as int64, without an axis of bands if there
                is one band.
            allow_resample: True: bands with larger pixels are put on the grid of those with the smallest.
            cloud_cover_lt: which scenes, as for `subset`.
            date_range: which scenes, as for `subset`.
            bbox: which scenes, as for `subset`.
            split: which scenes, as for `subset`.
            split_column: which scenes, as for `subset`.
            label_field: column of numbers, which is `label` of samples; scenes without a value have no label.
            geometries: areas in any form that `get_numpy` takes; scenes whose footprint meets none are left out.
            geometries_crs: CRS of these.
            transforms: called last with each sample.
            max_concurrent: taken for the sake of existing code: requests are bounded for the whole process.
            cloud_config: how files are reached, in place of what is registered for the data source.
            backend: how pixels are read, in place of all these.
            time_series: True: samples have an axis of scenes in front; False: scenes are put together.
            target_crs: CRS of the dataset; by default that of the first scene, and those in others are left out with a
                warning.
            dtype: of the pixels, such as 'float32'; by default the smallest of PyTorch's that holds them: int32 for
                uint16, int64 for uint32, else their own.
            resampling: as `read_chip` has it; by default nearest for integers and bilinear for floats.

        Returns:
            A `torchgeo.datasets.GeoDataset`; see `RasteretGeoDataset`.

        Raises:
            ValueError: unknown band, no scene, or bands of different pixels.
            ImportError: PyTorch or TorchGeo is not installed.
        """
        packages = {name: name for name in ("torch", "torchgeo")}
        require_extra("to_torchgeo_dataset", "torchgeo", packages, "to_torch_dataset needs PyTorch alone")
        require_concurrency(max_concurrent)
        options = PixelOptions(self.name, clip=False, resampling=resampling)
        asked = asked_bands(self._session, self._selection.index, self.bands, bands, None, options)
        filters = {
            "cloud_cover_lt": cloud_cover_lt,
            "date_range": date_range,
            "bbox": bbox,
            "split": split,
            "split_column": split_column,
        }
        near = None
        if geometries is not None:
            areas = read_areas(geometries, geometries_crs, kinds=Kinds.ANY)
            near = SceneView(subset_of(self._selection, geometries=list(areas.lonlat())))
        columns = ["id", *([label_field] if label_field is not None else [])]
        scenes = chosen_scenes(self, self._selection, near, filters)
        labels = None
        if label_field is not None:
            require_label(self._selection.index, label_field)
            labels = scene_labels(label_field, self._selection.batches(columns).read_all(), scenes.ids)
        request = torchgeo_dataset.GeoRequest(
            CollectionHandle.of(self._session, self._selection.index, self.data_source),
            CallAccess(backend, cloud_config, None),
            ChipForm(asked, (1, 1), options, None, allow_resample),
            None if target_crs is None else crs_or_code(normalize_crs(target_crs)),
            None if chip_size is None else pair("chip_size", chip_size),
            is_image,
            time_series,
            None if dtype is None else dtype_name(dtype),
            transforms,
        )
        return torchgeo_dataset.RasteretGeoDataset(request, scenes.ids, scenes.times, labels)


def pair(name: str, value: Any) -> tuple[int, int]:
    """Read a number of pixels, or (height, width).

    Raises:
        InvalidArgumentError: it is neither.
    """
    sides = (value, value) if not isinstance(value, Sequence) else tuple(value)
    if len(sides) != 2 or not all(_is_count(side, 1) for side in sides):
        raise InvalidArgumentError(f"{name}={value!r} cannot be used; expected pixels, a number or (height, width)")
    return int(sides[0]), int(sides[1])


def positive(name: str, value: Any, *, least: int = 1) -> int:
    """Read a number.

    Raises:
        InvalidArgumentError: it is none, or below `least`.
    """
    if not _is_count(value, least):
        raise InvalidArgumentError(f"{name}={value!r} cannot be used; expected a number of {least} or more")
    return int(value)


def dtype_name(dtype: Any) -> str:
    """The name of a dtype of numpy or PyTorch."""
    return str(getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or dtype).removeprefix("torch.")


def _is_count(value: Any, least: int) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool) and value.__index__() >= least


def _shares(shard: Any) -> Shares:
    try:
        number, count = shard
        found = Shares(int(number), int(count))
    except (TypeError, ValueError):
        found = Shares(0, 0)
    if not 0 <= found.number < found.count:
        raise InvalidArgumentError(f"shard={shard!r} cannot be used; expected (number from 0, count)")
    return found
