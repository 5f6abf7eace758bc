"""What gives bytes: the `StorageBackend` protocol, and a backend over any obstore store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import obstore

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


@runtime_checkable
class PrefixBackend(Protocol):
    """A backend that also tells a file's size with its first bytes, in the same request."""

    async def get_prefix(self, url: str, length: int) -> tuple[Buffer, int | None]:
        """The first `length` bytes or the whole shorter file, and the file's size where it is known."""
        ...


class ObstoreBackend:
    """A backend over one obstore store.

    Attributes:
        store: any obstore store, MemoryStore too.
        url_prefix: taken off an address that starts with it; other addresses are paths of the store as they are.
        client_options: kept for whoever made the backend; the store was already made with its own.
    """

    def __init__(self, store: Any, url_prefix: str = "", client_options: Mapping[str, Any] | None = None) -> None:
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

    async def get_prefix(self, url: str, length: int) -> tuple[Buffer, int | None]:
        return await read_prefix(self.store, self.path(url), length)


async def read_prefix(store: Any, path: str, length: int) -> tuple[Buffer, int | None]:
    """First bytes and size of an object, with one request."""
    connecting()
    result = await obstore.get_async(store, path, options={"range": (0, length)})
    return await result.bytes_async(), result.meta["size"]


async def gather_ranges(backend: StorageBackend, url: str, ranges: Sequence[tuple[int, int]]) -> list[Buffer]:
    """Ask for each range on its own, all at once: callers have merged what is worth merging."""
    return list(await asyncio.gather(*(backend.get_range(url, start, length) for start, length in ranges)))
