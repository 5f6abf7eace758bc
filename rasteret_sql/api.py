"""Builds and loads collections in Python by the code of SQL: build, build_from_stac and its kin, load."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rasteret_sql.callbacks import Progress
from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.collection import Collection
from rasteret_sql.engine.cancel import cancellation, watch_sigint
from rasteret_sql.hosts.progress_listener import progress_listener
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.settings import DEFAULT_MAX_CONCURRENT
from rasteret_sql.library.adopt_table import open_table_collection
from rasteret_sql.library.build import build_dataset, build_stac
from rasteret_sql.library.build_from_files import build_files
from rasteret_sql.library.build_from_table import build_table
from rasteret_sql.library.build_options import TABLE_MAX_CONCURRENT, BuildOptions
from rasteret_sql.library.load import find_loaded, keep_loaded
from rasteret_sql.library.register import local_collection
from rasteret_sql.session.session import Session, new_session


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
    headers: Mapping[str, str] | None = None,
    progress: bool | Progress | None = None,
) -> Collection:
    """Build the collection of a registered dataset, or reuse the cached one: an identical call makes no request.

    Args:
        dataset: registry id, such as `earthsearch/sentinel-2-l2a`; one of a STAC API needs bbox and date_range.
        name: name of the collection.
        bbox: area in lon/lat: [west, south, east, north], or a geometry's bounds.
        date_range: first and last day, both included: ['2024-06-01', '2024-07-15'].
        workspace_dir: where collections are kept; that of the connection, else ~/rasteret_workspace, by default.
        force: True: build again, in SQL once per statement, even if the index is cached.
        max_concurrent: headers read at a time; 50 by default.
        query: conditions on item properties: {'eo:cloud_cover': {'lt': 20}}, or an SQL condition as text:
            "eo:cloud_cover" < 20 AND platform = 'landsat-8'.
        prefer_geoparquet: True: the dataset's table, if it has one, not its STAC API.
        stac_api: another address for the dataset's STAC API or static catalog.
        cloud_config: how the files are reached: {'url_patterns': {'https://cdn.example.com/': 's3://bucket/'}, ...}.
        backend: how headers and pixels are read.
        headers: sent only to the STAC server, to sign in: {'Authorization': 'Bearer ...'}; never kept.
        progress: True: shown on stderr; a function: told (done, total or None, what) while it runs.

    Raises:
        KeyError: no dataset of that id.
        ValueError: an argument cannot be used, or no scene was found.
    """
    session = new_session(workspace_dir, backend=backend)
    watch_sigint()
    options = BuildOptions(
        name=name,
        bbox=bbox,
        date_range=date_range,
        query=query,
        force=force,
        max_concurrent=max_concurrent,
        prefer_geoparquet=prefer_geoparquet,
        stac_api=stac_api,
        cloud_config=cloud_config,
        headers=headers,
        progress=progress_listener(progress),
        cancelled=cancellation(),
    )
    with session.receipts.begin("build"):
        return Collection(build_dataset(session, dataset, options), session)


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
    headers: Mapping[str, str] | None = None,
    static_catalog: bool = False,
    progress: bool | Progress | None = None,
) -> Collection:
    """Build the collection of any STAC API or static catalog, or reuse the cached one.

    Args:
        name: name of the collection.
        stac_api: URL of a STAC API, or URL or path of a static catalog, collection or item collection.
        collection: STAC collection; not given: all of a static catalog.
        data_source: source kept with the index; the STAC collection by default.
        band_map: band name to asset, or a pattern of its key or file: {'B04': '*_B04*'}; not given: the names that
            items give.
        band_index_map: band name to sample from 0, for bands of one file.
        bbox: area in lon/lat: [west, south, east, north], or a geometry's bounds.
        date_range: first and last day, both included: ['2024-06-01', '2024-07-15'].
        workspace_dir: where collections are kept; that of the connection, else ~/rasteret_workspace, by default.
        force: True: build again, in SQL once per statement, even if the index is cached.
        max_concurrent: headers read at a time; 50 by default.
        cloud_config: how the files are reached: {'url_patterns': {'https://cdn.example.com/': 's3://bucket/'}, ...}.
        query: conditions on item properties: {'eo:cloud_cover': {'lt': 20}}, or an SQL condition as text:
            "eo:cloud_cover" < 20 AND platform = 'landsat-8'.
        backend: as for `build`.
        headers: sent only to the STAC server, to sign in: {'Authorization': 'Bearer ...'}; never kept.
        static_catalog: ignored, accepted for existing code: the address tells.
        progress: as for `build`.

    Raises:
        ValueError: an argument cannot be used, or no scene was found.
    """
    del static_catalog
    session = new_session(workspace_dir, backend=backend)
    watch_sigint()
    options = BuildOptions(
        name=name,
        stac_api=stac_api,
        collection=collection,
        data_source=data_source or "",
        band_map=band_map,
        band_index_map=band_index_map,
        bbox=bbox,
        date_range=date_range,
        query=query,
        force=force,
        max_concurrent=max_concurrent,
        cloud_config=cloud_config,
        headers=headers,
        progress=progress_listener(progress),
        cancelled=cancellation(),
    )
    with session.receipts.begin("build_from_stac"):
        return Collection(build_stac(session, options), session)


def load(
    path: str | os.PathLike[str],
    name: str = "",
    *,
    workspace_dir: str | os.PathLike[str] | None = None,
    backend: StorageBackend | None = None,
) -> Collection:
    """Open an index on disk, made by a build, by `Collection.export`, or by rasteret; or a cached one by its name.

    Args:
        path: directory or Parquet file of an index, or the name of a cached collection. In Python also the id of a
            dataset that names a collection on this machine.
        name: name of the collection; the one kept in the index by default.
        workspace_dir: where names are looked up, `~/rasteret_workspace` by default. The collection's name means it
            there from then on, in every process, as with `rasteret_load`.
        backend: how pixels are read, and the index itself where it, or the workspace, is elsewhere.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: what is there is no collection.
    """
    session = new_session(workspace_dir, backend=backend)
    descriptor = DatasetRegistry.get(path) if isinstance(path, str) and not Path(path).exists() else None
    index = local_collection(descriptor, name) if descriptor else None
    if index is None:
        index = find_loaded(session.workspace_dir, path, name, session.stores)
    keep_loaded(session.workspace_dir, index, session.stores)
    return Collection(index, session)


def build_from_table(
    path: Any,
    *,
    name: str = "",
    data_source: str = "",
    workspace_dir: str | os.PathLike[str] | None = None,
    column_map: Mapping[str, str] | None = None,
    href_column: str | None = None,
    band_index_map: Mapping[str, int] | None = None,
    url_rewrite_patterns: Mapping[str, str] | None = None,
    filesystem: Any = None,
    columns: Sequence[str] | None = None,
    filter_expr: Any = None,
    enrich_cog: bool = False,
    band_codes: Sequence[str] | None = None,
    cloud_config: CloudConfig | Mapping[str, Any] | None = None,
    max_concurrent: int = TABLE_MAX_CONCURRENT,
    force: bool = False,
    backend: StorageBackend | None = None,
    bbox_columns: Mapping[str, str] | None = None,
    bbox: Sequence[float] | None = None,
    date_range: tuple[str, str] | None = None,
    band_map: Mapping[str, str] | None = None,
    progress: bool | Progress | None = None,
) -> Collection:
    """Build the collection of a table that lists files, a row for each scene, or reuse the cached one.

    Args:
        path: path or URI of Parquet, GeoParquet or stac-geoparquet (a file, a directory, a pattern), or a pyarrow
            Table, Dataset or RecordBatchReader, a DuckDB relation, or anything that exports an Arrow stream.
        name: name of the collection. Without one, and without a workspace, it is kept until this process lets go of it.
        data_source: id of a dataset, whose names the bands then have; kept with the index.
        workspace_dir: where collections are kept; that of the connection, else ~/rasteret_workspace, by default.
        column_map: column of the table to `id`, `datetime`, `geometry`, `assets`, `bbox`, `proj:epsg` or any new name:
            {'fid': 'id'}.
        href_column: column of addresses, where the table has no assets.
        band_index_map: band name to sample from 0, for bands of one file.
        url_rewrite_patterns: prefix of addresses to what replaces it.
        filesystem: of pyarrow or fsspec, by which the table is read.
        columns: columns of the table to keep; all by default.
        filter_expr: SQL condition over the table's columns, as after WHERE. In Python an Arrow expression, too. No file
            of a row that it leaves out is touched.
        enrich_cog: True: headers are read, and pixels can be. False: no file is touched.
        band_codes: only these bands, in this order.
        cloud_config: how the files are reached: {'url_patterns': {'https://cdn.example.com/': 's3://bucket/'}, ...}.
        max_concurrent: headers read at a time; 300 by default.
        force: True: build again, in SQL once per statement, even if the index is cached.
        backend: how tables at URLs, headers and pixels are read.
        bbox_columns: minx, miny, maxx and maxy to columns of the lon/lat box: {'minx': 'west', ...}.
        bbox: area in lon/lat: [west, south, east, north], or a geometry's bounds; rows whose footprint meets it.
        date_range: first and last day, both included: ['2024-06-01', '2024-07-15'].
        band_map: band name to asset, or a pattern of assets or file names: {'B04': 'red', 'B08': '*_B08*'}.
        progress: True: shown on stderr; a function: told (done, total or None, what) while it runs.

    Raises:
        FileNotFoundError: no table is there.
        ValueError: the table lacks what a collection needs, an argument cannot be used, or no row fits.
        TypeError: `path` is no table.
        NotImplementedError: bands share a file, and nothing says which sample each is.
    """
    own = _directory() if not name and workspace_dir is None else None
    session = new_session(own or workspace_dir, backend=backend)
    if own is not None:
        _remove_with(session, own)
    watch_sigint()
    options = BuildOptions(
        name=name,
        data_source=data_source,
        column_map=column_map,
        href_column=href_column,
        band_index_map=band_index_map,
        band_map=band_map,
        band_codes=band_codes,
        bbox_columns=bbox_columns,
        bbox=bbox,
        date_range=date_range,
        columns=columns,
        filter_expr=filter_expr,
        url_rewrite_patterns=url_rewrite_patterns,
        filesystem=filesystem,
        enrich_cog=enrich_cog,
        cloud_config=cloud_config,
        force=force,
        max_concurrent=max_concurrent,
        backend=backend,
        progress=progress_listener(progress),
        cancelled=cancellation(),
    )
    with session.receipts.begin("build_from_table"):
        return Collection(build_table(session, path, options), session)


def build_from_files(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    name: str = "",
    datetime: str | None = None,
    id: str | None = None,  # noqa: A002 - as in SQL
    bands: str | Sequence[str] | None = None,
    band_map: Mapping[str, str] | None = None,
    data_source: str = "",
    workspace_dir: str | os.PathLike[str] | None = None,
    cloud_config: CloudConfig | Mapping[str, Any] | None = None,
    max_concurrent: int = DEFAULT_MAX_CONCURRENT,
    force: bool = False,
    backend: StorageBackend | None = None,
    progress: bool | Progress | None = None,
) -> Collection:
    """Build the collection of TIFF files that no catalog lists, or reuse the cached one.

    Args:
        paths: a file, a folder, a pattern (tifs/**/*.tif), a prefix of an object store (s3://bucket/tifs/), or a list
            of these.
        name: name of the collection. Without one, and without a workspace, it is kept until this process lets go of it.
        datetime: time in the path: a form of strptime (%Y%m%d), or a regular expression whose group is the time; paths
            that do not match give NULL.
        id: regular expression of the scene in the path, so that its files are one scene; its groups, or all of what it
            fits; by default the name of the file without the band.
        bands: regular expression whose group is the band in the file's name, or the names of each file's samples.
        band_map: band name to a pattern of file names, or a part of them: {'red': '*_B04*'}; other files are left out.
        data_source: id of a dataset, whose names of bands are looked for in the files' names; kept with the index.
        workspace_dir: where collections are kept; that of the connection, else ~/rasteret_workspace, by default.
        cloud_config: how the files are reached: {'url_patterns': {'https://cdn.example.com/': 's3://bucket/'}, ...}.
        max_concurrent: headers read at a time; 50 by default.
        force: True: build again, in SQL once per statement, even if the index is cached.
        backend: how object stores are listed, and headers and pixels are read.
        progress: True: shown on stderr; a function: told (done, total or None, what) while it runs.

    Raises:
        FileNotFoundError: a path has no file.
        ValueError: an argument cannot be used, or no file is a scene.
    """
    own = _directory() if not name and workspace_dir is None else None
    session = new_session(own or workspace_dir, backend=backend)
    if own is not None:
        _remove_with(session, own)
    watch_sigint()
    options = BuildOptions(
        name=name,
        data_source=data_source,
        band_map=band_map,
        cloud_config=cloud_config,
        force=force,
        max_concurrent=max_concurrent,
        backend=backend,
        progress=progress_listener(progress),
        cancelled=cancellation(),
    )
    naming = {"id": id, "datetime": datetime, "bands": bands}
    with session.receipts.begin("build_from_files"):
        return Collection(build_files(session, paths, naming, options), session)


def as_collection(
    table: Any,
    *,
    name: str = "",
    data_source: str = "",
    description: str = "",
    start_date: datetime | None = None,
    end_date: datetime | None = None,
    require_band_metadata: bool = True,
    backend: StorageBackend | None = None,
) -> Collection:
    """Take a table that has the layout of a collection for one, without building: nothing is searched or read.

    Args:
        table: pyarrow Table or Dataset, or what exports an Arrow stream, with the columns id, datetime, geometry,
            bbox, assets and a `{band}_metadata` for each band.
        name: name of the collection; what the table says of itself by default.
        data_source: as for `build_from_table`; what the table says by default.
        description: one line for listings.
        start_date: first instant; needs `end_date`.
        end_date: last instant.
        require_band_metadata: False: also a table without headers, of which no pixel can be read.
        backend: how pixels are read.

    Raises:
        TypeError: it is no table, or the dates are no datetimes.
        ValueError: columns are missing.
    """
    directory = _directory()
    session = new_session(backend=backend)
    _remove_with(session, directory)
    index = open_table_collection(
        table,
        directory,
        name=name,
        data_source=data_source,
        description=description,
        dates=(start_date, end_date),
        require_band_metadata=require_band_metadata,
    )
    return Collection(index, session)


def _directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="rasteret_sql_"))


def _remove_with(session: Session, directory: Path) -> None:
    """Remove a directory once nobody works with the session; connections made of it share what is open."""
    weakref.finalize(session.collections, shutil.rmtree, directory, ignore_errors=True)
