"""What of a session changes: open collections, settings, backends by name, failures, and what hosts look at."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rasteret_sql.errors import IndexFormatError, InvalidArgumentError, MissingObjectError, did_you_mean
from rasteret_sql.index.open import CollectionIndex, open_collection
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.plain import plain_text
from rasteret_sql.kernels.backends import NamedBackend
from rasteret_sql.kernels.host_secrets import HostSecret, backend_of_secret
from rasteret_sql.kernels.rows import FailedRow

_KEPT_FAILURES = 10_000


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


@dataclass(slots=True)
class SessionSettings:
    """What may be set for one session."""

    max_call_bytes: int
    """Most bytes of pixels that one call may hold."""
    on_error: str = "raise"
    """Of calls that do not say."""
    on_change: str = "raise"
    """Of calls that do not say."""
    default_call_bytes: int = field(init=False)
    """What `max_call_bytes` was at first."""

    def __post_init__(self) -> None:
        self.default_call_bytes = self.max_call_bytes

    def of_calls(self) -> dict[str, str]:
        """What holds for calls that do not say, where that is not the default."""
        said = {"on_error": self.on_error, "on_change": self.on_change}
        return {name: value for name, value in said.items() if value != "raise"}


class NamedBackends:
    """The backends of a session, by name; a name of none may be that of a secret of the host."""

    def __init__(self) -> None:
        self._named: dict[str, tuple[str, NamedBackend]] = {}
        self._of_secrets: dict[str, tuple[HostSecret, StorageBackend]] = {}
        self._lock = threading.Lock()

    def add(self, name: str, backend: NamedBackend) -> None:
        """Know a backend by a name; one of the same name is replaced."""
        if not isinstance(name, str) or not name.strip():
            raise InvalidArgumentError(f"the name of a backend is a text that is not empty, not {name!r}")
        with self._lock:
            self._named[name.strip().casefold()] = name.strip(), backend

    def get(self, name: str, secret: Callable[[str], HostSecret | None]) -> StorageBackend:
        """The backend of a name, without regard to case.

        Args:
            name: As in `backend :=`.
            secret: Gives the host's secret of that name, None where there is none.

        Raises:
            InvalidArgumentError: There is neither.
        """
        known = self._named.get(name.strip().casefold())
        if known is not None:
            return known[1].backend
        held = secret(name)
        if held is not None:
            return self.of_secret(held)
        there = f"{did_you_mean(name, self.shown())}. " if self._named else ""
        raise InvalidArgumentError(
            f'no backend "{name}" in this session, and no DuckDB secret of that name. {there}'
            f"Make one with rasteret_create_backend('{name}', ...)"
        )

    def of_secret(self, secret: HostSecret) -> StorageBackend:
        """The backend of a secret, the same as long as the secret is."""
        with self._lock:
            known = self._of_secrets.get(secret.name)
            if known is None or known[0] != secret:
                known = self._of_secrets[secret.name] = secret, backend_of_secret(secret)
            return known[1]

    def shown(self) -> Mapping[str, NamedBackend]:
        """All of them by name."""
        with self._lock:
            return dict(sorted(self._named.values(), key=lambda named: named[0]))


@dataclass(frozen=True, slots=True)
class Failure:
    """A row that gave NULL because it could not be read."""

    at: datetime
    """Naive UTC."""
    function: str
    """What was called; empty where that is not known."""
    collection: str | None
    """As the call named it."""
    scene_id: str
    bands: str
    error: str
    """Name of its class."""
    message: str
    """Without what addresses in it have of secrets."""


class Failures:
    """What of a session gave NULL because it could not be read: of each scene, band and reason the latest."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str | None, str, str, str, str], Failure] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, function: str, row: FailedRow) -> None:
        """Keep one; of too many the oldest goes.

        One scene may fail for thousands of zones, and DuckDB may make a call of constants more than once.
        """
        # Texts alone: an error holds all that was at hand when it was raised. Messages of ours have no secret in them;
        # that of a backend that is not ours may.
        error, message = type(row.error).__name__, plain_text(str(row.error))
        key = (function, row.collection, row.scene_id, row.bands, error, message)
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = Failure(datetime.now(UTC).replace(tzinfo=None), *key)
            if len(self._kept) > _KEPT_FAILURES:
                self._kept.popitem(last=False)

    def listed(self, *, clear: bool = False) -> list[Failure]:
        """All of them, oldest first."""
        with self._lock:
            kept = list(self._kept.values())
            if clear:
                self._kept.clear()
        return kept
