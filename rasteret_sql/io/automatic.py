"""The backend of a session that was given none: each dataset's files as its config or descriptor says."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.access import Access, access_of
from rasteret_sql.io.backend import Buffer, FileFacts
from rasteret_sql.io.create import backend_of
from rasteret_sql.io.credentials import EARTHDATA_HOST, Provider, earthdata
from rasteret_sql.io.sas_tokens import PLANETARY_COMPUTER_HOST, SasTokenEndpoint
from rasteret_sql.io.stores import RoutedBackend, default_backend

_EMPTY = Access()


class AutomaticBackend(RoutedBackend):
    """The process's default backend, but for the buckets and hosts of datasets that are reached in another way."""

    def __init__(self) -> None:
        super().__init__(plain=default_backend())
        self._chosen: dict[str, RoutedBackend] = {}
        self._configs: dict[str, CloudConfig] = {}

    async def get_part(self, url: str, start: int, length: int) -> tuple[Buffer, FileFacts]:
        return await self._of(url).get_part(url, start, length)

    def endpoint_of(self, url: str) -> str | None:
        return self._of(url).endpoint_of(url)

    def credential(self, url: str) -> str:
        return self._of(url).credential(url)

    def renew(self, url: str) -> bool:
        return self._of(url).renew(url)

    def store_of(self, url: str) -> tuple[Any, str]:
        return self._of(url).store_of(url)

    def keep(self, collection: str, config: CloudConfig | None) -> None:
        """Read a collection, known by its path, with the config of its build; None: as registered."""
        if config is None:
            self._configs.pop(collection, None)
        else:
            self._configs[collection] = config

    def serve(self, addresses: Iterable[str], data_source: str, collection: str = "") -> None:
        """Choose the backend of files that are about to be read: by the build's config, else by what is registered.

        Two datasets with files in one bucket and different configs share the choice: the one asked for last counts.

        Raises:
            InvalidArgumentError: credentials are there, but the extra that they need is not.
        """
        backend = backend_for(data_source, self._configs.get(collection), build=False)
        if backend is None and not self._chosen:
            return
        for origin in {_origin(address) for address in addresses}:
            if backend is None:
                self._chosen.pop(origin, None)
            elif origin:
                self._chosen[origin] = backend

    def _of(self, url: str) -> RoutedBackend:
        if self._chosen:
            chosen = self._chosen.get(_origin(url))
            if chosen is not None:
                return chosen
        return default_backend()


def backend_for(
    data_source: str, config: CloudConfig | None = None, stac_collection: str | None = None, *, build: bool
) -> RoutedBackend | None:
    """The backend that a dataset asks for by its config or credentials, None where the default one will do.

    Args:
        data_source: id of the dataset, or what a collection says of its source.
        config: in place of the one registered for it.
        stac_collection: a further name under which a config may be registered.
        build: True: a dataset that needs a login is an error without one. Reads then go on without, and say so where
            access is denied: files may have been copied elsewhere.

    Raises:
        InvalidArgumentError: a login is needed and none is found, or the extra that it needs is not installed.
    """
    descriptor = DatasetRegistry.get(data_source) if data_source else None
    if descriptor is not None:
        stac_collection = stac_collection or descriptor.stac_collection
    config = config or (CloudConfig.get_config(data_source, stac_collection) if data_source else None)
    credentials: Provider | None = None
    address = descriptor.s3_credentials_url if descriptor is not None else None
    if descriptor is not None and address:
        credentials = _login(address)
        if credentials is None and descriptor.requires_auth and build:
            raise InvalidArgumentError(
                f'dataset "{descriptor.id}" needs a login, and none was found: add "machine {EARTHDATA_HOST} login '
                '... password ..." to ~/.netrc, or set EARTHDATA_TOKEN, or EARTHDATA_USERNAME and EARTHDATA_PASSWORD '
                "(needs pip install 'rasteret-sql[earthdata]'), or pass backend=create_backend(credential_provider=...)"
            )
    if credentials is None and descriptor is not None and _is_planetary(descriptor):
        credentials = _planetary_computer()
    access = access_of(config, credentials=credentials)
    return None if access == _EMPTY else backend_of(access)


_logins: dict[tuple[str, tuple[str | None, ...]], Provider] = {}
"""One login for each credentials endpoint and account, kept with what it was given until that expires."""


def _login(address: str) -> Provider | None:
    found = earthdata(address)
    if found is None:
        return None
    key = (address, _account())
    return _logins.setdefault(key, found)


def _is_planetary(descriptor: DatasetDescriptor) -> bool:
    """True for datasets whose containers are read with the Planetary Computer's tokens, which need no login."""
    return descriptor.requires_auth and urlsplit(descriptor.stac_api or "").hostname == PLANETARY_COMPUTER_HOST


@functools.cache
def _planetary_computer() -> Provider:
    """One for all of its datasets, so that a container's token is asked for once."""
    return Provider(SasTokenEndpoint())


def _account() -> tuple[str | None, ...]:
    names = ("EARTHDATA_TOKEN", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD", "EARTHDATA_HOST", "NETRC", "HOME")
    return tuple(os.environ.get(name) for name in names)


def _origin(address: str) -> str:
    """Scheme and host or bucket of an address; empty for a path of this machine."""
    start = address.find("://")
    if start < 0:
        return ""
    end = address.find("/", start + 3)
    return address[:end] if end > 0 else address
