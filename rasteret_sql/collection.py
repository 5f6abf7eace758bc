"""Shows a collection in Python: views of an index, with pixels through the code of SQL."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from datetime import UTC
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import duckdb
import numpy as np
import pyarrow as pa

from rasteret_sql.callbacks import Progress
from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.engine.cancel import cancellation, watch_sigint
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions.misspelt import explained
from rasteret_sql.functions.python_arguments import grid_arguments, most_bytes, progress_listener
from rasteret_sql.hosts.area_samples import AreaRead, Bands
from rasteret_sql.hosts.async_reads import AsyncReads
from rasteret_sql.hosts.duckdb import DEFAULT_CATALOG
from rasteret_sql.hosts.lazy_dataset import CallAccess, Chunks, CollectionHandle, lazy_dataset
from rasteret_sql.hosts.private_database import OwnDatabase, hold
from rasteret_sql.hosts.record_windows import RecordWindows
from rasteret_sql.hosts.xarray_dataset import COMBINE, check_dataset, dataset_of, require_xarray, times_of
from rasteret_sql.index.change.build_request import require_concurrency
from rasteret_sql.index.change.export import DEFAULT_PARTITIONS, export_collection
from rasteret_sql.index.place.collection_index import CollectionIndex, open_collection
from rasteret_sql.index.place.location import workspace_of
from rasteret_sql.index.place.workspace import list_collections
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.settings import DEFAULT_MAX_CONCURRENT
from rasteret_sql.library.build_options import BuildOptions
from rasteret_sql.library.maintain import append_collection, refresh_collection
from rasteret_sql.quoting import quote_name
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.scenes.dates import DateLike
from rasteret_sql.selection.areas import AUTO, Crs, read_areas
from rasteret_sql.selection.call_access import call_backend
from rasteret_sql.selection.pixels import info_table
from rasteret_sql.selection.private_reader import Reader
from rasteret_sql.selection.scene_view import SceneView
from rasteret_sql.selection.selection import Selection
from rasteret_sql.session.session import Session, new_session

if TYPE_CHECKING:
    import xarray

Areas = Any
"""What `get_numpy` reads: see `selection/areas.py`."""


class Collection(RecordWindows, AsyncReads, SceneView):
    """Scenes of one index, all or a part of them. Made by `build`, `build_from_stac`, `load` and others.

    `subset` and `where` give new collections over the same index; nothing is read before rows, counts or pixels are
    asked for, and all of these see the chosen scenes only.
    """

    def __init__(
        self, index: CollectionIndex, session: Session, *, part: tuple[Selection, OwnDatabase] | None = None
    ) -> None:
        if part is None:
            session.add(index)
        self._session = session
        selection, self._database = part or (Selection(index, Reader()), OwnDatabase(session))
        super().__init__(selection)

    def _part(self, selection: Selection) -> Self:
        return type(self)(selection.index, self._session, part=(selection, self._database))

    @classmethod
    def from_parquet(cls, path: str | os.PathLike[str], name: str = "", *, data_source: str = "") -> Self:
        """Open an index on disk, as `load` does, and leave what names mean as it is.

        `data_source` says where its scenes come from if the index does not.
        """
        index = open_collection(os.fspath(path), name)
        return cls(dataclasses.replace(index, data_source=data_source or index.data_source), new_session())

    @classmethod
    def list_collections(cls, workspace_dir: str | os.PathLike[str] | None = None) -> list[dict[str, Any]]:
        """The collections cached in a workspace, a directory or URL, by name.

        Returns:
            For each: name, kind (`stac` or `records`), data_source, date_range ((first, last) ISO day of its scenes,
            or None), size (scenes), bands, created (seconds since 1970), path. A missing directory gives [].
        """
        found = list_collections(workspace_of(workspace_dir))
        return [{**entry, "created": entry["created"].replace(tzinfo=UTC).timestamp()} for entry in found]

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        con = self._database.connect(self.name)
        if self._selection.is_whole:
            scenes = f"FROM {DEFAULT_CATALOG}.main.{quote_name(self.name)}"
        else:
            scenes = self._selection.shown_sql()
        con.execute(f"CREATE OR REPLACE TEMP VIEW scenes AS {scenes}")
        hold(con, self._selection)
        return con

    def sql(self, query: str, params: Sequence[Any] | None = None) -> duckdb.DuckDBPyRelation:
        """Run SQL in which the scenes are the table `scenes` (all scenes of the index are `rasteret."<name>"`).

        Args:
            query: such as `SELECT id, zonal_stats(id, 'B04', $1).mean FROM scenes`.
            params: values of the query's parameters.

        Returns:
            A DuckDB relation: `.fetchall()`, `.to_arrow_table()`, `.df()`, ...

        Raises:
            duckdb.Error: as DuckDB has it; of a named argument that is misspelt it says which is meant.
        """
        try:
            return self._connection.sql(query, params=params) if params is not None else self._connection.sql(query)
        except duckdb.BinderException as error:
            text = explained(query, str(error))
            if text == str(error):
                raise
            raise duckdb.BinderException(text) from None

    def scenes(self) -> duckdb.DuckDBPyRelation:
        """The scenes as a DuckDB relation, to filter, join and aggregate."""
        return self.sql("FROM scenes")

    # Its life

    def export(self, path: str | os.PathLike[str], partition_by: Sequence[str] = DEFAULT_PARTITIONS) -> None:
        """Write the scenes as portable, partitioned GeoParquet with everything that the index knows of them.

        Args:
            path: a directory that does not exist, is empty, or holds a collection, which is replaced.
            partition_by: columns whose values make the directories.
        """
        ids = None if self._selection.is_whole else set(self._selection.values("id"))
        export_collection(self._index, os.fspath(path), ids=ids, partition_by=partition_by, stores=self._session.stores)

    def append(
        self,
        *,
        bbox: Sequence[float] | None = None,
        date_range: Sequence[DateLike] | str | None = None,
        query: Mapping[str, Any] | str | None = None,
        stac_api: str | os.PathLike[str] | None = None,
        max_concurrent: int = DEFAULT_MAX_CONCURRENT,
        backend: StorageBackend | None = None,
        headers: Mapping[str, str] | None = None,
        progress: bool | Progress | None = None,
    ) -> Self:
        """Add the scenes of another place or time to the stored collection; only their files are read.

        What is not given is as it was in the build, but `headers` are never kept: give them again. Parts that were
        taken with `subset` or `where` before stay as they were.

        Args:
            bbox: where the new scenes are; as in the build.
            date_range: first and last day of the new scenes; as in the build.
            query: conditions on the new items; as in the build.
            stac_api: address of the source, if it has moved; that of the build by default.
            max_concurrent: headers read at a time; 50 by default.
            backend: how headers are read, in place of the collection's.
            headers: sent only to the STAC server, to sign in: {'Authorization': 'Bearer ...'}; never kept.
            progress: True: shown on stderr; a function: told (done, total or None, what) while it runs.

        Returns:
            This collection, which has the new scenes now.
        """
        self._require_whole("append")
        watch_sigint()
        options = BuildOptions(
            bbox=bbox,
            date_range=date_range,
            query=query,
            stac_api=stac_api,
            max_concurrent=max_concurrent,
            backend=backend,
            headers=headers,
            progress=progress_listener(progress),
            cancelled=cancellation(),
        )
        with self._session.receipts.begin("append"):
            append_collection(self._session, self._index, options)
        return self._reopened()

    def refresh(
        self,
        *,
        stac_api: str | os.PathLike[str] | None = None,
        max_concurrent: int = DEFAULT_MAX_CONCURRENT,
        backend: StorageBackend | None = None,
        headers: Mapping[str, str] | None = None,
        progress: bool | Progress | None = None,
    ) -> Self:
        """Ask the collection's sources again: changed scenes are read anew, new ones added, gone ones marked in status.

        Args:
            stac_api: address of the source, if it has moved; that of the build by default.
            max_concurrent: headers read at a time; 50 by default.
            backend: how headers are read, in place of the collection's.
            headers: sent only to the STAC server, to sign in: {'Authorization': 'Bearer ...'}; never kept.
            progress: True: shown on stderr; a function: told (done, total or None, what) while it runs.

        Returns:
            This collection, as it is now.
        """
        self._require_whole("refresh")
        watch_sigint()
        options = BuildOptions(
            stac_api=stac_api,
            max_concurrent=max_concurrent,
            backend=backend,
            headers=headers,
            progress=progress_listener(progress),
            cancelled=cancellation(),
        )
        with self._session.receipts.begin("refresh"):
            refresh_collection(self._session, self._index, options)
        return self._reopened()

    def _require_whole(self, what: str) -> None:
        if not self._selection.is_whole:
            raise InvalidArgumentError(
                f'this is a part of collection "{self.name}"; {what} changes the stored collection: call it on the '
                "collection that the part was taken from"
            )

    def _reopened(self) -> Self:
        self._selection = Selection(self._read_anew(), self._selection.reader)
        self._session.add(self._index)
        return self

    # Their pixels

    @overload
    def get_numpy(
        self, geometries: Areas, bands: Bands, *, return_info: Literal[False] = False, **named: Any
    ) -> np.ndarray: ...
    @overload
    def get_numpy(
        self, geometries: Areas, bands: Bands, *, return_info: Literal[True], **named: Any
    ) -> tuple[np.ndarray, pa.Table]: ...
    def get_numpy(
        self,
        geometries: Areas,
        bands: Bands,
        *,
        max_concurrent: int = DEFAULT_MAX_CONCURRENT,
        progress: bool | Progress | None = None,
        cloud_config: CloudConfig | Mapping[str, Any] | None = None,
        data_source: str | None = None,
        backend: StorageBackend | None = None,
        target_crs: int | str | None = None,
        geometry_crs: Crs = AUTO,
        geometry_column: str | None = None,
        all_touched: bool = False,
        resolution: float | tuple[float, float] | None = None,
        resampling: str | None = None,
        shape: tuple[int, int] | None = None,
        align: str | tuple[float, float] | None = None,
        on_error: str = "null",
        on_change: str = "raise",
        return_info: bool = False,
        max_bytes: int | str | None = None,
        mask: str | None = None,
        dilate: int = 0,
        scaled: bool = False,
        nodata: float | None = None,
        **filters: Any,
    ) -> np.ndarray | tuple[np.ndarray, pa.Table]:
        """Pixels of areas, on the native grid of each scene, or on one grid for all.

        Args:
            geometries: (minx, miny, maxx, maxy), polygons in any common form, or a table with a column of them.
            bands: names, or expressions over bands such as '(B08 - B04) / (B08 + B04)'; or a dict of these.
            max_concurrent: taken for the sake of existing code: requests are bounded for the whole process.
            progress: True: shown on stderr; a function: told (done, total, what).
            cloud_config: how files are reached in this call, in place of what is registered for the data source.
            data_source: dataset of the scenes, in place of the collection's: its config and login reach the files, and
                its names of bands serve beside the collection's own.
            backend: how pixels are read in this call, in place of all these.
            target_crs: CRS of the pixels (EPSG code). It, resolution, shape or align asks for one grid for all scenes.
            geometry_crs: CRS of the areas; by default what they say themselves, else EPSG:4326.
            geometry_column: which column, where the areas are a table.
            all_touched: True: pixels that an area touches; False: pixels whose centre it holds.
            resolution: size of a pixel in units of its CRS, a number or (x, y).
            resampling: as `read_chip` has it, one of GDAL's methods.
            shape: (height, width) of each area in pixels, in place of a resolution.
            align: id of a scene whose grid the pixels are in line with, or a point (x, y) at a corner of pixels.
            on_error: 'null': scenes that cannot be read are left out, and a RuntimeWarning counts them; 'raise': the
                first of them is an error.
            on_change: 'raise': a file that was changed since it was indexed cannot be read; 'refresh': its header is
                read again, and the index brought up to date.
            max_bytes: most bytes to fetch, such as 10_000_000 or '10 MB': a call that needs more is an error before its
                first request. What is cached is free.
            mask: condition over bands, such as 'SCL IN (3, 8, 9)': where it is true, pixels are not valid.
            dilate: pixels by which the mask grows in all directions, 0 to 256.
            scaled: True: values in units, by scale and offset; False: as stored.
            nodata: value of pixels that are not valid, in place of what the file says.
            return_info: True: also return which scene, time, area and grid each sample is of.
            **filters: which scenes: cloud_cover_lt, date_range, bbox, split, split_column, as for `subset`.

        Returns:
            (N, height, width) for one band, (N, bands, height, width) for several. N counts pairs of a scene and an
            area that meet, scene by scene in the order of the index. Outside an area: the file's nodata, else 0.
            With `return_info` also an Arrow table with a row for each of the N samples: `scene_id`; `datetime`, naive
            UTC; `area`, the number of the area among those given, from 0; `transform`, the affine (a, b, c, d, e, f)
            from its pixel corners to `crs`; and `crs`.

        Raises:
            ValueError: unknown band, unusable area, no scene meets an area, the samples differ in shape, or no scene
                could be read.
            RasteretError: with `on_error='raise'`, why a scene could not be read.
            ByteLimitError: the call would fetch more than `max_bytes`.
        """
        grid = grid_arguments(target_crs, resolution, shape, align)
        options = PixelOptions(
            self.name,
            all_touched=all_touched,
            on_error=on_error,
            on_change=on_change,
            max_bytes=most_bytes(max_bytes),
            mask=mask,
            dilate=dilate,
            scaled=scaled,
            nodata=nodata,
            resampling=resampling,
            **grid,
        )
        require_concurrency(max_concurrent)
        asked = AreaRead(
            self._session,
            self._selection,
            self.bands,
            areas=read_areas(geometries, geometry_crs, geometry_column),
            bands=bands,
            options=options,
            reader=call_backend(self._session, backend, cloud_config, data_source, self.data_source),
            data_source=data_source,
            progress=progress,
            filters=filters,
            one_grid=bool(grid),
        )
        samples, scenes = asked.read()
        self._follow_refreshed(on_change)
        assert samples.pixels is not None  # it raises where there are none
        pixels = samples.pixels[:, 0] if samples.pixels.shape[1] == 1 else samples.pixels
        return (pixels, info_table(samples.places, scenes)) if return_info else pixels

    def get_xarray(
        self,
        geometries: Areas,
        bands: Bands,
        *,
        max_concurrent: int = DEFAULT_MAX_CONCURRENT,
        progress: bool | Progress | None = None,
        cloud_config: CloudConfig | Mapping[str, Any] | None = None,
        data_source: str | None = None,
        backend: StorageBackend | None = None,
        target_crs: int | str | None = None,
        geometry_crs: Crs = AUTO,
        geometry_column: str | None = None,
        all_touched: bool = False,
        xr_combine: str = "combine_first",
        resolution: float | tuple[float, float] | None = None,
        resampling: str | None = None,
        shape: tuple[int, int] | None = None,
        align: str | tuple[float, float] | None = None,
        chunks: Chunks = None,
        on_error: str = "null",
        on_change: str = "raise",
        max_bytes: int | str | None = None,
        mask: str | None = None,
        dilate: int = 0,
        scaled: bool = False,
        nodata: float | None = None,
        **filters: Any,
    ) -> xarray.Dataset:
        """Pixels of areas as an xarray Dataset, all scenes on one grid. Needs `pip install rasteret-sql[xarray]`.

        Args:
            geometries: (minx, miny, maxx, maxy), polygons in any common form, or a table with a column of them.
            bands: names, or expressions over bands; a dict names its values.
            max_concurrent: as `get_numpy` has it.
            progress: as `get_numpy` has it.
            cloud_config: as `get_numpy` has it.
            data_source: as `get_numpy` has it.
            backend: as `get_numpy` has it.
            target_crs: CRS of the pixels (EPSG code); by default that of most scenes, and a warning tells where they
                are in several.
            geometry_crs: as `get_numpy` has it.
            geometry_column: as `get_numpy` has it.
            all_touched: as `get_numpy` has it.
            xr_combine: how scenes of one time are put together. 'combine_first': the first scene's valid pixels, then
                those of the next; 'merge': an xarray.MergeError where they differ; 'merge_override': the first scene's
                alone, of each area.
            resolution: size of a pixel in units of its CRS, a number or (x, y); by default as many metres as the finest
                band of the first scene has.
            resampling: as `read_chip` has it, one of GDAL's methods. Pixels that are only moved stay as they are.
            shape: (height, width) of the area in pixels, in place of a resolution. For one area.
            align: id of a scene whose grid the pixels are in line with, or a point (x, y) at a corner of pixels; by
                default the grid of the first scene, if its CRS and resolution are those of the pixels, else (0, 0).
            chunks: None: read now. Else variables are arrays of dask, which read when they are computed, once a tile;
                needs `pip install rasteret-sql[dask]`. 'auto': a time and an area each, and about 1024 × 1024 pixels;
                a number: so many pixels each way; or a dict of time, geometry, y and x. Chunks of y and x end at
                multiples of their size in the grid, so at stored tiles where these are on it.
            on_error: as `get_numpy` has it.
            on_change: as `get_numpy` has it.
            max_bytes: as `get_numpy` has it.
            mask: as `get_numpy` has it.
            dilate: as `get_numpy` has it.
            scaled: as `get_numpy` has it.
            nodata: as `get_numpy` has it.
            **filters: which scenes: cloud_cover_lt, date_range, bbox, split, split_column, as for `subset`.

        Returns:
            A variable for each band, in its own dtype, with the dimensions time, geometry, y and x. `time` is naive
            UTC, ascending; scenes of one time share it. `geometry` numbers the areas from 1. `y` and `x` are centres of
            pixels, in the CRS that `spatial_ref` describes as CF does. Where no scene has a valid pixel of the area:
            `_FillValue`, which is the file's nodata, else 0.

        Raises:
            ValueError: unknown band, unusable area, no scene meets an area, or no scene could be read.
            ImportError: xarray is not installed.
            MemoryLimitError: before any request, when the dataset would exceed `max_call_bytes`.
            RasteretError: with `on_error='raise'`, why a scene could not be read.
            ByteLimitError: the call would fetch more than `max_bytes`.
            xarray.MergeError: with `xr_combine='merge'`, scenes of one time differ.
        """
        require_xarray()
        if xr_combine not in COMBINE:
            raise InvalidArgumentError(f"xr_combine={xr_combine!r} is not known; expected one of {', '.join(COMBINE)}")
        areas = read_areas(geometries, geometry_crs, geometry_column)
        if shape is not None and len(areas.geometries) > 1:
            raise InvalidArgumentError(
                f"shape={shape} gives each of {len(areas.geometries)} areas a grid of its own, and a dataset has one; "
                "give resolution="
            )
        options = PixelOptions(
            self.name,
            all_touched=all_touched,
            on_error=on_error,
            on_change=on_change,
            max_bytes=most_bytes(max_bytes),
            mask=mask,
            dilate=dilate,
            scaled=scaled,
            nodata=nodata,
            resampling=resampling,
            **grid_arguments(target_crs, resolution, shape, align),
        )
        require_concurrency(max_concurrent)
        asked = AreaRead(
            self._session,
            self._selection,
            self.bands,
            areas=areas,
            bands=bands,
            options=options,
            reader=call_backend(self._session, backend, cloud_config, data_source, self.data_source),
            data_source=data_source,
            progress=progress,
            filters=filters,
            one_grid=True,
        )
        if chunks is not None:
            access = CallAccess(backend, cloud_config, data_source)
            return lazy_dataset(
                asked, CollectionHandle.of(self._session, self._index, self.data_source), access, chunks, xr_combine
            )
        count, most = len(areas.geometries), self._session.settings.max_call_bytes
        samples, scenes = asked.read(lambda plans: check_dataset(plans, count, most))
        self._follow_refreshed(on_change)
        return dataset_of(samples, times_of(scenes), asked.names, xr_combine)

    def _read_anew(self) -> CollectionIndex:
        """The index as it is now, reached as it was."""
        return open_collection(self._index.place, self.name, self._index.stores)

    def _follow_refreshed(self, on_change: str) -> None:
        """Go on with the index as it is now, if headers of changed files were put into it."""
        if on_change != "refresh" or self._index.is_current():
            return
        index = self._read_anew()
        self._selection = dataclasses.replace(self._selection, index=index)
        self.__dict__.pop("_connection", None)
