"""Defines the `StorageBackend` protocol, and makes a backend of any obstore store."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable

import obstore
from obstore.store import from_url

from rasteret_sql.errors import ArgumentTypeError, InvalidArgumentError
from rasteret_sql.io.loop import connecting
from rasteret_sql.io.second_library import store_again

Buffer = Any
"""Anything that `memoryview` takes: bytes, obstore.Bytes, a numpy array."""


@runtime_checkable
class StorageBackend(Protocol):
    """Gives parts of files. Methods may be coroutines, or plain functions, which are then called in threads.

    A backend may raise any OSError; FileNotFoundError, PermissionError and TimeoutError keep their meaning.
    """

    async def get_range(self, url: str, start: int, length: int) -> Buffer:
        """`length` bytes of `url` from byte `start`; fewer only where the file ends."""
        ...

    async def get_ranges(self, url: str, ranges: Sequence[tuple[int, int]]) -> list[Buffer]:
        """One buffer for each (start, length)."""
        ...


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Facts that a store gives of a file beside its bytes; None where it does not."""

    size: int | None = None
    """Bytes."""
    etag: str | None = None
    modified: datetime | None = None
    """Time of its last change, naive UTC."""

    def change_from(self, indexed: FileFacts) -> str:
        """Say what shows that this is another file than the one indexed; empty where nothing does.

        An ETag tells versions apart whatever else is equal; times are compared where no ETag is known of both.
        Whole seconds are, since servers give no more, and a file may be read in several ways.
        """
        if None not in (self.size, indexed.size) and self.size != indexed.size:
            return f"size {self.size} instead of {indexed.size}"
        if self.etag and indexed.etag:
            same = _strong(self.etag) == _strong(indexed.etag)
            return "" if same else f"ETag {_strong(self.etag)} instead of {_strong(indexed.etag)}"
        if self.modified and indexed.modified:
            now, then = self.modified.replace(microsecond=0), indexed.modified.replace(microsecond=0)
            exact = self.modified.microsecond and indexed.modified.microsecond
            if now != then or (exact and self.modified != indexed.modified):
                return f"changed at {self.modified} UTC instead of {indexed.modified}"
        return ""


def _strong(etag: str) -> str:
    """Caches and compression mark a tag as weak, on its way, of a file that is the same."""
    return etag.removeprefix("W/").strip('"')


@runtime_checkable
class SigningBackend(Protocol):
    """A backend that knows which credentials it uses."""

    def credential(self, url: str) -> str:
        """Name the credential that requests for an address carry and its origin, in words; never shows its values."""
        ...

    def renew(self, url: str) -> bool:
        """Drop credentials that were refused; True where others will be asked for, so that another try may help."""
        ...


@functools.cache
def tells_facts(backend: type) -> bool:
    """True where parts are to be had through `get_part`; a subclass that has its own `get_range` wants that called."""
    return _comes_first(backend, "get_part", "get_range")


@functools.cache
def gives_starts(backend: type) -> bool:
    """True where the first bytes of many files are to be had through `get_starts`."""
    return _comes_first(backend, "get_starts", "get_part") and _comes_first(backend, "get_starts", "get_range")


def _comes_first(backend: type, wanted: str, plain: str) -> bool:
    """True where a class has a method, and no subclass of the one that defines it has another method of its own."""
    first = {
        name: next((number for number, one in enumerate(backend.__mro__) if name in vars(one)), None)
        for name in (wanted, plain)
    }
    at, of_plain = first[wanted], first[plain]
    return at is not None and (of_plain is None or at <= of_plain)


class ObstoreBackend:
    """A backend over one obstore store.

    Attributes:
        store: any obstore store, MemoryStore too; given as a URL, obstore's store of that URL.
        url_prefix: taken off an address that starts with it; other addresses are paths of the store as they are.
            By default the URL, where the store was given as one.
        client_options: in obstore's words, for a store given as a URL; a store that is ready has its own.
    """

    def __init__(self, store: Any, url_prefix: str = "", client_options: Mapping[str, Any] | None = None) -> None:
        if isinstance(store, str):
            url_prefix = url_prefix or store
            store = from_url(store, client_options=dict(client_options or {}) or None)
        elif store is None or isinstance(store, type):
            raise ArgumentTypeError(
                "ObstoreBackend takes an obstore store, such as obstore.store.S3Store(...) or MemoryStore(), or the "
                f"URL of one, not {store!r}"
            )
        self.store = store
        self._process = os.getpid()
        self.url_prefix = url_prefix
        self.client_options = dict(client_options or {})

    def __repr__(self) -> str:
        return f"ObstoreBackend({type(self.store).__name__}, url_prefix={self.url_prefix!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        raise not_sent(self)

    def _here(self) -> Any:
        """The store, made anew in a forked child."""
        connecting()
        if self._process != os.getpid():
            self.store, self._process = store_again(self.store), os.getpid()
        return self.store

    def path(self, url: str) -> str:
        """The path in the store that an address means."""
        return url.removeprefix(self.url_prefix).lstrip("/")

    def headers_of(self, url: str) -> dict[str, str]:
        """Headers that requests for an address below the store's own carry: its `default_headers`."""
        home = self.url_prefix or str(getattr(self.store, "url", ""))
        if not home.lower().startswith(("http://", "https://")) or not f"{url}/".startswith(f"{home.rstrip('/')}/"):
            return {}
        options = self.client_options or getattr(self.store, "client_options", None) or {}
        given = options.get("default_headers") or {}
        return {str(name): v.decode("latin-1") if isinstance(v, bytes) else str(v) for name, v in given.items()}

    async def get_range(self, url: str, start: int, length: int) -> Buffer:
        return await obstore.get_range_async(self._here(), self.path(url), start=start, length=length)

    async def get_ranges(self, url: str, ranges: Sequence[tuple[int, int]]) -> list[Buffer]:
        return await gather_ranges(self, url, ranges)

    async def get_part(self, url: str, start: int, length: int) -> tuple[Buffer, FileFacts]:
        return await read_part(self._here(), self.path(url), start, length)


def not_sent(backend: object) -> InvalidArgumentError:
    """The error of a backend that another process is to get: what it is sent would hold its keys."""
    return InvalidArgumentError(
        f"{backend!r} may hold keys, so it is not sent to another process. Leave backend= out, so that the process "
        "finds credentials in its own environment, start workers with the multiprocessing method `fork`, or give a "
        "backend of your own class, whose pickle is yours to define"
    )


async def read_part(store: Any, path: str, start: int, length: int) -> tuple[Buffer, FileFacts]:
    """Bytes of an object and what its store says of it, with one request."""
    connecting()
    result = await obstore.get_async(store, path, options={"range": (start, start + length)})
    return await result.bytes_async(), facts_of(result.meta)


def facts_of(meta: Mapping[str, Any]) -> FileFacts:
    """The same of an answer of obstore."""
    modified = meta["last_modified"]
    if modified is not None:
        # Stores that do not know it say the epoch.
        modified = modified.astimezone(UTC).replace(tzinfo=None) if modified.timestamp() else None
    return FileFacts(meta["size"], meta["e_tag"], modified)


async def gather_ranges(backend: StorageBackend, url: str, ranges: Sequence[tuple[int, int]]) -> list[Buffer]:
    """Ask for each range on its own, all at once: callers have merged what is worth merging."""
    return list(await asyncio.gather(*(backend.get_range(url, start, length) for start, length in ranges)))
