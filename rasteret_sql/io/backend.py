"""What gives bytes: the `StorageBackend` protocol, and a backend over any obstore store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable

import obstore
from obstore.store import from_url

from rasteret_sql.errors import ArgumentTypeError
from rasteret_sql.io.loop import connecting

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
    """What a store says of a file beside its bytes; None where it does not say."""

    size: int | None = None
    """Bytes."""
    etag: str | None = None
    modified: datetime | None = None
    """Time of its last change, naive UTC."""


@runtime_checkable
class PrefixBackend(Protocol):
    """A backend that tells what it knows of a file with its first bytes, in the same request."""

    async def get_prefix(self, url: str, length: int) -> tuple[Buffer, FileFacts]:
        """The first `length` bytes or the whole shorter file, and what is known of it."""
        ...


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
        self.url_prefix = url_prefix
        self.client_options = dict(client_options or {})

    def __repr__(self) -> str:
        return f"ObstoreBackend({type(self.store).__name__}, url_prefix={self.url_prefix!r})"

    def path(self, url: str) -> str:
        """The path in the store that an address means."""
        return url.removeprefix(self.url_prefix).lstrip("/")

    async def get_range(self, url: str, start: int, length: int) -> Buffer:
        connecting()
        return await obstore.get_range_async(self.store, self.path(url), start=start, length=length)

    async def get_ranges(self, url: str, ranges: Sequence[tuple[int, int]]) -> list[Buffer]:
        return await gather_ranges(self, url, ranges)

    async def get_prefix(self, url: str, length: int) -> tuple[Buffer, FileFacts]:
        return await read_prefix(self.store, self.path(url), length)


async def read_prefix(store: Any, path: str, length: int) -> tuple[Buffer, FileFacts]:
    """First bytes of an object and what its store says of it, with one request."""
    connecting()
    result = await obstore.get_async(store, path, options={"range": (0, length)})
    meta = result.meta
    modified = meta["last_modified"]
    facts = FileFacts(
        meta["size"], meta["e_tag"], None if modified is None else modified.astimezone(UTC).replace(tzinfo=None)
    )
    return await result.bytes_async(), facts


async def gather_ranges(backend: StorageBackend, url: str, ranges: Sequence[tuple[int, int]]) -> list[Buffer]:
    """Ask for each range on its own, all at once: callers have merged what is worth merging."""
    return list(await asyncio.gather(*(backend.get_range(url, start, length) for start, length in ranges)))
