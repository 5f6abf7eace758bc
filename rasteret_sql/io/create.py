"""`create_backend`, and the backends that configs and datasets ask for; one for each distinct access in a process."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.access import Access, access_of
from rasteret_sql.io.credentials import Provider
from rasteret_sql.io.sas_tokens import SasTokenEndpoint
from rasteret_sql.io.stores import RoutedBackend, default_backend

__all__ = ["SasTokenEndpoint", "backend_of", "create_backend"]

_KEPT_BACKENDS = 64
_VARIABLES = ("AWS_", "GOOGLE_", "GCLOUD_", "AZURE_")


def create_backend(
    credential_provider: Any = None,
    cloud_config: CloudConfig | Mapping[str, Any] | None = None,
    region: str | None = None,
    default_s3_config: Mapping[str, Any] | None = None,
) -> RoutedBackend:
    """Make a backend for `backend=` of builds and reads: any file, http(s), s3, gs, az or abfs address.

    Without arguments it does what is done without a backend: S3, Google and Azure are read anonymously, or signed
    where the environment has credentials. Equal arguments give the same backend, with its connections.

    Args:
        credential_provider: An obstore credential provider (obstore.auth.planetary_computer, .earthdata, .boto3, ...),
            a callable of your own, plain or async, that gives what those do, or `SasTokenEndpoint(...)` (its address
            as text will do too). One of obstore's serves its own cloud only; the others' buckets stay as they are.
        cloud_config: Rewriting of addresses (`url_patterns`), and region and payer of the S3 buckets these lead to,
            which win over the arguments below. Without such buckets its region and payer hold for every bucket that
            nothing else is said of.
        region: Of all S3 buckets; short for `default_s3_config={"region": region}`, whose own `region` wins.
        default_s3_config: Settings of all S3 buckets in obstore's or rasteret's words: `region`, `endpoint`,
            `skip_signature`, `request_payer`, `access_key_id` or `aws_access_key_id`, ... Keys sign the requests.

    Raises:
        InvalidArgumentError: a setting is unknown, or a value cannot be used.
    """
    if region is not None and (not isinstance(region, str) or not region):
        raise InvalidArgumentError(f"region is a name such as us-west-2, not {region!r}")
    if isinstance(credential_provider, str):
        credential_provider = SasTokenEndpoint(credential_provider)
    credentials = None if credential_provider is None else Provider(credential_provider)
    config = CloudConfig.from_value(cloud_config)
    return backend_of(access_of(config, credentials=credentials, default_s3_config=default_s3_config, region=region))


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
    """What makes two accesses the same; a provider is itself only."""
    settings = tuple(tuple(sorted(part.items())) for part in (access.url_patterns, access.s3_fallback, access.s3))
    buckets = tuple(sorted((name, tuple(sorted(part.items()))) for name, part in access.buckets.items()))
    # The provider itself is part of the key, so that its identity is not given to another one.
    provider = access.credentials.provider if access.credentials else None
    return settings, buckets, access.requester_pays, access.signed, _Same(provider)


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
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith(_VARIABLES)))


def _after_fork() -> None:
    """Threads and connections do not survive a fork."""
    _backends.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
