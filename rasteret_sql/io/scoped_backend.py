"""`ScopedBackend`: reads some addresses alone with a backend, as secrets of a database ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.addresses import Kind
from rasteret_sql.io.backend import Buffer, FileFacts, gather_ranges
from rasteret_sql.io.clouds.registry import route
from rasteret_sql.io.routed_backend import default_backend


class Routed(Protocol):
    """Methods of a backend of stores."""

    async def get_part(self, url: str, start: int, length: int) -> tuple[Buffer, FileFacts]:
        """Bytes of a file, and what is known of it."""

    def credential(self, url: str) -> str:
        """Name the credential that requests carry, in words."""

    def renew(self, url: str) -> bool:
        """Ask for new credentials."""

    def store_of(self, url: str) -> tuple[Any, str]:
        """The store of an address, and the path in it."""

    def headers_of(self, url: str) -> Mapping[str, str]:
        """Headers of its own that requests to a web server carry."""


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

    def headers_of(self, url: str) -> Mapping[str, str]:
        """Headers that requests to a web server carry."""
        # A scope that is a host ends with a slash, an API's address perhaps not.
        inside = self._of(url if "/" in url.partition("://")[2] else f"{url}/")
        return inside.headers_of(url)

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
