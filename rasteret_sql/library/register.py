"""Registers collections of this machine as datasets, and opens them by their ids."""

from __future__ import annotations

import os

from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.catalog.local_datasets import save_local_descriptor
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.errors import IndexFormatError, RasteretError
from rasteret_sql.index.place.collection_index import CollectionIndex, open_collection
from rasteret_sql.index.place.workspace import describe


def register_local(
    dataset_id: str,
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    description: str = "",
    data_source: str = "",
    persist: bool = True,
    registry_path: str | os.PathLike[str] | None = None,
) -> DatasetDescriptor:
    """Register a collection on this machine as a dataset, for this process and for all later ones.

    `build(dataset_id, name=...)` and `rasteret_build` then open it as it is, without a search. One of the same id is
    replaced.

    Args:
        dataset_id: id of the dataset, such as local/my-collection.
        path: directory or Parquet file of a collection on this machine: an export, or one of a workspace.
        name: name for people; that of the collection by default.
        description: one line for listings.
        data_source: where its scenes come from; what the collection says by default.
        persist: False: for this process only.
        registry_path: file to keep it in; `~/.rasteret/datasets.local.json` by default.

    Returns:
        The descriptor, with the collection's bands and dates.

    Raises:
        FileNotFoundError: nothing is at the path.
        ValueError: what is there is no collection.
    """
    index = open_collection(os.fspath(path))
    _require_bands(index)
    source = data_source or index.data_source
    origin = DatasetRegistry.get(source) or DatasetDescriptor(id=source or dataset_id)
    descriptor = DatasetDescriptor(
        id=dataset_id,
        name=name or index.name,
        description=description or index.description,
        stac_collection=source or None,
        # Absolute, unlike rasteret's: a later process may run in another directory.
        collection_uri=str(index.path),
        # Bands that the origin does not name are their own assets.
        band_map={band: (origin.band_map or {}).get(band, band) for band in index.bands},
        band_index_map={band: n for band, n in (origin.band_index_map or {}).items() if band in index.bands} or None,
        separate_files=origin.separate_files,
        spatial_coverage="local",
        temporal_range=describe(index)["date_range"],
    )
    if persist:
        save_local_descriptor(descriptor, registry_path)
    DatasetRegistry.register(descriptor)
    return descriptor


def local_collection(descriptor: DatasetDescriptor, name: str) -> CollectionIndex | None:
    """The ready collection on this machine that a dataset names; None where it names none.

    Raises:
        MissingObjectError: it names one that is not there any more.
        IndexFormatError: what is there is no collection.
    """
    ready = descriptor.collection_uri
    table = descriptor.build_source_uri
    try:
        # A dataset of the whole world that lies elsewhere is not opened where a table says which scenes are meant.
        if ready and (_is_local(ready) or not table):
            return _require_bands(open_collection(ready, name))
        if table and _is_local(table):
            index = open_collection(table, name)
            return index if index.bands else None
    except IndexFormatError as error:
        if not ready:
            return None  # a table of records, from which a collection has to be built first
        raise IndexFormatError(_failure(descriptor, error)) from error
    except RasteretError as error:
        raise error.retold(_failure(descriptor, error)) from error
    return None


def _failure(descriptor: DatasetDescriptor, error: RasteretError) -> str:
    return f'dataset "{descriptor.id}" cannot be opened: {error}; register_local or unregister_local sets it right'


def _require_bands(index: CollectionIndex) -> CollectionIndex:
    if not index.bands:
        raise IndexFormatError(
            f"{index.path} has scenes but no headers of bands, so it is a table and not yet a collection; build a "
            "collection first"
        )
    return index


def _is_local(address: str) -> bool:
    return "://" not in address or address.startswith("file://")
