"""Builds from a dataset, STAC API or static catalog: from the options to an open index."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.io.remote_directory import stores_of
from rasteret_sql.io.routed_backend import default_backend
from rasteret_sql.library.build_from_table import build_table_dataset
from rasteret_sql.library.build_options import BuildOptions
from rasteret_sql.library.load import keep_loaded
from rasteret_sql.library.register import local_collection
from rasteret_sql.library.run_build import Place, reader, run_build, workspace
from rasteret_sql.stac.bands import BandNaming
from rasteret_sql.stac.search_request import StacSource
from rasteret_sql.stac.search_source import StacScenes
from rasteret_sql.stac.sign_in_headers import checked_headers

_NO_ACCESS = "names no stac_api, table or collection to build from; register it again with one, or give stac_api"


def build_dataset(place: Place, dataset: str, options: BuildOptions) -> CollectionIndex:
    """Build or reuse the collection of a registered dataset; one that names a collection on this machine is opened.

    Raises:
        UnknownDatasetError: no dataset of that id; the message names near ones.
        InvalidArgumentError: an option cannot be used, or the dataset needs a bbox and dates.
    """
    descriptor = DatasetRegistry.require(_required("dataset", dataset))
    options = replace(options, name=options.name or descriptor.id.replace("/", "-"), data_source=descriptor.id)
    address = options.stac_api or descriptor.stac_api
    if not address or (options.prefer_geoparquet and not options.stac_api):
        ready = local_collection(descriptor, options.name or "")
        if ready is not None:
            keep_loaded(workspace(place, options), ready, stores_of(options.backend or place.backend))
            return ready
    config = CloudConfig.from_value(options.cloud_config)
    config = config or CloudConfig.get_config(descriptor.id, descriptor.stac_collection)
    if descriptor.build_source_uri and (not address or not descriptor.stac_collection or options.prefer_geoparquet):
        if options.headers is not None:
            raise InvalidArgumentError(f'dataset "{descriptor.id}" is a table here: headers are for a STAC server')
        return build_table_dataset(place, descriptor, options, config)
    if not address:
        remote = descriptor.collection_uri
        raise InvalidArgumentError(
            f'dataset "{descriptor.id}" '
            + (f"is a collection at {remote}; copy it to this machine first, then load it" if remote else _NO_ACCESS)
        )
    address = os.fspath(address)
    is_static = descriptor.static_catalog or _is_local(address)
    _check_area(descriptor, options.bbox, options.date_range, is_static=is_static)
    naming = BandNaming(descriptor.band_map, descriptor.band_index_map, strict=False)
    return _build(place, address, replace(options, collection=descriptor.stac_collection), naming, config)


def build_stac(place: Place, options: BuildOptions) -> CollectionIndex:
    """Build or reuse a collection of any STAC API or static catalog, which is recognised as what it is.

    Raises:
        InvalidArgumentError: an option cannot be used, or `name` or `stac_api` is missing.
        StacError: the address gives nothing that can be used.
    """
    _required("name", options.name)
    address = os.fspath(_required("stac_api", options.stac_api))
    options = replace(options, data_source=options.data_source or options.collection or "")
    config = CloudConfig.from_value(options.cloud_config)
    config = config or CloudConfig.get_config(options.data_source, options.collection)
    return _build(place, address, options, BandNaming(options.band_map, options.band_index_map), config)


def _build(
    place: Place, address: str, options: BuildOptions, naming: BandNaming, config: CloudConfig | None
) -> CollectionIndex:
    chosen = reader(place.backend, options.backend, options.data_source, config, options.collection)
    search = StacSource(
        address,
        options.collection,
        options.bbox,
        options.date_range,
        options.query,
        headers=checked_headers(options.headers),
        backend=chosen,
    )
    source = StacScenes(
        search,
        naming,
        config.url_patterns if config else {},
        # As rasteret: where a backend was chosen, copies in buckets are read, which it may have the credentials for.
        prefer_s3=chosen is not default_backend(),
    )
    return run_build(place, source, replace(options, enrich_cog=True), backend=chosen, config=config)


def _required(name: str, value: Any) -> Any:
    """An argument that must be there.

    Raises:
        InvalidArgumentError: it is None or empty.
    """
    if value is None or value == "":
        raise InvalidArgumentError(f"{name} is missing: it is {value!r}, expected a text")
    return value


def _check_area(descriptor: DatasetDescriptor, bbox: Any, dates: Sequence[str] | None, *, is_static: bool) -> None:
    """An API of a whole archive is asked for a place and a time; a static catalog has few scenes."""
    missing = [name for name, value in (("bbox", bbox), ("date_range", dates)) if value is None]
    if missing and not is_static:
        raise InvalidArgumentError(
            f'dataset "{descriptor.id}" needs {" and ".join(missing)}, for example bbox := '
            f"{list(descriptor.example_bbox or (-122.5, 37.7, -122.3, 37.9))}, date_range := "
            f"{list(descriptor.example_date_range or ('2024-06-01', '2024-07-15'))}"
        )


def _is_local(address: str) -> bool:
    return "://" not in address or address.startswith("file://")
