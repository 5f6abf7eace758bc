"""From the arguments of build calls to an open index."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
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
from rasteret_sql.io.automatic import AutomaticBackend
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.kernels.access import keep_config, reader
from rasteret_sql.kernels.registering import local_collection
from rasteret_sql.kernels.tabling import Work, build_table_dataset
from rasteret_sql.stac.bands import BandNaming
from rasteret_sql.stac.scene_source import StacScenes
from rasteret_sql.stac.source import StacSource

DEFAULT_MAX_CONCURRENT = 50
_NO_ACCESS = "names no stac_api, table or collection to build from; register it again with one, or give stac_api"


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


def sql_arguments(text: str) -> dict[str, Any]:
    """The named arguments that SQL hands over as a JSON object, NULLs left out, JSON text inside read."""
    given = {name: value for name, value in json.loads(text).items() if value is not None}
    # `query` stays text: it may be JSON or an SQL condition, which the search tells apart.
    for name in ("band_map", "band_index_map", "cloud_config", "url_patterns"):
        if isinstance(given.get(name), str):
            given[name] = _document(name, given[name])
    return given


def _document(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise InvalidArgumentError(
            f"{name} := {text!r} is not JSON; expected a STRUCT, MAP or JSON object such as {{'B04': ...}}"
        ) from None


def required(arguments: Mapping[str, Any], name: str) -> Any:
    """An argument that must be there.

    Raises:
        InvalidArgumentError: it is NULL or empty.
    """
    value = arguments.get(name)
    if value is None or value == "":
        raise InvalidArgumentError(f"{name} is missing: it is {value!r}, expected a text")
    return value


def build_dataset(
    place: Place,
    *,
    dataset: str | None = None,
    name: str | None = None,
    bbox: Any = None,
    date_range: Any = None,
    query: Any = None,
    force: bool = False,
    max_concurrent: int = DEFAULT_MAX_CONCURRENT,
    workspace_dir: str | os.PathLike[str] | None = None,
    prefer_geoparquet: bool = False,
    stac_api: str | None = None,
    cloud_config: CloudConfig | Mapping[str, Any] | None = None,
    backend: StorageBackend | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> CollectionIndex:
    """Build or reuse the collection of a registered dataset; one that names a collection on this machine is opened.

    Raises:
        UnknownDatasetError: no dataset of that id; the message names near ones.
        InvalidArgumentError: an argument cannot be used, or the dataset needs a bbox and dates.
    """
    descriptor = DatasetRegistry.require(required({"dataset": dataset}, "dataset"))
    address = stac_api or descriptor.stac_api
    if not address or (prefer_geoparquet and not stac_api):
        ready = local_collection(descriptor, name or descriptor.id.replace("/", "-"))
        if ready is not None:
            return ready
    table = descriptor.build_source_uri
    config = CloudConfig.from_value(cloud_config) or CloudConfig.get_config(descriptor.id, descriptor.stac_collection)
    if table and (not address or not descriptor.stac_collection or prefer_geoparquet):
        return build_table_dataset(
            place,
            descriptor,
            name=name or descriptor.id.replace("/", "-"),
            bbox=bbox,
            date_range=date_range,
            query=query,
            config=config,
            work=Work(force, max_concurrent, workspace_dir, backend, progress, cancelled),
        )
    if not address:
        remote = descriptor.collection_uri
        raise InvalidArgumentError(
            f'dataset "{descriptor.id}" '
            + (f"is a collection at {remote}; copy it to this machine first, then load it" if remote else _NO_ACCESS)
        )
    _check_area(descriptor, bbox, date_range, is_static=descriptor.static_catalog or _is_local(address))
    return _build(
        place,
        name=name or descriptor.id.replace("/", "-"),
        source=StacSource(address, descriptor.stac_collection, bbox, date_range, query),
        naming=BandNaming(descriptor.band_map, descriptor.band_index_map, strict=False),
        data_source=descriptor.id,
        config=config,
        force=force,
        max_concurrent=max_concurrent,
        workspace_dir=workspace_dir,
        backend=backend,
        progress=progress,
        cancelled=cancelled,
    )


def build_stac(
    place: Place,
    *,
    name: str | None = None,
    stac_api: str | os.PathLike[str] | None = None,
    collection: str | None = None,
    data_source: str | None = None,
    band_map: Mapping[str, str] | None = None,
    band_index_map: Mapping[str, int] | None = None,
    bbox: Any = None,
    date_range: Any = None,
    query: Any = None,
    force: bool = False,
    max_concurrent: int = DEFAULT_MAX_CONCURRENT,
    workspace_dir: str | os.PathLike[str] | None = None,
    static_catalog: bool = False,
    cloud_config: CloudConfig | Mapping[str, Any] | None = None,
    backend: StorageBackend | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> CollectionIndex:
    """Build or reuse a collection of any STAC API or static catalog, which is recognised as what it is.

    Raises:
        InvalidArgumentError: an argument cannot be used.
        StacError: the address gives nothing that can be used.
    """
    del static_catalog  # what the address gives tells
    source = data_source or collection or ""
    return _build(
        place,
        name=required({"name": name}, "name"),
        source=StacSource(os.fspath(required({"stac_api": stac_api}, "stac_api")), collection, bbox, date_range, query),
        naming=BandNaming(band_map, band_index_map),
        data_source=source,
        config=CloudConfig.from_value(cloud_config) or CloudConfig.get_config(source, collection),
        force=force,
        max_concurrent=max_concurrent,
        workspace_dir=workspace_dir,
        backend=backend,
        progress=progress,
        cancelled=cancelled,
    )


def _build(
    place: Place,
    *,
    name: str,
    source: StacSource,
    naming: BandNaming,
    data_source: str,
    config: CloudConfig | None,
    force: bool,
    max_concurrent: int,
    workspace_dir: str | os.PathLike[str] | None,
    backend: StorageBackend | None,
    progress: Progress | None,
    cancelled: Callable[[], bool] | None,
) -> CollectionIndex:
    chosen = reader(place.backend, backend, data_source, config, source.collection)
    patterns = config.url_patterns if config else {}
    request = BuildRequest(
        name=name,
        data_source=data_source,
        # As rasteret: where a backend was chosen, copies in buckets are read, which it may have the credentials for.
        source=StacScenes(
            replace(source, backend=chosen), naming, patterns, prefer_s3=not isinstance(chosen, AutomaticBackend)
        ),
        workspace_dir=workspace_of(workspace_dir) if workspace_dir else place.workspace_dir,
        max_concurrent=max_concurrent,
        force=force,
        backend=chosen,
    )
    path = build(request, progress=progress, cancelled=cancelled)
    if force:
        place.engine.cache.clear()  # the files were read anew because they may have changed
    index = open_collection(path, name)
    keep_config(place.backend, index, config)
    return index


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
