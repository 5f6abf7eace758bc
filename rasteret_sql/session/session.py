"""`Session`: holds what one DuckDB database, or one Python collection, has open. Frozen, but not its parts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import uuid4

import duckdb
import pyarrow as pa

from rasteret_sql.callbacks import Cancelled, Progress
from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.dataset_backend import backend_for
from rasteret_sql.engine.machine_memory import machine_memory
from rasteret_sql.engine.scheduler import Engine, shared_engine
from rasteret_sql.errors import (
    AmbiguousSceneError,
    IndexFormatError,
    MissingObjectError,
    RasteretError,
    UnknownBandError,
    UnknownCollectionError,
    UnknownSceneError,
    did_you_mean,
)
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.index.place.location import Workspace, workspace_of
from rasteret_sql.index.place.workspace import collection_names, find_collection
from rasteret_sql.index.read.file_headers import FileHeader
from rasteret_sql.index.read.gathered_scenes import GatheredScenes
from rasteret_sql.index.read.header_overrides import FreshHeaders
from rasteret_sql.index.read.scene_lookup import BandSource, SceneLookup, UnreadableBand
from rasteret_sql.index.read.scenes_in_area import Zones
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.clouds.cloud import HostSecret
from rasteret_sql.io.remote_directory import HasStores, stores_of
from rasteret_sql.library.maintain import bring_up_to_date
from rasteret_sql.reading.context import Found, ReadContext, SceneBands
from rasteret_sql.reading.options import SaidCollection
from rasteret_sql.reading.pixel_blocks import WaitingBlocks
from rasteret_sql.reading.pixel_table import PixelTable
from rasteret_sql.reading.resolve import one_of_bands
from rasteret_sql.receipt import Receipt
from rasteret_sql.session.failures import Failures
from rasteret_sql.session.forced_builds import ForcedBuilds
from rasteret_sql.session.kept_relations import Kept, KeptRelations
from rasteret_sql.session.memory import require_call_bytes
from rasteret_sql.session.named_backends import NamedBackends
from rasteret_sql.session.open_collections import OpenCollections
from rasteret_sql.session.progress_hook import ProgressHook
from rasteret_sql.session.receipts import Receipts
from rasteret_sql.session.scene_files import SceneFiles, is_file
from rasteret_sql.session.session_settings import SessionSettings


def _publish_nowhere(_name: str) -> None:
    """A session without a database shows its collections to nobody."""


def _no_relation(_name: str) -> None:
    """A session without a database has no tables."""


def _no_secret(_name: str) -> None:
    """A session without a database has no secrets."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Session:
    """The state with which functions work. One for each DuckDB database, shared by its connections."""

    workspace_dir: Workspace
    """Where built collections are kept."""
    backend: StorageBackend | None
    """Who reads the files; None: for each collection who its dataset asks for."""
    engine: Engine
    settings: SessionSettings
    lookup: SceneLookup
    """Reads indexes through a DuckDB connection of the session's own."""
    scenes: GatheredScenes
    """How the rows of an index are scanned."""
    publish: Callable[[str], None] = _publish_nowhere
    """Lets the host show an opened collection as `rasteret.<name>`."""
    withdraw: Callable[[str], None] = _publish_nowhere
    """Lets the host show it no more."""
    relation: Callable[[str], pa.Table | None] = _no_relation
    """Gives the rows of a table or view of the host by its name, None where it has none."""
    secret: Callable[[str], HostSecret | None] = _no_secret
    """Gives a secret of the host, None where it has none of that name."""
    backends: NamedBackends = field(default_factory=NamedBackends)
    fresh: FreshHeaders = field(default_factory=FreshHeaders)
    """What stands in place of indexed headers of files that were changed."""
    files: SceneFiles = field(default_factory=SceneFiles)
    """Files that are scenes by their path or address."""
    configs: dict[str, CloudConfig] = field(default_factory=dict)
    """Path of a collection → the config that it was built with here, in place of the registered one."""
    failures: Failures = field(default_factory=Failures)
    """Rows that gave NULL because they could not be read."""
    collections: OpenCollections = field(default_factory=OpenCollections)
    forced: ForcedBuilds = field(default_factory=ForcedBuilds)
    progress: ProgressHook = field(default_factory=ProgressHook)
    receipts: Receipts = field(default_factory=Receipts)
    """The costs of the latest statements."""
    receipt: Receipt = field(default_factory=Receipt)
    """Of the statement for which this is the session, see `paying`; else of nobody."""
    relations: KeptRelations[Kept] = field(default_factory=KeptRelations)
    """Zones and points of running calls over relations."""
    zones: KeptRelations[Zones] = field(default_factory=KeptRelations)
    """Zones of running calls of rasteret_scenes."""
    pixel_tables: KeptRelations[PixelTable] = field(default_factory=KeptRelations)
    """The pixels of running calls of read_pixels."""
    waiting_blocks: WaitingBlocks = field(default_factory=WaitingBlocks)
    """Pixels that these read ahead."""
    key: str = field(default_factory=lambda: uuid4().hex)
    """Identity, by which a database knows its session."""

    @property
    def stores(self) -> HasStores | None:
        """By whose stores workspaces and collections elsewhere are reached; None: the process's own."""
        return stores_of(self.backend)

    def through(self, backend: str | None) -> Session:
        """The same session, reading by another backend, known by name.

        Raises:
            InvalidArgumentError: there is none of that name.
        """
        if backend is None:
            return self
        return replace(self, backend=self.backends.get(backend, self.secret))

    def paying(self, receipt: Receipt) -> Session:
        """The same session for one statement."""
        return replace(self, receipt=receipt)

    def for_host(
        self,
        *,
        publish: Callable[[str], None],
        withdraw: Callable[[str], None],
        relation: Callable[[str], pa.Table | None],
        secret: Callable[[str], HostSecret | None],
        progress: ProgressHook,
    ) -> Session:
        """The same session in a database, which does for it what the fields of these names say."""
        return replace(self, publish=publish, withdraw=withdraw, relation=relation, secret=secret, progress=progress)

    def reading(
        self,
        function: str = "",
        *,
        backend: StorageBackend | None = None,
        progress: Progress | None = None,
    ) -> ReadContext:
        """Make the surroundings with which one call of a reading function works.

        Args:
            function: what is called, for the list of failures; empty where that is not known.
            backend: how this call reads; None: as the session does.
            progress: told how far the call is; None: the session's.
        """
        self.receipt.name(function)
        return ReadContext(
            look_up=self.band_sources,
            engine=self.engine,
            backend=backend or self.backend,
            named_backend=lambda name: self.backends.get(name, self.secret),
            max_call_bytes=self.settings.max_call_bytes,
            progress=progress or self.progress,
            report=lambda row: self.failures.add(function, row),
            read_again=self.read_again,
            receipt=self.receipt,
            function=function,
        )

    def read_again(
        self, sources: Sequence[BandSource], cancelled: Cancelled
    ) -> Mapping[str, FileHeader | RasteretError]:
        """Read the headers of changed files again, and bring collections that have them up to date where that can be.

        Returns:
            Address → the header it has now, or why there is none.
        """
        again = self.fresh.read(sources, cancelled)
        new = {address: again.headers[address] for address in again.new}
        scenes = {source.scene_id for source in sources if source.address in new}
        if new:
            for index in self.collections:
                bring_up_to_date(index, scenes, new, cancelled)
        return again.headers

    def open(self, name: str, workspace_dir: Workspace | None = None) -> CollectionIndex:
        """The open collection of that name, else the cached one, which is then open.

        Raises:
            UnknownCollectionError: names what is open and cached.
        """
        workspace = workspace_dir or self.workspace_dir
        found = self.collections.get(name, workspace_dir)
        if found is not None:
            return found
        try:
            index = find_collection(name, workspace, self.stores)
        except UnknownCollectionError:
            known = sorted({index.name for index in self.collections} | collection_names(workspace, self.stores).keys())
            raise UnknownCollectionError(
                f'no collection "{name}" is open or cached in {workspace}; {did_you_mean(name, known)}. '
                "Make it with rasteret_build, rasteret_build_from_stac or rasteret_load"
            ) from None
        self.add(index, workspace)
        return index

    def add(self, index: CollectionIndex, workspace: Workspace | None = None) -> None:
        """Open a collection: functions find its scenes from now on.

        Args:
            index: The collection.
            workspace: Where its name may come to mean another one; None where it keeps meaning this one.
        """
        self.collections.add(index, workspace)
        self.lookup.preload(index)

    def close(self, name: str) -> None:
        """Forget a collection that is gone, or that the name means no more."""
        index = self.collections.remove(name)
        if index is not None:
            self.lookup.forget(index)
        self.withdraw(name)

    def home_of(self, name: str) -> Workspace:
        """The workspace in which an open collection has its name; that of the session for others."""
        return self.collections.workspace(name) or self.workspace_dir

    def reader_of(self, index: CollectionIndex) -> StorageBackend | None:
        """Choose who reads a collection's files: the session's backend, else who its dataset asks for; None: anybody.

        Raises:
            InvalidArgumentError: credentials are there, but the extra that they need is not.
        """
        return self.backend or backend_for(index.data_source, self.configs.get(str(index.path)), build=False)

    def band_sources(
        self,
        requests: Sequence[SceneBands],
        collection: str | SaidCollection | None,
        backend: StorageBackend | None = None,
    ) -> dict[SceneBands, Found]:
        """The files of each (scene id, bands), or the error that says why there are none.

        Args:
            requests: Distinct ones.
            collection: Its name, or what a relation says of it; None: all that are open.
            backend: Who reads the files of this call; None: as `reader_of` says.
        """
        if isinstance(collection, str):
            return self._in_collections(requests, [self.open(collection)], backend)
        reader = backend or self.backend
        of_files = [request for request in requests if self.files.knows(request[0], reader)]
        others = [request for request in requests if request not in set(of_files)] if of_files else requests
        found = self._in_collections(others, self._meant(collection), backend) if others else {}
        # What no collection has may be a file, whose header is at hand from now on.
        of_files += [one for one in others if is_file(one[0]) and isinstance(found[one], UnknownSceneError)]
        if of_files:
            for request, sources in self.files.sources(of_files, reader).items():
                found[request] = self._of_file(sources, found.get(request))
        return found

    def _of_file(self, sources: Found, unknown: Found | None) -> Found:
        """The bands of a file with the headers that it has now.

        Args:
            sources: The bands, or why there are none.
            unknown: The error that no collection has a scene of that name; None where none was asked.
        """
        if isinstance(sources, MissingObjectError) and isinstance(unknown, UnknownSceneError):
            return UnknownSceneError(f"{unknown}. As the path of a file: {sources}")
        if isinstance(sources, RasteretError):
            return sources
        now = [self.fresh.now(source) for source in sources]
        changed = next((one for one in now if isinstance(one, RasteretError)), None)
        return changed or tuple(one for one in now if isinstance(one, BandSource))

    def _in_collections(
        self, requests: Sequence[SceneBands], candidates: list[CollectionIndex], backend: StorageBackend | None
    ) -> dict[SceneBands, Found]:
        """The files of scenes of some collections, or the error that says why there are none."""
        ids = list({scene_id for scene_id, _ in requests})
        if not candidates:
            return {
                request: UnknownSceneError(
                    f'scene "{safe_address(request[0])}" cannot be found: no collection is open in this session. Build '
                    "or load one, query rasteret.<name>, or name one with collection :="
                )
                for request in requests
            }
        found: dict[SceneBands, list[Found]] = {request: [] for request in requests}
        for index in candidates:
            try:
                self._look_in(index, requests, ids, found, backend)
            except IndexFormatError:
                changed = self.collections.current(index)
                if changed is None or changed is index:
                    raise
                # It was built again between the question whether it is current and the look at its files.
                self._look_in(changed, requests, ids, found, backend)
        return {request: self._settle(request, answers, candidates) for request, answers in found.items()}

    def _meant(self, collection: SaidCollection | None) -> list[CollectionIndex]:
        """The collections to look in.

        Raises:
            UnknownCollectionError: there is none of that name, and none with items of such a STAC collection.
        """
        if collection is None:
            return list(self.collections)
        name = collection.name
        meant = [
            index
            for index in self.collections
            if index.name.casefold() == name.casefold() or name in self.lookup.item_collections(index)
        ]
        try:
            return meant or [self.open(name)]
        except UnknownCollectionError as error:
            raise UnknownCollectionError(
                f"the column collection of the scenes says which collection each is of: {error}. Leave the column out "
                "if it says something else"
            ) from None

    def _look_in(
        self,
        index: CollectionIndex,
        requests: Sequence[SceneBands],
        ids: Sequence[str],
        found: dict[SceneBands, list[Found]],
        backend: StorageBackend | None,
    ) -> None:
        where = f'collection "{index.name}"'
        named: dict[SceneBands, tuple[str, ...]] = {}
        misnamed: dict[SceneBands, UnknownBandError] = {}
        for request in requests:
            try:
                named[request] = tuple(one_of_bands(band, index.bands, where) for band in request[1])
            except UnknownBandError as error:
                misnamed[request] = error
        if misnamed:
            present = self.lookup.scenes(index, ids)
            for request, unknown in misnamed.items():
                if request[0] in present:
                    found[request].append(unknown)
        wanted_ids = list({scene_id for scene_id, _ in named})
        wanted_bands = list(dict.fromkeys(band for bands in named.values() for band in bands))
        reader = (backend or self.reader_of(index)) if named else None
        sources = self.fresh.applied(self.lookup.bands(index, wanted_ids, wanted_bands, reader)) if named else {}
        for request, bands in named.items():
            if (request[0], bands[0]) not in sources:
                continue  # the collection does not have the scene
            parts = [sources.get((request[0], band)) for band in bands]
            failed = next((part for part in parts if isinstance(part, UnreadableBand)), None)
            changed = next((part for part in parts if isinstance(part, RasteretError)), None)
            absent = [band for band, part in zip(bands, parts, strict=True) if part is None]
            if changed is not None:
                found[request].append(changed)
            elif failed is not None:
                found[request].append(
                    UnknownBandError(
                        f'band "{failed.band}" of scene "{failed.scene_id}" in {where} could not be indexed: '
                        f"{failed.reason}; filter such scenes with WHERE status = 'ok', or build again with "
                        "force := true once the file can be read"
                    )
                )
            elif absent:
                found[request].append(
                    UnknownBandError(
                        f'scene "{request[0]}" of {where} has no band "{absent[0]}"; other scenes of it do'
                    )
                )
            else:
                found[request].append(tuple(part for part in parts if isinstance(part, BandSource)))

    def _settle(self, request: SceneBands, answers: list[Found], looked_in: list[CollectionIndex]) -> Found:
        files = [answer for answer in answers if not isinstance(answer, RasteretError)]
        if not answers:
            near = self.lookup.some_ids(looked_in[0])
            names = ", ".join(f'"{index.name}"' for index in looked_in)
            scene = safe_address(request[0])
            return UnknownSceneError(f'unknown scene "{scene}" in {names}; {did_you_mean(scene, near)}')
        if not files:
            return answers[0] if isinstance(answers[0], RasteretError) else UnknownSceneError(request[0])
        if len({tuple((source.address, source.header.sample) for source in sources) for sources in files}) > 1:
            names = ", ".join(f'"{index.name}"' for index in looked_in)
            return AmbiguousSceneError(
                f'scene "{request[0]}" stands in several open collections ({names}) with different files; '
                "say which with collection :=, or with a column collection where scenes are a relation"
            )
        return files[0]


def new_session(
    workspace_dir: str | os.PathLike[str] | None = None,
    max_call_bytes: int | None = None,
    backend: StorageBackend | None = None,
    connect: Callable[[], duckdb.DuckDBPyConnection] = duckdb.connect,
) -> Session:
    """Make a session.

    Args:
        workspace_dir: where built collections are kept; `~/rasteret_workspace` by default.
        max_call_bytes: most bytes of pixels that one call may hold; a quarter of the machine's memory by default.
        backend: how bytes are read; by default any address is, each dataset's files as registered for it.
        connect: makes the private connection through which indexes are read.

    Raises:
        InvalidArgumentError: `max_call_bytes` is no number of bytes.
    """
    require_call_bytes(max_call_bytes)
    private = connect()
    return Session(
        workspace_dir=workspace_of(workspace_dir),
        backend=backend,
        engine=shared_engine(),
        settings=SessionSettings(max_call_bytes or machine_memory() // 4),
        lookup=SceneLookup(private),
        scenes=GatheredScenes(private),
    )
