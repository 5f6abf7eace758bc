"""`RoutedBackend`, the default: routes any address to one pooled store per origin, bucket or container."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from obstore.exceptions import BaseError, NotSupportedError

from rasteret_sql.io.access import Access
from rasteret_sql.io.addresses import Kind, Place, rewrite_url
from rasteret_sql.io.backend import Buffer, FileFacts, gather_ranges, not_sent, read_part
from rasteret_sql.io.clouds.cloud import Opened
from rasteret_sql.io.clouds.registry import VARIABLES, Opener, route
from rasteret_sql.io.clouds.s3_region import bucket_region, said_region
from rasteret_sql.io.clouds.s3_settings import s3_settings
from rasteret_sql.io.failures import Cause, failure_of
from rasteret_sql.io.files import LocalFiles, read_at_hand
from rasteret_sql.io.loop import connecting
from rasteret_sql.io.settings import IoSettings, io_settings
from rasteret_sql.io.signed_addresses import signed_form
from rasteret_sql.io.whole_files import WholeFiles

_KEPT_STORES = 256
"""Signed URLs may need a store each; the ones not used for longest go."""
_KEPT_ROUTES = 65_536
_KEPT_BACKENDS = 64
_RENEWED_SECONDS = 5.0
"""Credentials younger than this are not asked for anew when they are refused: they were, by another request."""

_Key = tuple[str, str, str | None, str | None, IoSettings]


class RoutedBackend:
    """Reads any address: local files directly, all else through stores that are made once and kept."""

    def __init__(
        self,
        settings: IoSettings | None = None,
        environment: Mapping[str, str] | None = None,
        access: Access | None = None,
        plain: RoutedBackend | None = None,
        **config: str,
    ) -> None:
        """Make a backend that has no connection yet.

        Args:
            settings: timeouts; by default those of the process, as they are at each read.
            environment: where credentials, endpoint and region come from; the process's own by default.
            access: rewriting, settings and credentials beside the environment's.
            plain: whose stores serve what `access` changes nothing of, so that connections are shared.
            config: settings for S3 stores in obstore's words, over those of the environment
                (`region`, `access_key_id`, `secret_access_key`, `endpoint`, ...).
        """
        self._settings = settings
        self._access = access or Access(s3=s3_settings(config, "config"))
        self._opener = Opener(os.environ if environment is None else environment, self._access)
        self._plain = plain
        self._files = LocalFiles()
        self._whole = WholeFiles()
        self._begin()
        self._renewed: dict[_Key, float] = {}
        self._regions: dict[str, str] = {}
        """Bucket → where S3 said that it is."""
        self._routes: dict[str, Place] = {}

    def _begin(self) -> None:
        """Have no store: of this process, for those of another one are of no use after a fork."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._stores: OrderedDict[_Key, Opened] = OrderedDict()
        self._lookups: dict[str, asyncio.Task[str | None]] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._stores)} stores)"

    def __reduce__(self) -> tuple[Any, ...]:
        if self is default_backend():
            return default_backend, ()
        raise not_sent(self)

    async def get_range(self, url: str, start: int, length: int) -> Buffer:
        return (await self.get_part(url, start, length))[0]

    async def get_ranges(self, url: str, ranges: Sequence[tuple[int, int]]) -> list[Buffer]:
        return await gather_ranges(self, url, ranges)

    async def get_part(self, url: str, start: int, length: int) -> tuple[Buffer, FileFacts]:
        place = self._place(url)
        if place.kind == Kind.FILE:
            return await self._files.read_known(place.path, start, length)
        if self._whole.has(url):
            return await self._from_whole(place, url, start, length)
        asked = self._regions.get(place.root)
        try:
            return await read_part(self._opened(place).store, place.path, start, length)
        except NotSupportedError:
            return await self._from_whole(place, url, start, length)
        except BaseError as error:
            if place.kind != Kind.S3 or not await self._found_region(place, asked, error):
                raise
        return await read_part(self._opened(place).store, place.path, start, length)

    async def get_starts(self, urls: Sequence[str], length: int) -> list[tuple[Buffer, FileFacts] | None]:
        """The first bytes of each file of this machine that can be read; None of all others."""
        places = [self._place(url) for url in urls]
        files = [number for number, place in enumerate(places) if place.kind == Kind.FILE]
        found: list[tuple[Buffer, FileFacts] | None] = [None] * len(places)
        read = await self._files.read_starts([places[number].path for number in files], length) if files else ()
        for number, start in zip(files, read, strict=True):
            found[number] = start
        return found

    def is_local(self, url: str) -> bool:
        """True for a file of this machine."""
        return self._place(url).kind == Kind.FILE

    def read_at_hand(self, url: str, start: int, into: memoryview) -> FileFacts | None:
        """Fill a buffer from a file of this machine, as `files.read_at_hand`."""
        return read_at_hand(self._place(url).path, start, into)

    async def _from_whole(self, place: Place, url: str, start: int, length: int) -> tuple[Buffer, FileFacts]:
        """A part of a file whose server does not serve parts."""
        limit = (self._settings or io_settings()).whole_file_bytes
        return await self._whole.part(self._opened(place).store, place.path, url, start, length, limit)

    def store_of(self, url: str) -> tuple[Any, str]:
        """The obstore store of an address, which is no local file, and the path in it."""
        place = self._place(url)
        return self._opened(place).store, place.path

    def endpoint_of(self, url: str) -> str | None:
        """The address to which requests for S3 go in place of AWS; None for AWS and all that is not S3."""
        place = self._place(url)
        return self.endpoint_at(place)

    def endpoint_at(self, place: Place) -> str | None:
        """The same for a place."""
        return self._opener.endpoint(place, self._settings or io_settings())

    def headers_of(self, url: str) -> Mapping[str, str]:
        """Headers of its own that requests to a web server carry."""
        return dict(self._access.headers) if url.lower().startswith(("http://", "https://")) else {}

    def credential(self, url: str) -> str:
        """Name the credential that requests for an address carry and its origin, in words."""
        place = self._place(url)
        return "made by the user of this process" if place.kind == Kind.FILE else self._opened(place).credential()

    def renew(self, url: str) -> bool:
        """Ask for new credentials where those that were refused came from a provider."""
        place = self._place(url)
        if place.kind == Kind.FILE:
            return False
        if self._plain is not None and not self._opener.changes(place):
            return self._plain.renew(url)
        opened, key = self._opened(place), self._key(place)
        if opened.renewable is None:
            return False
        with self._lock:
            now = time.monotonic()
            if now - self._renewed.get(key, -_RENEWED_SECONDS) >= _RENEWED_SECONDS:
                self._renewed[key] = now
                opened.renewable()
                self._stores.pop(key, None)  # it keeps credentials until they are about to expire
        return True

    def _place(self, url: str) -> Place:
        url = signed_form(url, self._access.has_credentials)
        place = self._routes.get(url)
        if place is None:
            if len(self._routes) >= _KEPT_ROUTES:
                self._routes.clear()
            patterns = self._access.url_patterns
            place = self._routes[url] = route(rewrite_url(url, patterns) if patterns else url)
        return place

    def _key(self, place: Place) -> _Key:
        region = self._regions.get(place.root, place.region) if self._regions else place.region
        return place.kind, place.root, region, place.account, self._settings or io_settings()

    def _opened(self, place: Place) -> Opened:
        connecting()
        if self._process != os.getpid():
            self._begin()
        key = self._key(place)
        with self._lock:
            opened = self._stores.get(key)
            if opened is None:
                opened = self._stores[key] = self._open(place, key)
                if len(self._stores) > _KEPT_STORES:
                    self._stores.popitem(last=False)
            else:
                self._stores.move_to_end(key)
            return opened

    def _open(self, place: Place, key: _Key) -> Opened:
        if self._plain is not None and not self._opener.changes(place):
            return self._plain._opened(place)  # noqa: SLF001 - another of the same class
        return self._opener.open(place, key[-1], self._regions.get(place.root))

    async def _found_region(self, place: Place, asked: str | None, error: BaseError) -> bool:
        """True where S3 says that the bucket is in another region than the one that was asked."""
        failure, region = failure_of(error), said_region(str(error))
        is_redirect = failure is not None and failure.cause is Cause.REDIRECT
        if region is None and not is_redirect:
            return False
        if region is None and self._regions.get(place.root) == asked:
            region = await self._looked_up(place)
        now = self._regions.get(place.root)
        if region is None or region == now:
            return now != asked  # another request has found it meanwhile
        self._regions[place.root] = region
        if self._plain is not None:
            self._plain._regions[place.root] = region  # noqa: SLF001 - another of the same class
        return True

    async def _looked_up(self, place: Place) -> str | None:
        """The region of a bucket, asked for once by all requests that are sent elsewhere at a time."""
        task = self._lookups.get(place.root)
        if task is None:
            task = asyncio.create_task(asyncio.to_thread(bucket_region, place.root, self.endpoint_at(place)))
            self._lookups[place.root] = task
            task.add_done_callback(lambda _: self._lookups.pop(place.root, None))
        return await asyncio.shield(task)


@functools.cache
def default_backend() -> RoutedBackend:
    """The process's backend, with its connections; the environment counts when a bucket is first read."""
    return RoutedBackend()


def backend_of(access: Access) -> RoutedBackend:
    """The process's backend for an access, the one there is by default where it changes nothing."""
    # Its connections are those of the default backend, of which there may be another one later, after a fork, say.
    key = (_frozen(access), _environment(), _Same(default_backend()))
    with _backends.lock:
        found = _backends.kept.get(key)
        if found is None:
            found = _backends.kept[key] = RoutedBackend(access=access, plain=default_backend())
            if len(_backends.kept) > _KEPT_BACKENDS:
                _backends.kept.popitem(last=False)
        else:
            _backends.kept.move_to_end(key)
        return found


class _Backends:
    """The backends of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.kept: OrderedDict[Any, RoutedBackend] = OrderedDict()


_backends = _Backends()


def _frozen(access: Access) -> tuple[Any, ...]:
    """A key that is the same for the same access; a provider is itself only."""
    settings = tuple(tuple(sorted(part.items())) for part in (access.url_patterns, access.s3_fallback, access.s3))
    buckets = tuple(sorted((name, tuple(sorted(part.items()))) for name, part in access.buckets.items()))
    # The provider itself is part of the key, so that its identity is not given to another one.
    provider = access.credentials.provider if access.credentials else None
    headers = tuple(sorted(access.headers.items())), access.headers_from
    return settings, buckets, access.requester_pays, access.signed, headers, _Same(provider)


class _Same:
    """An object as a key, whatever it says of its equality."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def _environment() -> tuple[tuple[str, str], ...]:
    """Variables that a store reads when it is made: other ones need another backend."""
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith(VARIABLES)))


def _after_fork() -> None:
    """Threads and connections do not survive a fork."""
    default_backend.cache_clear()
    _backends.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
