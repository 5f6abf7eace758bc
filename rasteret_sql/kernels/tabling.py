"""From the arguments of table builds to an open index."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Protocol

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.engine.scheduler import Engine
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.index.build import Progress, build
from rasteret_sql.index.open import CollectionIndex, open_collection
from rasteret_sql.index.places import Workspace, workspace_of
from rasteret_sql.index.request import BuildRequest
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.kernels.access import keep_config, reader
from rasteret_sql.stac.query import parse_query
from rasteret_sql.tables.assets import BandChoice, KnownBands
from rasteret_sql.tables.columns import Mapped
from rasteret_sql.tables.source import TableSource

DEFAULT_MAX_CONCURRENT = 300
"""Tables often name one small header a row, of many files."""


class Place(Protocol):
    """Where a build works; a session."""

    @property
    def workspace_dir(self) -> Workspace:
        """Where collections are kept."""

    @property
    def backend(self) -> StorageBackend:
        """How headers are read."""

    @property
    def engine(self) -> Engine:
        """Whose cached tiles are forgotten after a build: files may have changed."""


@dataclass(frozen=True, slots=True)
class Work:
    """How a build is done, whatever it is of."""

    force: bool = False
    max_concurrent: int = DEFAULT_MAX_CONCURRENT
    workspace_dir: str | os.PathLike[str] | None = None
    backend: StorageBackend | None = None
    progress: Progress | None = None
    cancelled: Callable[[], bool] | None = None


def build_table(
    place: Place,
    *,
    table: Any,
    name: str | None = None,
    data_source: str | None = None,
    column_map: Mapping[str, str] | None = None,
    href_column: str | None = None,
    band_index_map: Mapping[str, int] | None = None,
    band_map: Mapping[str, str] | None = None,
    band_codes: Sequence[str] | None = None,
    bbox_columns: Mapping[str, str] | None = None,
    bbox: Any = None,
    date_range: Any = None,
    columns: Sequence[str] | None = None,
    filter_expr: Any = None,
    url_rewrite_patterns: Mapping[str, str] | None = None,
    filesystem: Any = None,
    enrich_cog: bool = False,
    cloud_config: CloudConfig | Mapping[str, Any] | None = None,
    label: str = "",
    work: Work,
) -> CollectionIndex:
    """Build or reuse a collection of a table's rows.

    Raises:
        InvalidArgumentError: an argument cannot be used, or no row fits.
        TableError: the table lacks what a collection needs.
        MissingObjectError: no table is there.
    """
    config = CloudConfig.from_value(cloud_config) or (CloudConfig.get_config(data_source) if data_source else None)
    backend = reader(place.backend, work.backend, data_source or "", config)
    source = TableSource(
        table,
        mapped=Mapped(column_map or {}, href_column or None, bbox_columns or {}, columns),
        bands=BandChoice(band_map, band_index_map, band_codes, known_bands(data_source or "")),
        bbox=bbox,
        date_range=date_range,
        filter_expr=filter_expr,
        url_patterns={**(config.url_patterns if config else {}), **_patterns(url_rewrite_patterns)},
        backend=backend,
        filesystem=filesystem,
        label=label,
    )
    return _build(
        place,
        source,
        work,
        name=name or default_name(table),
        data_source=data_source or "",
        enrich=enrich_cog,
        backend=backend,
        config=config,
    )


def build_table_dataset(
    place: Place,
    descriptor: DatasetDescriptor,
    *,
    name: str,
    bbox: Any,
    date_range: Any,
    query: Any,
    config: CloudConfig | None,
    work: Work,
) -> CollectionIndex:
    """Build or reuse the collection of a dataset whose scenes stand in a table.

    Rows are chosen by bbox, dates and query, where these are given; a query as text is a condition over the columns.

    Raises:
        as `build_table`.
    """
    backend = reader(place.backend, work.backend, descriptor.id, config, descriptor.stac_collection)
    source = table_of_dataset(descriptor, bbox=bbox, date_range=date_range, query=query, config=config, backend=backend)
    return _build(
        place, source, work, name=name, data_source=descriptor.id, enrich=True, backend=backend, config=config
    )


def table_of_dataset(
    descriptor: DatasetDescriptor,
    *,
    bbox: Any,
    date_range: Any,
    query: Any,
    config: CloudConfig | None,
    backend: StorageBackend,
) -> TableSource:
    """The table in which a dataset lists its scenes, asked for those of an area, dates and query."""
    known = [KnownBands(descriptor.band_map, descriptor.band_index_map)] if descriptor.band_map else []
    return TableSource(
        descriptor.build_source_uri,
        mapped=Mapped(descriptor.column_map or {}, descriptor.href_column, descriptor.bbox_columns or {}),
        bands=BandChoice(band_index_map=None if known else descriptor.band_index_map, known=known),
        bbox=bbox,
        date_range=date_range,
        filter_expr=parse_query(query).condition,
        url_patterns=config.url_patterns if config else {},
        backend=backend,
    )


def _build(
    place: Place,
    source: TableSource,
    work: Work,
    *,
    name: str,
    data_source: str,
    enrich: bool,
    backend: StorageBackend,
    config: CloudConfig | None,
) -> CollectionIndex:
    request = BuildRequest(
        name=name,
        data_source=data_source,
        source=source,
        workspace_dir=workspace_of(work.workspace_dir) if work.workspace_dir else place.workspace_dir,
        max_concurrent=work.max_concurrent,
        force=work.force,
        backend=backend,
        enrich=enrich,
    )
    path = build(request, progress=work.progress, cancelled=work.cancelled)
    if work.force:
        place.engine.cache.clear()  # the files were read anew because they may have changed
    index = open_collection(path, name)
    keep_config(place.backend, index, config)
    return index


def known_bands(data_source: str) -> list[KnownBands]:
    """Band maps of the datasets that a data source may mean: the dataset of that id, else those of that collection."""
    exact = DatasetRegistry.get(data_source) if data_source else None
    wanted = data_source.casefold()
    candidates = (
        [exact]
        if exact
        else [
            one
            for one in DatasetRegistry.list()
            if data_source and wanted in ((one.stac_collection or "").casefold(), one.id.rpartition("/")[2].casefold())
        ]
    )
    return [KnownBands(one.band_map, one.band_index_map) for one in candidates if one.band_map]


def default_name(table: Any) -> str:
    """The file's name without its ending; `table` for one in memory."""
    if not isinstance(table, str | os.PathLike):
        return "table"
    text = safe_address(os.fspath(table)).rstrip("/")
    while any(sign in PurePosixPath(text).name for sign in "*?[="):  # a pattern, or a hive key
        text = str(PurePosixPath(text).parent)
    return PurePosixPath(text).stem or "table"


def _patterns(given: Mapping[str, str] | None) -> Mapping[str, str]:
    if given is not None and not (
        isinstance(given, Mapping) and all(isinstance(k, str) and k and isinstance(v, str) for k, v in given.items())
    ):
        raise InvalidArgumentError(f"url_rewrite_patterns maps prefixes to what replaces them, not {given!r}")
    return given or {}
