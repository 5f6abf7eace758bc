"""`Session`: holds what one DuckDB database, or one Python collection, has open. Frozen, but not its parts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
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
from rasteret_sql.index.read.scene_lookup import BandSource, SceneLookup
from rasteret_sql.index.read.scenes_in_area import Zones
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.allowed_addresses import AllowedAddresses
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.clouds.cloud import HostSecret
from rasteret_sql.io.remote_directory import HasStores, stores_of
from rasteret_sql.library.collection_bands import names_of
from rasteret_sql.library.file_writes import FileWrites
from rasteret_sql.library.maintain import bring_up_to_date
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.band_names import BandNames, MeantBand
from rasteret_sql.reading.context import Found, ReadContext, SceneBands
from rasteret_sql.reading.derived_band import files_of
from rasteret_sql.reading.mosaic import Mosaic
from rasteret_sql.reading.options import SaidCollection
from rasteret_sql.reading.pixel_blocks import WaitingBlocks
from rasteret_sql.reading.pixel_table import PixelTable
from rasteret_sql.reading.scene_bands import sources_of
from rasteret_sql.receipt import Receipt
from rasteret_sql.session.failures import Failures
from rasteret_sql.session.feature_copies import FeatureCopies
from rasteret_sql.session.forced_builds import ForcedBuilds
from rasteret_sql.session.kept_relations import Kept, KeptRelations
from rasteret_sql.session.memory import require_call_bytes
from rasteret_sql.session.named_backends import NamedBackends
from rasteret_sql.session.open_collections import OpenCollections
from rasteret_sql.session.progress_hook import ProgressHook
from rasteret_sql.session.receipts import Receipts
from rasteret_sql.session.recent_zones import RecentZones
from rasteret_sql.session.scene_files import SceneFiles, has_ending, is_file, shown_address
from rasteret_sql.session.session_settings import SessionSettings


def _publish_nowhere(_name: str) -> None:
    """A session without a database shows its collections to nobody."""


def _no_relation(_name: str) -> None:
    """A session without a database has no tables."""


def _no_secret(_name: str) -> None:
    """A session without a database has no secrets."""


_EXAMPLES = 16
"""Scenes among which one is looked for that has a band."""


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
    recent_zones: RecentZones = field(default_factory=RecentZones)
    """Zones of rows that were measured: the same mostly come with each scene."""
    pixel_tables: KeptRelations[PixelTable] = field(default_factory=KeptRelations)
    """The pixels of running calls of read_pixels."""
    allowed: AllowedAddresses = field(default_factory=AllowedAddresses)
    """The files and hosts that calls may name."""
    features: FeatureCopies = field(default_factory=FeatureCopies)
    """Features of files that DuckDB does not read by itself."""
    mosaics: KeptRelations[Mosaic] = field(default_factory=KeptRelations)
    """Composites of running calls."""
    file_writes: KeptRelations[tuple[FileWrites, dict[str, Any]]] = field(default_factory=KeptRelations)
    """The files that statements write, and the named arguments of their calls."""
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

    def band_names(self, index: CollectionIndex) -> BandNames:
        """The names by which the bands of a collection can be asked for."""
        return names_of(index, lambda: self._common_names(index))

    def _common_names(self, index: CollectionIndex) -> dict[str, str]:
        """Band → the common name that an item of the collection gives it."""
        items = {band: source.header.item for band, source in self.example_bands(index).items()}
        return {band: item.common_name for band, item in items.items() if item is not None and item.common_name}

    def example_bands(self, index: CollectionIndex) -> dict[str, BandSource]:
        """Each band of a collection as one of its first scenes has it; without those that none of these has."""
        found: dict[str, BandSource] = {}
        scenes = self.lookup.some_ids(index, _EXAMPLES)
        for (_, band), source in sorted(self.lookup.bands(index, scenes, index.bands).items(), key=lambda one: one[0]):
            if isinstance(source, BandSource):
                found.setdefault(band, source)
        return found

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
        for request in of_files:
            self.allowed.require(request[0])
        if of_files:
            for request, sources in self.files.sources(of_files, reader, self.fresh.now).items():
                found[request] = _of_file(request[0], sources, found.get(request))
        return found

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
        names = self.band_names(index)
        meant: dict[Asked, MeantBand | RasteretError] = {}
        for asked in {band for _, bands in requests for band in bands}:
            try:
                meant[asked] = names.meant(asked)
            except RasteretError as error:
                meant[asked] = error
        read: dict[SceneBands, list[MeantBand]] = {}
        misnamed: dict[SceneBands, RasteretError] = {}
        for request in requests:
            asked_of = [meant[band] for band in request[1]]
            failed = next((band for band in asked_of if isinstance(band, RasteretError)), None)
            if failed is not None:
                misnamed[request] = failed
            else:
                read[request] = [band for band in asked_of if isinstance(band, MeantBand)]
        if misnamed:
            present = self.lookup.scenes(index, ids)
            for request, unknown in misnamed.items():
                if request[0] in present:
                    found[request].append(unknown)
        if not read:
            return
        wanted_ids = list({scene_id for scene_id, _ in read})
        wanted_bands = list(dict.fromkeys(name for bands in read.values() for band in bands for name in band.bands))
        reader = backend or self.reader_of(index)
        sources = self.fresh.applied(self.lookup.bands(index, wanted_ids, wanted_bands, reader))
        for request, bands in read.items():
            scene_id = request[0]
            if (scene_id, bands[0].bands[0]) not in sources:
                continue  # the collection does not have the scene
            of_scene = {name: sources.get((scene_id, name)) for band in bands for name in band.bands}
            try:
                found[request].append(sources_of(scene_id, bands, of_scene, names.where))
            except RasteretError as error:
                found[request].append(error)

    def _settle(self, request: SceneBands, answers: list[Found], looked_in: list[CollectionIndex]) -> Found:
        files = [answer for answer in answers if not isinstance(answer, RasteretError)]
        if not answers:
            near = self.lookup.some_ids(looked_in[0])
            names = ", ".join(f'"{index.name}"' for index in looked_in)
            scene = safe_address(request[0])
            return UnknownSceneError(f'unknown scene "{scene}" in {names}; {did_you_mean(scene, near)}')
        if not files:
            return answers[0] if isinstance(answers[0], RasteretError) else UnknownSceneError(request[0])
        places = {tuple((one.address, one.header.sample) for one in files_of(sources)) for sources in files}
        if len(places) > 1:
            names = ", ".join(f'"{index.name}"' for index in looked_in)
            return AmbiguousSceneError(
                f'scene "{request[0]}" stands in several open collections ({names}) with different files; '
                "say which with collection :=, or with a column collection where scenes are a relation"
            )
        return files[0]


def _of_file(scene_id: str, sources: Found, unknown: Found | None) -> Found:
    """The bands of a file, or why there are none.

    Args:
        scene_id: As it was asked for.
        sources: What the file gives.
        unknown: The error that no collection has a scene of that name; None where none was asked.
    """
    if not (isinstance(sources, MissingObjectError) and isinstance(unknown, UnknownSceneError)):
        return sources
    if has_ending(scene_id):  # nothing but a file is called so
        return UnknownSceneError(f"there is no file {shown_address(scene_id)}, and no open collection has such a scene")
    return UnknownSceneError(f"{unknown}. As the path of a file: {sources}")


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
