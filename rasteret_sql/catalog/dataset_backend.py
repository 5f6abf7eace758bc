"""Chooses the backend that reads the files of a dataset, by its config and its login."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.access import Access, Settings
from rasteret_sql.io.clouds.earthdata import EARTHDATA_HOST, VARIABLES, earthdata
from rasteret_sql.io.clouds.planetary_computer import PLANETARY_COMPUTER_HOST, SasTokenEndpoint
from rasteret_sql.io.clouds.s3_settings import s3_settings
from rasteret_sql.io.credentials import Provider
from rasteret_sql.io.routed_backend import RoutedBackend, backend_of

_EMPTY = Access()


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
    return tuple(os.environ.get(name) for name in VARIABLES)


def access_of(
    config: CloudConfig | None = None,
    *,
    credentials: Provider | None = None,
    default_s3_config: Settings | None = None,
    region: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Access:
    """Make the access that the arguments of `create_backend` and the config of a dataset mean.

    A bucket that is the target of one of the config's patterns has the config's region and payer, whatever else is
    said. Where there is no such bucket, the config holds for all, below `default_s3_config`, and `region` is below
    its region.

    Raises:
        InvalidArgumentError: a setting is unknown or of the wrong kind.
    """
    settings = {**({"region": region} if region else {}), **s3_settings(default_s3_config)}
    if config is None:
        return Access(s3=settings, credentials=credentials, headers=dict(headers or {}))
    fallback: dict[str, Any] = {}
    buckets: dict[str, Settings] = {}
    if config.provider == "aws":
        said = {"region": config.region, **({"request_payer": True} if config.requester_pays else {})}
        targets = (target for target in config.url_patterns.values() if target.lower().startswith("s3://"))
        buckets = {target[5:].partition("/")[0]: said for target in targets}
        fallback = {name: value for name, value in said.items() if not buckets or name == "request_payer"}
    return Access(
        url_patterns=dict(config.url_patterns),
        s3_fallback=fallback,
        s3=settings,
        buckets=buckets,
        requester_pays=(config.provider,) if config.requester_pays else (),
        signed=(config.provider,) if config.requester_pays and config.provider != "aws" else (),
        credentials=credentials,
        headers=dict(headers or {}),
    )
