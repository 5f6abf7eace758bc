"""A session: what one DuckDB database, or one Python collection, has open. Frozen; what changes lives in its parts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import uuid4

import duckdb
import pyarrow as pa

from rasteret_sql.engine.scheduler import Engine, shared_engine
from rasteret_sql.errors import (
    AmbiguousSceneError,
    IndexFormatError,
    InvalidArgumentError,
    RasteretError,
    UnknownBandError,
    UnknownCollectionError,
    UnknownSceneError,
    did_you_mean,
)
from rasteret_sql.index.fresh import FreshHeaders
from rasteret_sql.index.gather import GatheredScenes
from rasteret_sql.index.headers import FileHeader
from rasteret_sql.index.lookup import BandSource, SceneLookup, UnreadableBand
from rasteret_sql.index.open import CollectionIndex
from rasteret_sql.index.places import Workspace, workspace_of
from rasteret_sql.index.request import DEFAULT_WORKSPACE
from rasteret_sql.index.workspace import collection_names, find_collection
from rasteret_sql.io.automatic import AutomaticBackend
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.kernels.host_secrets import HostSecret
from rasteret_sql.kernels.life import bring_up_to_date
from rasteret_sql.kernels.rows import FailedRow, one_of_bands
from rasteret_sql.session_parts import (
    Failures,
    ForcedBuilds,
    NamedBackends,
    OpenCollections,
    ProgressHook,
    Receipts,
    SessionSettings,
)

Request = tuple[str, tuple[str | int, ...]]
"""Scene id and the bands asked of it."""


def _publish_nowhere(_name: str) -> None:
    """A session without a database shows its collections to nobody."""


def _no_relation(_name: str) -> None:
    """A session without a database has no tables."""


def _no_secret(_name: str) -> None:
    """A session without a database has no secrets."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Session:
    """What functions work with. One for each DuckDB database, shared by its connections."""

    workspace_dir: Workspace
    """Where built collections are kept."""
    backend: StorageBackend
    """How bytes are read."""
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
    failures: Failures = field(default_factory=Failures)
    """Rows that gave NULL because they could not be read."""
    function: str = ""
    """What is being called, where that is known."""
    collections: OpenCollections = field(default_factory=OpenCollections)
    forced: ForcedBuilds = field(default_factory=ForcedBuilds)
    progress: ProgressHook = field(default_factory=ProgressHook)
    receipts: Receipts = field(default_factory=Receipts)
    key: str = field(default_factory=lambda: uuid4().hex)
    """Identity, by which a database knows its session."""

    @property
    def max_call_bytes(self) -> int:
        """Most bytes of pixels that one call may hold."""
        return self.settings.max_call_bytes

    def through(self, backend: str | None) -> Session:
        """The same session, reading by another backend, known by name.

        Raises:
            InvalidArgumentError: there is none of that name.
        """
        if backend is None:
            return self
        return replace(self, backend=self.backends.get(backend, self.secret))

    def called(self, function: str) -> Session:
        """The same session, as a function of that name sees it."""
        return replace(self, function=function)

    def report(self, row: FailedRow) -> None:
        """Take note of a row that gives NULL because it could not be read."""
        self.failures.add(self.function, row)

    def read_again(
        self, sources: Sequence[BandSource], cancelled: Callable[[], bool]
    ) -> Mapping[str, FileHeader | RasteretError]:
        """Read the headers of changed files again, and bring collections that have them up to date where that can be.

        Returns:
            Address → the header it has now, or why there is none.
        """
        again = self.fresh.read(sources, self.backend, cancelled)
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
        found = self.collections.get(name)
        if found is not None:
            return found
        try:
            index = find_collection(name, workspace)
        except UnknownCollectionError:
            known = sorted({index.name for index in self.collections} | collection_names(workspace).keys())
            raise UnknownCollectionError(
                f'no collection "{name}" is open or cached in {workspace}; {did_you_mean(name, known)}. '
                "Make it with rasteret_build, rasteret_build_from_stac or rasteret_load"
            ) from None
        self.add(index)
        return index

    def add(self, index: CollectionIndex) -> None:
        """Open a collection: functions find its scenes from now on."""
        self.collections.add(index)
        self.lookup.preload(index)

    def close(self, index: CollectionIndex) -> None:
        """Forget a collection that is gone."""
        self.collections.remove(index.name)
        self.lookup.forget(index)
        self.withdraw(index.name)

    def band_sources(
        self, requests: Sequence[Request], collection: str | None
    ) -> dict[Request, tuple[BandSource, ...] | RasteretError]:
        """The files of each (scene id, bands), or the error that says why there are none."""
        candidates = [self.open(collection)] if collection is not None else list(self.collections)
        ids = list({scene_id for scene_id, _ in requests})
        if not candidates:
            missing = UnknownSceneError(
                f'scene "{ids[0]}" cannot be found: no collection is open in this session. Build or load one, query '
                "rasteret.<name>, or name one with collection :="
            )
            return dict.fromkeys(requests, missing)
        found: dict[Request, list[tuple[BandSource, ...] | RasteretError]] = {request: [] for request in requests}
        for index in candidates:
            try:
                self._look_in(index, requests, ids, found)
            except IndexFormatError:
                changed = self.collections.current(index)
                if changed is None or changed is index:
                    raise
                # It was built again between the question whether it is current and the look at its files.
                self._look_in(changed, requests, ids, found)
        return {request: self._settle(request, answers, candidates) for request, answers in found.items()}

    def _look_in(
        self,
        index: CollectionIndex,
        requests: Sequence[Request],
        ids: Sequence[str],
        found: dict[Request, list[tuple[BandSource, ...] | RasteretError]],
    ) -> None:
        where = f'collection "{index.name}"'
        named: dict[Request, tuple[str, ...]] = {}
        misnamed: dict[Request, UnknownBandError] = {}
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
        sources = self.fresh.applied(self.lookup.bands(index, wanted_ids, wanted_bands)) if named else {}
        if isinstance(self.backend, AutomaticBackend):
            addresses = (part.address for part in sources.values() if isinstance(part, BandSource))
            self.backend.serve(addresses, index.data_source, str(index.path))
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

    def _settle(
        self, request: Request, answers: list[tuple[BandSource, ...] | RasteretError], looked_in: list[CollectionIndex]
    ) -> tuple[BandSource, ...] | RasteretError:
        files = [answer for answer in answers if not isinstance(answer, RasteretError)]
        if not answers:
            near = self.lookup.some_ids(looked_in[0])
            names = ", ".join(f'"{index.name}"' for index in looked_in)
            return UnknownSceneError(f'unknown scene "{request[0]}" in {names}; {did_you_mean(request[0], near)}')
        if not files:
            return answers[0] if isinstance(answers[0], RasteretError) else UnknownSceneError(request[0])
        if len({tuple((source.address, source.header.sample) for source in sources) for sources in files}) > 1:
            names = ", ".join(f'"{index.name}"' for index in looked_in)
            return AmbiguousSceneError(
                f'scene "{request[0]}" stands in several open collections ({names}) with different files; '
                "say which with collection :="
            )
        return files[0]


def new_session(
    workspace_dir: str | os.PathLike[str] | None = None,
    max_call_bytes: int | None = None,
    backend: StorageBackend | None = None,
    publish: Callable[[str], None] = _publish_nowhere,
    connect: Callable[[], duckdb.DuckDBPyConnection] = duckdb.connect,
) -> Session:
    """Make a session.

    Args:
        workspace_dir: where built collections are kept; `~/rasteret_workspace` by default.
        max_call_bytes: most bytes of pixels that one call may hold; a quarter of the machine's memory by default.
        backend: how bytes are read; by default any address is, each dataset's files as registered for it.
        publish: called with the name of each collection that is opened.
        connect: makes the private connection through which indexes are read.

    Raises:
        InvalidArgumentError: `max_call_bytes` is no number of bytes.
    """
    if max_call_bytes is not None and (type(max_call_bytes) is not int or max_call_bytes < 1):
        raise InvalidArgumentError(f"max_call_bytes is a number of bytes, 1 or more, not {max_call_bytes!r}")
    private = connect()
    return Session(
        workspace_dir=workspace_of(workspace_dir or DEFAULT_WORKSPACE),
        backend=backend or AutomaticBackend(),
        engine=shared_engine(),
        settings=SessionSettings(max_call_bytes or machine_memory() // 4),
        lookup=SceneLookup(private),
        scenes=GatheredScenes(private),
        publish=publish,
    )


def machine_memory() -> int:
    """Bytes of main memory; 8 GiB where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 1024**3
