"""build, build_from_stac and load: collections in Python, by the same code as in SQL."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.collection import Collection
from rasteret_sql.engine.cancel import cancellation, watch_sigint
from rasteret_sql.index.build import Progress
from rasteret_sql.index.open import open_collection
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.kernels.building import DEFAULT_MAX_CONCURRENT, build_dataset, build_stac
from rasteret_sql.kernels.registering import local_collection
from rasteret_sql.session import new_session


def build(
    dataset: str,
    *,
    name: str,
    bbox: Sequence[float] | None = None,
    date_range: tuple[str, str] | None = None,
    workspace_dir: str | os.PathLike[str] | None = None,
    force: bool = False,
    max_concurrent: int = DEFAULT_MAX_CONCURRENT,
    query: Mapping[str, Any] | str | None = None,
    prefer_geoparquet: bool = False,
    stac_api: str | None = None,
    cloud_config: CloudConfig | Mapping[str, Any] | None = None,
    backend: StorageBackend | None = None,
    progress: Progress | None = None,
) -> Collection:
    """Build the collection of a registered dataset, or reuse the cached one: an identical call makes no request.

    Args:
        dataset: registry id, such as `earthsearch/sentinel-2-l2a`.
        name: name of the collection.
        bbox: (west, south, east, north) in lon/lat; needed where the dataset is a STAC API.
        date_range: (first, last) ISO dates, both days included; needed where the dataset is a STAC API.
        workspace_dir: where collections are kept; `~/rasteret_workspace` by default.
        force: build again even when the index is cached.
        max_concurrent: headers read at a time.
        query: conditions on item properties, as STAC's query extension has them, or as SQL text:
            `"eo:cloud_cover" < 20 AND platform = 'landsat-8'`.
        prefer_geoparquet: the dataset's table rather than its STAC API, if it has one.
        stac_api: another address for the dataset's STAC API or static catalog.
        cloud_config: URL rewriting for the files.
        backend: how headers and pixels are read.
        progress: told (done, total or None, what) while it runs.

    Raises:
        KeyError: no dataset of that id.
        ValueError: an argument cannot be used, or no scene was found.
    """
    session = new_session(workspace_dir, backend=backend)
    watch_sigint()
    index = build_dataset(
        session,
        dataset=dataset,
        name=name,
        bbox=bbox,
        date_range=date_range,
        query=query,
        force=force,
        max_concurrent=max_concurrent,
        prefer_geoparquet=prefer_geoparquet,
        stac_api=stac_api,
        cloud_config=cloud_config,
        progress=progress,
        cancelled=cancellation(),
    )
    return Collection(index, session)


def build_from_stac(
    *,
    name: str,
    stac_api: str | os.PathLike[str],
    collection: str | None = None,
    data_source: str | None = None,
    band_map: Mapping[str, str] | None = None,
    band_index_map: Mapping[str, int] | None = None,
    bbox: Sequence[float] | None = None,
    date_range: tuple[str, str] | None = None,
    workspace_dir: str | os.PathLike[str] | None = None,
    force: bool = False,
    max_concurrent: int = DEFAULT_MAX_CONCURRENT,
    cloud_config: CloudConfig | Mapping[str, Any] | None = None,
    query: Mapping[str, Any] | str | None = None,
    backend: StorageBackend | None = None,
    static_catalog: bool = False,
    progress: Progress | None = None,
) -> Collection:
    """Build the collection of any STAC API or static catalog, or reuse the cached one.

    Args:
        name: name of the collection.
        stac_api: URL of an API, or path or URL of a static catalog, collection or item collection.
        collection: STAC collection; None for all that a static catalog has.
        data_source: source kept with the index; the STAC collection by default.
        band_map: band name → asset key; None: bands are named as the items say.
        band_index_map: band name → sample from 0, for bands that share a file.
        bbox: as for `build`.
        date_range: as for `build`.
        workspace_dir: as for `build`.
        force: as for `build`.
        max_concurrent: as for `build`.
        cloud_config: as for `build`.
        query: as for `build`.
        backend: as for `build`.
        static_catalog: taken for the sake of existing code: what the address gives tells.
        progress: as for `build`.

    Raises:
        ValueError: an argument cannot be used, or no scene was found.
    """
    session = new_session(workspace_dir, backend=backend)
    watch_sigint()
    index = build_stac(
        session,
        name=name,
        stac_api=stac_api,
        collection=collection,
        data_source=data_source,
        band_map=band_map,
        band_index_map=band_index_map,
        bbox=bbox,
        date_range=date_range,
        query=query,
        force=force,
        max_concurrent=max_concurrent,
        static_catalog=static_catalog,
        cloud_config=cloud_config,
        progress=progress,
        cancelled=cancellation(),
    )
    return Collection(index, session)


def load(path: str | os.PathLike[str], name: str = "", *, backend: StorageBackend | None = None) -> Collection:
    """Open an index on disk, made by a build, by `Collection.export`, or by rasteret.

    Args:
        path: its directory, or one Parquet file; or the id of a dataset that names a collection on this machine.
        name: name of the collection; the one kept in the index by default.
        backend: how pixels are read.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: what is there is no collection.
    """
    descriptor = DatasetRegistry.get(path) if isinstance(path, str) and not Path(path).exists() else None
    ready = local_collection(descriptor, name) if descriptor else None
    return Collection(ready or open_collection(os.fspath(path), name), new_session(backend=backend))
