"""Opens collections with `xarray.open_dataset(path, engine="rasteret_sql")`, lazily: pixels are read when asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from xarray import Variable
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from rasteret_sql.geo.crs import LONLAT
from rasteret_sql.hosts.area_reads import AreaReads
from rasteret_sql.hosts.collection_handle import CallAccess, CollectionHandle
from rasteret_sql.hosts.lazy_dataset import BlockReader, planned_dataset
from rasteret_sql.hosts.read_arguments import AreaArguments, argument_names
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.library.load import find_loaded
from rasteret_sql.reading.options import Whole
from rasteret_sql.schema import MANIFEST
from rasteret_sql.selection.areas import Areas
from rasteret_sql.selection.private_reader import Reader
from rasteret_sql.selection.selection import Selection
from rasteret_sql.session.session import Session, new_session

if TYPE_CHECKING:
    import xarray


class _Scenes(AreaReads):
    """A collection, as far as a dataset of it needs one."""

    def __init__(self, session: Session, index: CollectionIndex) -> None:
        session.add(index)
        self._session = session
        super().__init__(Selection(index, Reader()))

    def dataset(
        self, geometries: Any, bands: Sequence[str] | Mapping[str, str], combine: str, named: AreaArguments
    ) -> xarray.Dataset:
        """The lazy dataset of areas, or of all images where there are none."""
        if geometries is None:
            whole = np.empty(1, object)
            whole[0] = Whole.IMAGE
            asked = self._asked("open_dataset", Areas(whole, LONLAT), bands, AreaArguments, named)
            asked = replace(asked, one_grid=True)
        else:
            asked = self._areas("open_dataset", geometries, bands, named, one_grid=True)
        handle = CollectionHandle.of(self._session, self._index, self.data_source)
        access = CallAccess(named.get("backend"), named.get("cloud_config"), named.get("data_source"))
        found = planned_dataset(asked, handle, access, "auto", combine, _wrapped)
        return found.isel(geometry=0, drop=True) if geometries is None else found


class LazyPixels(BackendArray):  # type: ignore[misc]
    """The pixels of a variable, read when xarray asks for them."""

    def __init__(self, reader: BlockReader) -> None:
        self.reader = reader
        self.shape = reader.shape
        self.dtype = reader.variable.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        """The pixels of a key with an integer, a slice or positions for each dimension."""
        every = [np.arange(length)[one] for one, length in zip(key, self.shape, strict=True)]
        places = [np.atleast_1d(one) for one in every]
        if not all(len(one) for one in places):
            return np.empty([len(one) for one in every if one.ndim], self.dtype)
        times, areas = (np.unique(one) for one in places[:2])
        rows, cols = (range(int(one.min()), int(one.max()) + 1) for one in places[2:])
        found = self.reader.read(times.tolist(), areas.tolist(), rows, cols)
        at = (
            np.searchsorted(times, places[0]),
            np.searchsorted(areas, places[1]),
            places[2] - rows.start,
            places[3] - cols.start,
        )
        picked: np.ndarray = found[np.ix_(*at)]
        return picked.reshape([len(one) for one in every if one.ndim])


def _wrapped(reader: BlockReader, sizes: tuple[tuple[int, ...], ...]) -> Variable:
    dims = "time", "geometry", "y", "x"
    encoding = {"preferred_chunks": dict(zip(dims, sizes, strict=True))}
    return Variable(dims, indexing.LazilyIndexedArray(LazyPixels(reader)), encoding=encoding)


class RasteretBackend(BackendEntrypoint):  # type: ignore[misc]
    """Opens a collection by its path, its URL or its name in a workspace."""

    description = "Open collections of rasteret_sql: all scenes on one grid, read when values are needed"
    url = "https://github.com/terrafloww/rasteret"
    open_dataset_parameters = (
        *("filename_or_obj", "drop_variables", "bands", "geometries", "xr_combine", "workspace_dir"),
        *argument_names(AreaArguments),
    )

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Sequence[str] | None = None,
        bands: str | Sequence[str] | Mapping[str, str] | None = None,
        geometries: Any = None,
        xr_combine: str = "combine_first",
        workspace_dir: str | os.PathLike[str] | None = None,
        **named: Any,
    ) -> xarray.Dataset:
        """The dataset of a collection, as `get_xarray` gives it, with pixels that are not read yet.

        Args:
            filename_or_obj: path or URL of a collection, or the name of a cached one.
            drop_variables: bands that are left out.
            bands: names, or expressions over bands; all bands by default.
            geometries: areas, as `get_xarray` takes them; by default all of each image, without the dimension geometry.
            xr_combine: as `get_xarray` has it.
            workspace_dir: where names are looked up; `~/rasteret_workspace` by default.
            **named: as `AreaArguments` has them.
        """
        session = new_session(workspace_dir, backend=named.get("backend"))
        index = find_loaded(session.workspace_dir, filename_or_obj, "", session.stores)
        wanted = list(index.bands) if bands is None else [bands] if isinstance(bands, str) else bands
        dropped = {drop_variables} if isinstance(drop_variables, str) else set(drop_variables or ())
        if isinstance(wanted, Mapping):
            wanted = {name: band for name, band in wanted.items() if name not in dropped}
        else:
            wanted = [name for name in wanted if name not in dropped]
        return _Scenes(session, index).dataset(geometries, wanted, xr_combine, named)  # type: ignore[arg-type]

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """True for the directory of a built collection."""
        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        return (Path(filename_or_obj) / MANIFEST).is_file()
