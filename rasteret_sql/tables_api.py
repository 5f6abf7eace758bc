"""build_from_table and as_collection: collections of tables in Python, by the same code as in SQL."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.collection import Collection
from rasteret_sql.engine.cancel import cancellation, watch_sigint
from rasteret_sql.index.build import Progress
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.kernels.handing_in import open_table_collection
from rasteret_sql.kernels.tabling import DEFAULT_MAX_CONCURRENT, Work, build_table
from rasteret_sql.session import Session, new_session


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
    max_concurrent: int = DEFAULT_MAX_CONCURRENT,
    force: bool = False,
    backend: StorageBackend | None = None,
    bbox_columns: Mapping[str, str] | None = None,
    bbox: Sequence[float] | None = None,
    date_range: tuple[str, str] | None = None,
    band_map: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Collection:
    """Build the collection of a table that lists files, a row for each scene, or reuse the cached one.

    Args:
        path: path or URI of Parquet, GeoParquet or stac-geoparquet (a file, a directory, a pattern), or a pyarrow
            Table, Dataset or RecordBatchReader, a DuckDB relation, or anything that exports an Arrow stream.
        name: name of the collection. Without one, and without a workspace, it is kept until this process lets go
            of it.
        data_source: id of a dataset, whose names the bands then have; kept with the index.
        workspace_dir: where collections are kept; `~/rasteret_workspace` by default.
        column_map: column of the table → `id`, `datetime`, `geometry`, `assets`, `bbox`, `proj:epsg` or any new name.
        href_column: column with the address of each scene's file, where the table has no assets.
        band_index_map: band name → sample from 0, for bands that share a file.
        url_rewrite_patterns: prefix of addresses → what replaces it.
        filesystem: of pyarrow or fsspec, by which the table is read.
        columns: columns of the table that stay; all by default.
        filter_expr: Arrow expression, or SQL condition as text, over the table's own columns. No file of a row that it
            leaves out is touched.
        enrich_cog: True: headers are read, and pixels can be. False: no file is touched.
        band_codes: these bands alone, in this order.
        cloud_config: URL rewriting for the files.
        max_concurrent: headers read at a time.
        force: build again even when the index is cached.
        backend: how tables at URLs, headers and pixels are read.
        bbox_columns: minx, miny, maxx, maxy → column, in lon/lat.
        bbox: (west, south, east, north) in lon/lat: rows whose footprint meets it.
        date_range: (first, last) ISO dates, both days included.
        band_map: band name → asset of the table.
        progress: told (done, total or None, what) while it runs.

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
    index = build_table(
        session,
        table=path,
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
        work=Work(
            force=force,
            max_concurrent=max_concurrent,
            backend=backend,
            progress=progress,
            cancelled=cancellation(),
        ),
    )
    return Collection(index, session)


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
