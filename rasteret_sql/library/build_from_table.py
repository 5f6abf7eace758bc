"""Builds from a table: from the options to an open index."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.library.build_options import BuildOptions
from rasteret_sql.library.run_build import Place, reader, run_build
from rasteret_sql.stac.query import parse_query
from rasteret_sql.tables.assets import BandChoice, KnownBands
from rasteret_sql.tables.columns import Mapped
from rasteret_sql.tables.table_source import TableSource


def build_table(place: Place, table: Any, options: BuildOptions, *, label: str = "") -> CollectionIndex:
    """Build or reuse a collection of a table's rows.

    Args:
        place: Where it works.
        table: A path or URI, or rows in memory.
        options: Of the build.
        label: What to call rows in memory, in errors.

    Raises:
        InvalidArgumentError: an option cannot be used, or no row fits.
        TableError: the table lacks what a collection needs.
        MissingObjectError: no table is there.
    """
    data_source = options.data_source
    config = CloudConfig.from_value(options.cloud_config)
    config = config or (CloudConfig.get_config(data_source) if data_source else None)
    backend = reader(place.backend, options.backend, data_source, config)
    source = TableSource(
        table,
        mapped=Mapped(
            options.column_map or {}, options.href_column or None, options.bbox_columns or {}, options.columns
        ),
        bands=BandChoice(options.band_map, options.band_index_map, options.band_codes, known_bands(data_source)),
        bbox=options.bbox,
        date_range=options.date_range,
        filter_expr=options.filter_expr,
        url_patterns={**(config.url_patterns if config else {}), **_patterns(options.url_rewrite_patterns)},
        backend=backend,
        filesystem=options.filesystem,
        label=label,
    )
    named = replace(options, name=options.name or default_name(table))
    return run_build(place, source, named, backend=backend, config=config)


def build_table_dataset(
    place: Place, descriptor: DatasetDescriptor, options: BuildOptions, config: CloudConfig | None
) -> CollectionIndex:
    """Build or reuse the collection of a dataset whose scenes stand in a table.

    Rows are chosen by bbox, dates and query, where these are given; a query as text is a condition over the columns.

    Raises:
        as `build_table`.
    """
    backend = reader(place.backend, options.backend, descriptor.id, config, descriptor.stac_collection)
    source = table_of_dataset(descriptor, options, config, backend)
    return run_build(place, source, replace(options, enrich_cog=True), backend=backend, config=config)


def table_of_dataset(
    descriptor: DatasetDescriptor,
    options: BuildOptions,
    config: CloudConfig | None,
    backend: StorageBackend,
) -> TableSource:
    """The table in which a dataset lists its scenes, asked for those of the options' area, dates and query."""
    known = [KnownBands(descriptor.band_map, descriptor.band_index_map)] if descriptor.band_map else []
    return TableSource(
        descriptor.build_source_uri,
        mapped=Mapped(descriptor.column_map or {}, descriptor.href_column, descriptor.bbox_columns or {}),
        bands=BandChoice(band_index_map=None if known else descriptor.band_index_map, known=known),
        bbox=options.bbox,
        date_range=options.date_range,
        filter_expr=parse_query(options.query).condition,
        url_patterns=config.url_patterns if config else {},
        backend=backend,
    )


def known_bands(data_source: str) -> list[KnownBands]:
    """Band maps of the datasets that a data source may mean: the dataset of that id, else those of that collection."""
    if not data_source:
        return []
    exact = DatasetRegistry.get(data_source)
    wanted = data_source.casefold()
    candidates = (
        [exact]
        if exact
        else [
            one
            for one in DatasetRegistry.list()
            if wanted in ((one.stac_collection or "").casefold(), one.id.rpartition("/")[2].casefold())
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
