"""A session: what one DuckDB database, or one Python collection, has open. Frozen; what changes lives in its parts."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import duckdb
import pyarrow as pa

from rasteret_sql.engine.scheduler import Engine, shared_engine
from rasteret_sql.errors import (
    AmbiguousSceneError,
    IndexFormatError,
    InvalidArgumentError,
    MissingObjectError,
    RasteretError,
    UnknownBandError,
    UnknownCollectionError,
    UnknownSceneError,
    did_you_mean,
)
from rasteret_sql.index.gather import GatheredScenes
from rasteret_sql.index.lookup import BandSource, SceneLookup, UnreadableBand
from rasteret_sql.index.open import CollectionIndex, open_collection
from rasteret_sql.index.places import Workspace, workspace_of
from rasteret_sql.index.request import DEFAULT_WORKSPACE
from rasteret_sql.index.workspace import collection_names, find_collection
from rasteret_sql.io.automatic import AutomaticBackend
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.kernels.rows import one_of_bands

Request = tuple[str, tuple[str | int, ...]]
"""Scene id and the bands asked of it."""


class OpenCollections:
    """Collections built, loaded or queried, by name as DuckDB compares names: without regard to case."""

    def __init__(self) -> None:
        self._by_key: dict[str, CollectionIndex] = {}
        self._lock = threading.Lock()

    def add(self, index: CollectionIndex) -> None:
        """Open a collection; one of the same name is replaced."""
        with self._lock:
            self._by_key.pop(index.name.casefold(), None)
            self._by_key[index.name.casefold()] = index

    def remove(self, name: str) -> None:
        """Close a collection, if it is open."""
        with self._lock:
            self._by_key.pop(name.casefold(), None)

    def get(self, name: str) -> CollectionIndex | None:
        """The collection as it is now, None where none of that name is open, or it is gone."""
        index = self._by_key.get(name.casefold())
        return None if index is None else self.current(index)

    def __iter__(self) -> Iterator[CollectionIndex]:
        """Newest first, each as it is now."""
        with self._lock:
            opened = list(self._by_key.values())[::-1]
        return iter([current for index in opened if (current := self.current(index)) is not None])

    def current(self, index: CollectionIndex) -> CollectionIndex | None:
        """The collection opened again if it was changed, by whichever process; None if it is gone."""
        if index.is_current():
            return index
        try:
            current: CollectionIndex | None = open_collection(index.path, index.name)
        except (MissingObjectError, IndexFormatError):
            current = None
        with self._lock:
            key = index.name.casefold()
            if self._by_key.get(key) is index:
                if current is None:
                    del self._by_key[key]
                else:
                    self._by_key[key] = current
        return current

    def __len__(self) -> int:
        return len(self._by_key)


class Receipts:
    """How often each function was called and how many rows reached it: what tests of laziness assert."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._lock = threading.Lock()

    def count(self, function: str, rows: int) -> None:
        with self._lock:
            self._rows[function] = self._rows.get(function, 0) + rows

    def rows(self, function: str) -> int:
        """Rows that reached a private function since the last `clear`."""
        return self._rows.get(function, 0)

    def clear(self) -> None:
        with self._lock:
            self._rows.clear()


class ForcedBuilds:
    """Which builds with `force` were planned but not yet carried out.

    DuckDB plans some statements twice (`con.sql(...)`, then its execution), and a forced build runs when planned. What
    was made for a statement that has only been planned serves the next planning of the same call; once a statement
    was carried out, the next one builds again.
    """

    KEEP_SECONDS = 600.0
    """A plan older than this is no longer taken for the same statement."""

    def __init__(self) -> None:
        self._pending: dict[str, float] = {}
        self._lock = threading.Lock()

    def is_pending(self, call: str) -> bool:
        """True where this very call was made for a statement that was only planned so far."""
        made = self._pending.get(call)
        return made is not None and time.monotonic() - made < self.KEEP_SECONDS

    def made(self, call: str) -> None:
        with self._lock:
            self._pending[call] = time.monotonic()

    def executed(self) -> None:
        """A statement with a forced build is being carried out."""
        with self._lock:
            self._pending.clear()


class ProgressHook:
    """Hands on how far builds and reads are to whoever listens: (done, total or None, what)."""

    def __init__(self) -> None:
        self.listener: Callable[[int, int | None, str], None] | None = None

    def __call__(self, done: int, total: int | None, what: str) -> None:
        if self.listener is not None:
            self.listener(done, total, what)


def _publish_nowhere(_name: str) -> None:
    """A session without a database shows its collections to nobody."""


def _no_relation(_name: str) -> None:
    """A session without a database has no tables."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Session:
    """What functions work with. One for each DuckDB database, shared by its connections."""

    workspace_dir: Workspace
    """Where built collections are kept."""
    backend: StorageBackend
    """How bytes are read."""
    engine: Engine
    max_call_bytes: int
    """Most bytes of pixels that one call may hold."""
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
    collections: OpenCollections = field(default_factory=OpenCollections)
    forced: ForcedBuilds = field(default_factory=ForcedBuilds)
    progress: ProgressHook = field(default_factory=ProgressHook)
    receipts: Receipts = field(default_factory=Receipts)
    key: str = field(default_factory=lambda: uuid4().hex)
    """Identity, by which a database knows its session."""

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
        sources = self.lookup.bands(index, wanted_ids, wanted_bands) if named else {}
        if isinstance(self.backend, AutomaticBackend):
            addresses = (part.address for part in sources.values() if isinstance(part, BandSource))
            self.backend.serve(addresses, index.data_source, str(index.path))
        for request, bands in named.items():
            if (request[0], bands[0]) not in sources:
                continue  # the collection does not have the scene
            parts = [sources.get((request[0], band)) for band in bands]
            failed = next((part for part in parts if isinstance(part, UnreadableBand)), None)
            absent = [band for band, part in zip(bands, parts, strict=True) if part is None]
            if failed is not None:
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
        max_call_bytes=max_call_bytes or machine_memory() // 4,
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
