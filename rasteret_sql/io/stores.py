"""The default backend: any address, routed to one pooled store per origin, bucket or container."""

from __future__ import annotations

import functools
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import obstore
from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store

from rasteret_sql.catalog.cloud_config import rewrite_url
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.access import Access
from rasteret_sql.io.addresses import Kind, Place, route
from rasteret_sql.io.backend import Buffer, FileFacts, gather_ranges, read_prefix
from rasteret_sql.io.credentials import AwsChain, Provider, has_boto3, profile_region
from rasteret_sql.io.files import LocalFiles
from rasteret_sql.io.loop import connecting
from rasteret_sql.io.s3_settings import SIGNING_VARIABLES, environment_settings, s3_settings

_KEPT_STORES = 256
"""Signed URLs may need a store each; the ones not used for longest go."""
_KEPT_ROUTES = 65_536

# Whoever sets one of these wants requests signed; without them they are anonymous, as open data needs it.
_GOOGLE_KEYS = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
)
_AZURE_KEYS = (
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_TOKEN",
    "AZURE_CLIENT_ID",
)
_GOOGLE_PROJECTS = ("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT")
_CLOUDS = {Kind.S3: "aws", Kind.GCS: "gcp", Kind.AZURE: "azure"}
_SECRETS = ("access_key_id", "secret_access_key", "session_token")


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How connections behave, in seconds."""

    connect_timeout: float = 5
    timeout: float = 30
    """For a whole request, its body included."""
    pool_idle: float = 90
    """How long an unused connection is kept."""

    def options(self, *, allow_http: bool) -> dict[str, Any]:
        """The same in obstore's words."""
        return {
            "connect_timeout": timedelta(seconds=self.connect_timeout),
            "timeout": timedelta(seconds=self.timeout),
            "pool_idle_timeout": timedelta(seconds=self.pool_idle),
            "allow_http": allow_http,
            "user_agent": "rasteret-sql",
        }


class RoutedBackend:
    """Reads any address: local files directly, all else through stores that are made once and kept."""

    def __init__(
        self,
        client: ClientSettings | None = None,
        environment: Mapping[str, str] | None = None,
        access: Access | None = None,
        plain: RoutedBackend | None = None,
        **config: str,
    ) -> None:
        """Make a backend that has no connection yet.

        Args:
            client: timeouts.
            environment: where credentials, endpoint and region come from; the process's own by default.
            access: rewriting, settings and credentials beside the environment's.
            plain: whose stores serve what `access` changes nothing of, so that connections are shared.
            config: settings for S3 stores in obstore's words, over those of the environment
                (`region`, `access_key_id`, `secret_access_key`, `endpoint`, ...).
        """
        self._client = client or ClientSettings()
        self._environment = os.environ if environment is None else environment
        self._access = access or Access(s3=s3_settings(config, "config"))
        self._plain = plain
        self._files = LocalFiles()
        self._lock = threading.Lock()
        self._stores: OrderedDict[tuple[Kind, str, str | None, str | None], Any] = OrderedDict()
        self._routes: dict[str, Place] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._stores)} stores)"

    async def get_range(self, url: str, start: int, length: int) -> Buffer:
        place = self._place(url)
        if place.kind is Kind.FILE:
            return await self._files.read(place.path, start, length)
        return await obstore.get_range_async(self._store(place), place.path, start=start, length=length)

    async def get_ranges(self, url: str, ranges: Sequence[tuple[int, int]]) -> list[Buffer]:
        return await gather_ranges(self, url, ranges)

    async def get_prefix(self, url: str, length: int) -> tuple[Buffer, FileFacts]:
        place = self._place(url)
        if place.kind is Kind.FILE:
            return await self._files.read_prefix(place.path, length)
        return await read_prefix(self._store(place), place.path, length)

    def store_of(self, url: str) -> tuple[Any, str]:
        """The obstore store of an address, which is no local file, and the path in it."""
        place = self._place(url)
        return self._store(place), place.path

    def _place(self, url: str) -> Place:
        place = self._routes.get(url)
        if place is None:
            if len(self._routes) >= _KEPT_ROUTES:
                self._routes.clear()
            patterns = self._access.url_patterns
            place = self._routes[url] = route(rewrite_url(url, patterns) if patterns else url)
        return place

    def _store(self, place: Place) -> Any:
        connecting()
        key = (place.kind, place.root, place.region, place.account)
        with self._lock:
            store = self._stores.get(key)
            if store is None:
                store = self._stores[key] = self._open(place)
                if len(self._stores) > _KEPT_STORES:
                    self._stores.popitem(last=False)
            else:
                self._stores.move_to_end(key)
            return store

    def _open(self, place: Place) -> Any:
        if self._plain is not None and not self._access.changes(_CLOUDS.get(place.kind, "")):
            return self._plain._store(place)  # noqa: SLF001 - another of the same class
        # fetch retries by itself: it sees short bodies, waits for one host at a time, and is bounded in time.
        common = {"retry_config": {"max_retries": 0, "retry_timeout": timedelta(seconds=self._client.timeout)}}
        if place.kind is Kind.HTTP:
            return HTTPStore.from_url(place.root, client_options=self._client.options(allow_http=True), **common)
        if place.kind is Kind.S3:
            config = self._s3_config(place)
            allow_http = config.get("endpoint", "").startswith("http://")
            return S3Store(place.root, client_options=self._client.options(allow_http=allow_http), **config, **common)
        if place.kind is Kind.GCS:
            return self._google(place, common)
        return self._azure(place, common)

    def _s3_config(self, place: Place) -> dict[str, Any]:
        """Settings of a bucket: environment < address < the access's fallback < its own < the bucket's."""
        access, profile = self._access, self._environment.get("AWS_PROFILE") or None
        own, provider = access.s3_of(place.root), None
        known = {} if place.region is None else {"region": place.region}
        if access.credentials is not None and (provider := access.credentials.of("aws")) is not None:
            known = ({"region": access.credentials.region} if access.credentials.region else {}) | known
        config = {**environment_settings(self._environment), **known, **access.s3_fallback, **own}
        anonymous = config.pop("skip_signature", None)
        if provider is not None or anonymous:
            for name in _SECRETS:
                config.pop(name, None)
            return config | ({"credential_provider": provider} if provider else {"skip_signature": True})
        if "access_key_id" in own:
            if "session_token" not in own:
                config.pop("session_token", None)  # the environment's belongs to the environment's key
            return config
        if self._has(SIGNING_VARIABLES):
            return config
        if not config.get("request_payer") and profile is None and anonymous is None:
            return config | {"skip_signature": True}
        if has_boto3():
            config["credential_provider"] = Provider(AwsChain(profile), "aws").of("aws")
            if "region" not in config and (region := profile_region(profile)):
                config["region"] = region
        elif profile is not None:
            raise InvalidArgumentError(
                "AWS_PROFILE is set, but profiles are read by boto3: pip install 'rasteret-sql[aws]', set "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or unset AWS_PROFILE"
            )
        return config

    def _google(self, place: Place, common: dict[str, Any]) -> Any:
        options = self._client.options(allow_http=False)
        project = next((self._environment[name] for name in _GOOGLE_PROJECTS if self._environment.get(name)), None)
        if "gcp" in self._access.requester_pays and project:
            options["default_headers"] = {"x-goog-user-project": project}
        provider = self._access.credentials and self._access.credentials.of("gcp")
        config: dict[str, Any] = {}
        if provider is not None:
            config["credential_provider"] = provider
        elif not self._has(_GOOGLE_KEYS) and "gcp" not in self._access.signed:
            config["skip_signature"] = True
        return GCSStore(place.root, client_options=options, **config, **common)

    def _azure(self, place: Place, common: dict[str, Any]) -> Any:
        container, account = place.root, place.account or self._environment.get("AZURE_STORAGE_ACCOUNT_NAME")
        if account is None:
            msg = (
                f'the Azure container "{container}" is in no known account: '
                "write abfs://container@account.dfs.core.windows.net/path or set AZURE_STORAGE_ACCOUNT_NAME"
            )
            raise InvalidArgumentError(msg)
        config: dict[str, Any] = {}
        endpoint = self._environment.get("AZURE_STORAGE_ENDPOINT")
        if endpoint:  # a gateway or an emulator
            config["endpoint"] = endpoint
        provider = self._access.credentials and self._access.credentials.of("azure", account, container)
        if provider is not None:
            config["credential_provider"] = provider
        elif not self._has(_AZURE_KEYS) and "azure" not in self._access.signed:
            config["skip_signature"] = True
        options = self._client.options(allow_http=(endpoint or "").startswith("http://"))
        return AzureStore(container, account_name=account, client_options=options, **config, **common)

    def _has(self, names: Sequence[str]) -> bool:
        return any(self._environment.get(name) for name in names)


@functools.cache
def default_backend() -> RoutedBackend:
    """The process's backend, with its connections; the environment counts when a bucket is first read."""
    return RoutedBackend()


# Threads and connections do not survive a fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=default_backend.cache_clear)
