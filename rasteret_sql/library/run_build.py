"""Runs what all builds do alike: chooses the backend that reads, builds, and opens what was built."""

from __future__ import annotations

from typing import Protocol

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.dataset_backend import backend_for
from rasteret_sql.engine.scheduler import Engine
from rasteret_sql.index.change.build import build
from rasteret_sql.index.change.build_request import BuildRequest
from rasteret_sql.index.place.collection_index import CollectionIndex, open_collection
from rasteret_sql.index.place.location import Workspace, workspace_of
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.remote_directory import stores_of
from rasteret_sql.io.routed_backend import default_backend
from rasteret_sql.library.build_options import BuildOptions
from rasteret_sql.scenes.source import SceneSource


class Place(Protocol):
    """A place where a build works; a session."""

    @property
    def workspace_dir(self) -> Workspace:
        """The directory of collections."""

    @property
    def backend(self) -> StorageBackend | None:
        """The backend that reads headers; None: as the dataset asks for."""

    @property
    def configs(self) -> dict[str, CloudConfig]:
        """Path of a collection → the config that it was built with here."""

    @property
    def engine(self) -> Engine:
        """Whose cached tiles are forgotten after a build: files may have changed."""


def reader(
    session: StorageBackend | None,
    given: StorageBackend | None,
    data_source: str,
    config: CloudConfig | None = None,
    stac_collection: str | None = None,
) -> StorageBackend:
    """The backend for headers and tables: the one given, else the session's, else what the dataset asks for, else any.

    Args:
        session: the session's; None where it was given none.
        given: of the call.
        data_source: what is built.
        config: of the call, in place of the registered one.
        stac_collection: a further name of what is built.

    Raises:
        InvalidArgumentError: a login is needed and none is found.
    """
    return given or session or backend_for(data_source, config, stac_collection, build=True) or default_backend()


def workspace(place: Place, options: BuildOptions) -> Workspace:
    """The workspace of the collection: as the call says, else that of the place."""
    return workspace_of(options.workspace_dir) if options.workspace_dir else place.workspace_dir


def run_build(
    place: Place, source: SceneSource, options: BuildOptions, *, backend: StorageBackend, config: CloudConfig | None
) -> CollectionIndex:
    """Build, or find it cached, and open it; this session reads it as it was built.

    Args:
        place: Where it works.
        source: What is built.
        options: `name`, `data_source`, `enrich_cog`, and how it is done; others are of the source.
        backend: How headers are read.
        config: How the files are reached.
    """
    name = options.name or ""
    request = BuildRequest(
        name=name,
        data_source=options.data_source,
        source=source,
        workspace_dir=workspace(place, options),
        max_concurrent=options.max_concurrent,
        force=options.force,
        backend=backend,
        stores=stores_of(options.backend or place.backend),
        enrich=options.enrich_cog,
    )
    path = build(request, progress=options.progress, cancelled=options.cancelled)
    if options.force:
        place.engine.cache.clear()  # the files were read anew because they may have changed
    index = open_collection(path, name, request.stores)
    if config is None:
        place.configs.pop(str(index.path), None)
    else:
        place.configs[str(index.path)] = config
    return index
