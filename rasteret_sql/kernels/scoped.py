"""Backends that hold for some addresses alone, as secrets of a database do, and one that sends headers."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from obstore.store import HTTPStore

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.addresses import Kind, route
from rasteret_sql.io.backend import Buffer, FileFacts, gather_ranges, read_part
from rasteret_sql.io.settings import IoSettings, io_settings
from rasteret_sql.io.stores import default_backend


class Routed(Protocol):
    """What a backend of stores can do."""

    async def get_part(self, url: str, start: int, length: int) -> tuple[Buffer, FileFacts]:
        """Bytes of a file, and what is known of it."""

    def credential(self, url: str) -> str:
        """Which credential requests carry, in words."""

    def renew(self, url: str) -> bool:
        """Ask for new credentials."""

    def store_of(self, url: str) -> tuple[Any, str]:
        """The store of an address, and the path in it."""


class ScopedBackend:
    """Reads addresses that begin with a prefix by one backend, and all others as without any.

    Args:
        inside: Reads those of the scope.
        scope: Prefixes, in any spelling of an address; `s3://` alone is all of S3. None: everything.
    """

    def __init__(self, inside: Routed, scope: Sequence[str]) -> None:
        self._inside = inside
        self._scope = tuple(map(_prefix, scope))

    def __repr__(self) -> str:
        return f"ScopedBackend({self._inside!r})"

    async def get_range(self, url: str, start: int, length: int) -> Buffer:
        return (await self.get_part(url, start, length))[0]

    async def get_ranges(self, url: str, ranges: Sequence[tuple[int, int]]) -> list[Buffer]:
        return await gather_ranges(self, url, ranges)

    async def get_part(self, url: str, start: int, length: int) -> tuple[Buffer, FileFacts]:
        return await self._of(url).get_part(url, start, length)

    def credential(self, url: str) -> str:
        return self._of(url).credential(url)

    def renew(self, url: str) -> bool:
        return self._of(url).renew(url)

    def store_of(self, url: str) -> tuple[Any, str]:
        return self._of(url).store_of(url)

    def _of(self, url: str) -> Routed:
        inside = not self._scope or url.startswith(self._scope) or _spelled(url).startswith(self._scope)
        return self._inside if inside else default_backend()


def _spelled(address: str) -> str:
    """An address in the one spelling of its store: https://bucket.s3.amazonaws.com/x is s3://bucket/x."""
    try:
        place = route(address)
    except InvalidArgumentError:
        return address  # of another system, such as r2://
    return address if place.kind in (Kind.HTTP, Kind.FILE) else f"{place.kind}://{place.root}/{place.path}"


def _prefix(scope: str) -> str:
    """A prefix in that spelling. One without a path ends with its bucket or host: others may begin with its name."""
    scheme, _, rest = scope.partition("://")
    if not rest:
        begin = _spelled(f"{scheme}://bucket/key")
        return begin[: begin.index("://") + 3]
    return _spelled(scope) if "/" in rest.rstrip("/") else _spelled(f"{scope.rstrip('/')}/x")[:-1]


class HeaderBackend:
    """Sends headers with every request to a web server; what is no web server is read as without any.

    Args:
        headers: Name → value.
        source: Where they are from, in words.
    """

    def __init__(self, headers: Mapping[str, str], source: str) -> None:
        self._headers = dict(headers)
        self._source = source
        self._stores: dict[tuple[str, IoSettings], HTTPStore] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"HeaderBackend({self._source})"

    async def get_part(self, url: str, start: int, length: int) -> tuple[Buffer, FileFacts]:
        if route(url).kind is not Kind.HTTP:
            return await default_backend().get_part(url, start, length)
        store, path = self.store_of(url)
        return await read_part(store, path, start, length)

    def credential(self, url: str) -> str:
        if route(url).kind is not Kind.HTTP:
            return default_backend().credential(url)
        return f"sent with the headers of {self._source}"

    def renew(self, url: str) -> bool:  # noqa: ARG002 - they stay as they are
        return False

    def store_of(self, url: str) -> tuple[Any, str]:
        place, settings = route(url), io_settings()
        if place.kind is not Kind.HTTP:
            return default_backend().store_of(url)
        with self._lock:
            store = self._stores.get((place.root, settings))
            if store is None:
                store = HTTPStore.from_url(
                    place.root,
                    client_options={
                        "connect_timeout": timedelta(seconds=settings.connect_timeout),
                        "timeout": timedelta(seconds=settings.request_timeout),
                        "allow_http": place.root.startswith("http://"),
                        "default_headers": self._headers,
                        "user_agent": "rasteret-sql",
                    },
                    retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=settings.request_timeout)},
                )
                self._stores[place.root, settings] = store
        return store, place.path
