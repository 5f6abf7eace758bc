"""`AreaReads`: reads areas on the scenes of a collection, as arrays, datasets of xarray and frames of geopandas."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

import numpy as np
import pyarrow as pa

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.hosts.area_frame import OF_SCENES, check_columns, frame_of, require_geopandas
from rasteret_sql.hosts.area_samples import AreaRead, Bands
from rasteret_sql.hosts.asked_reads import AskedReads
from rasteret_sql.hosts.awaited import awaited
from rasteret_sql.hosts.collection_handle import CallAccess, CollectionHandle
from rasteret_sql.hosts.lazy_dataset import Chunks, lazy_dataset
from rasteret_sql.hosts.read_arguments import AreaArguments, takes
from rasteret_sql.hosts.ready_arrays import ReadyArrays
from rasteret_sql.hosts.xarray_dataset import (
    COMBINE,
    arrays_for,
    check_dataset,
    dataset_of,
    require_xarray,
    times_of,
)
from rasteret_sql.selection.areas import AUTO, read_areas
from rasteret_sql.selection.pixels import Planned, any_shape, info_table

if TYPE_CHECKING:
    import geopandas
    import xarray


class AreaReads(AskedReads):
    """Has the methods of a collection that read areas."""

    @overload
    def get_numpy(
        self, geometries: Any, bands: Bands, *, return_info: Literal[False] = False, **named: Unpack[AreaArguments]
    ) -> np.ndarray: ...
    @overload
    def get_numpy(
        self, geometries: Any, bands: Bands, *, return_info: Literal[True], **named: Unpack[AreaArguments]
    ) -> tuple[np.ndarray, pa.Table]: ...
    @takes(AreaArguments)
    def get_numpy(
        self, geometries: Any, bands: Bands, *, return_info: bool = False, **named: Unpack[AreaArguments]
    ) -> np.ndarray | tuple[np.ndarray, pa.Table]:
        """Pixels of areas, on the native grid of each scene, or on one grid for all.

        Args:
            geometries: (minx, miny, maxx, maxy), polygons in any common form, or a table with a column of them.
            bands: names, or expressions over bands such as '(B08 - B04) / (B08 + B04)'; or a dict of these.
            **named: as `AreaArguments` has them.
            return_info: True: also return which scene, time, area and grid each sample is of.

        Returns:
            (N, height, width) for one band, (N, bands, height, width) for several. N counts pairs of a scene and an
            area that meet, scene by scene in the order of the index. Outside an area: `fill`, else the nodata, else 0.
            With `return_info` also an Arrow table with a row for each of the N samples: `scene_id`; `datetime`, naive
            UTC; `area`, the number of the area among those given, from 0; `transform`, the affine (a, b, c, d, e, f)
            from its pixel corners to `crs`; and `crs`.

        Raises:
            ValueError: unknown band, unusable area, no scene meets an area, the samples differ in shape, or no scene
                could be read.
            RasteretError: with `on_error='raise'`, why a scene could not be read.
            ByteLimitError: the call would fetch more than `max_bytes`.
        """
        asked = self._areas("get_numpy", geometries, bands, named)
        samples, scenes = asked.read()
        self._follow_refreshed(asked.options.on_change)
        assert samples.pixels is not None  # it raises where there are none
        pixels = samples.pixels[:, 0] if samples.pixels.shape[1] == 1 else samples.pixels
        return (pixels, info_table(samples.places, scenes)) if return_info else pixels

    @takes(AreaArguments)
    def get_xarray(
        self,
        geometries: Any,
        bands: Bands,
        *,
        xr_combine: str = "combine_first",
        chunks: Chunks = None,
        **named: Unpack[AreaArguments],
    ) -> xarray.Dataset:
        """Pixels of areas as an xarray Dataset, all scenes on one grid. Needs `pip install rasteret-sql[xarray]`.

        The grid is by default that of the first scene in the CRS that most scenes have.

        Args:
            geometries: (minx, miny, maxx, maxy), polygons in any common form, or a table with a column of them.
            bands: names, or expressions over bands; a dict names its values.
            **named: as `AreaArguments` has them.
            xr_combine: how scenes of one time are put together. 'combine_first': the first scene's valid pixels, then
                those of the next; 'merge': an xarray.MergeError where they differ; 'merge_override': the first scene's
                alone, of each area.
            chunks: None: read now. Else variables are arrays of dask, which read when they are computed, once a tile;
                needs `pip install rasteret-sql[dask]`. 'auto': a time and an area each, and about 1024 × 1024 pixels;
                a number: so many pixels each way; or a dict of time, geometry, y and x. Chunks of y and x end at
                multiples of their size in the grid, so at stored tiles where these are on it.

        Returns:
            A variable for each band, in its own dtype, with the dimensions time, geometry, y and x. `time` is naive
            UTC, ascending; scenes of one time share it. `geometry` numbers the areas from 1. `y` and `x` are centres of
            pixels, in the CRS that `spatial_ref` describes as CF does. Where no scene has a valid pixel of the area:
            `_FillValue`, which is `fill`, else the file's nodata, else 0.

        Raises:
            ValueError: unknown band, unusable area, no scene meets an area, or no scene could be read.
            ImportError: xarray is not installed.
            MemoryLimitError: before any request, when the dataset would exceed `max_call_bytes`.
            RasteretError: with `on_error='raise'`, why a scene could not be read.
            ByteLimitError: the call would fetch more than `max_bytes`.
            xarray.MergeError: with `xr_combine='merge'`, scenes of one time differ.
        """
        require_xarray("get_xarray", "get_numpy works without it")
        if xr_combine not in COMBINE:
            raise InvalidArgumentError(f"xr_combine={xr_combine!r} is not known; expected one of {', '.join(COMBINE)}")
        asked = self._areas("get_xarray", geometries, bands, named, one_grid=True)
        count, shape = len(asked.areas.geometries), asked.options.shape
        if shape is not None and count > 1:
            raise InvalidArgumentError(
                f"shape={shape} gives each of {count} areas a grid of its own, and a dataset has one; give resolution="
            )
        if chunks is not None:
            access = CallAccess(named.get("backend"), named.get("cloud_config"), named.get("data_source"))
            return lazy_dataset(
                asked, CollectionHandle.of(self._session, self._index, self.data_source), access, chunks, xr_combine
            )
        most = self._session.settings.max_call_bytes
        ready: ReadyArrays | None = None

        def into(planned: Sequence[Planned], scenes: pa.Table) -> Sequence[np.ndarray | None]:
            nonlocal ready
            ready, places = arrays_for(planned, times_of(scenes), len(asked.names), count)
            return places

        samples, scenes = asked.read(lambda plans: check_dataset(plans, count, most), each_band=True, into=into)
        self._follow_refreshed(asked.options.on_change)
        return dataset_of(samples, times_of(scenes), asked.names, count, xr_combine, ready=ready)

    @takes(AreaArguments)
    def get_gdf(self, geometries: Any, bands: Bands, **named: Unpack[AreaArguments]) -> geopandas.GeoDataFrame:
        """Pixels of areas as a GeoDataFrame, a row for each scene, area and band. Needs `rasteret-sql[geopandas]`.

        Each band is on its own grid, unless the call asks for one.

        Args:
            geometries: (minx, miny, maxx, maxy), polygons in any common form, or a table with a column of them, whose
                other columns go into the frame.
            bands: names, or expressions over bands; a dict names them.
            **named: as `AreaArguments` has them.

        Returns:
            `record_id`; `datetime`, naive UTC; `cloud_cover`, NaN where the scene does not say; `collection`, that of
            the item; `geometry_id`, the number of the area from 1; `geometry`, the area, in target_crs if given;
            `band`; `data`, an array (height, width), outside the area `fill`, else the nodata, else 0; `transform`, the
            affine.Affine from pixel corners to `data_crs`; `data_crs`; and the other columns of a table of areas.

        Raises:
            ValueError: unknown band, unusable area, a column of the areas has the name of another one, no scene meets
                an area, or no scene could be read.
            ImportError: geopandas is not installed.
            MemoryLimitError: before any request, when the pixels would exceed `max_call_bytes`.
            RasteretError: with `on_error='raise'`, why a scene could not be read.
            ByteLimitError: the call would fetch more than `max_bytes`.
        """
        require_geopandas("get_gdf", "get_numpy(..., return_info=True) works without it")
        asked = self._areas("get_gdf", geometries, bands, named)
        check_columns(asked.areas)
        columns = [name for name in OF_SCENES if name in self._index.scene_columns]
        samples, scenes = asked.read(any_shape, columns=columns, apart=True)
        self._follow_refreshed(asked.options.on_change)
        crs = asked.areas.crs if named.get("target_crs") is None else asked.options.crs
        assert crs is not None  # it is the one that was given
        return frame_of(samples, scenes, asked.areas, asked.names, source=self.data_source, crs=crs)

    get_gdf_async = awaited(get_gdf)
    get_numpy_async = awaited(get_numpy)
    get_xarray_async = awaited(get_xarray)

    def _areas(
        self, function: str, geometries: Any, bands: Bands, named: AreaArguments, *, one_grid: bool = False
    ) -> AreaRead:
        """The read of areas that a call asks for; with `one_grid` on one grid, also where it says nothing of that."""
        areas = read_areas(geometries, named.get("geometry_crs", AUTO), named.get("geometry_column"))
        asked = self._asked(function, areas, bands, AreaArguments, named)
        return dataclasses.replace(asked, one_grid=True) if one_grid else asked
