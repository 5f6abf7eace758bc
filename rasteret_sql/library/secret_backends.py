"""Makes backends of DuckDB's secrets: parses them, and reads the files in their scope with them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.clouds.cloud import HostSecret
from rasteret_sql.io.clouds.registry import OF_SECRET
from rasteret_sql.io.routed_backend import RoutedBackend, backend_of, default_backend
from rasteret_sql.io.scoped_backend import ScopedBackend

_NAMES = (
    *("access_token", "account_name", "bearer_token", "certificate_path", "chain", "client_certificate_path"),
    *("client_id", "client_secret", "connection_string", "endpoint", "expiration", "extra_http_headers", "http_proxy"),
    *("http_proxy_password", "http_proxy_username", "key_id", "kms_key_id", "profile", "proxy_password"),
    *("proxy_user_name", "refresh", "refresh_info", "region", "requester_pays", "secret", "session_token"),
    *("tenant_id", "token", "url_compatibility_mode", "url_style", "use_ssl", "verify_ssl"),
)
"""What secrets hold. Their text escapes nothing, so a value ends only where the next of these names begins."""
_NEXT = re.compile(f";({'|'.join(_NAMES)})=")


def parse_secret(name: str, kind: str, scope: Sequence[str], text: str) -> HostSecret:
    """A secret out of a row of duckdb_secrets(redact := false).

    Args:
        name: Its name.
        kind: Its type.
        scope: Prefixes of addresses.
        text: `name=...;type=...;provider=...;serializable=...;scope=...;`, then the values, by name in order.
    """
    rest = text.partition(";scope=")[2]
    values: dict[str, str] = {}
    last, begin = "", 0
    for found in _NEXT.finditer(rest):
        if found[1] <= last:  # out of order: of a value
            continue
        if last:
            values[last] = rest[begin : found.start()]
        last, begin = found[1], found.end()
    if last:
        values[last] = rest[begin:]
    return HostSecret(name, kind.lower(), tuple(scope), {name: value for name, value in values.items() if value})


def backend_of_secret(secret: HostSecret) -> ScopedBackend:
    """A backend that reads addresses in a secret's scope with it, and others as without any.

    Raises:
        InvalidArgumentError: It is of a type that cannot be used, or holds what cannot; values are never shown.
    """
    cloud = OF_SECRET.get(secret.type)
    if cloud is None:
        raise InvalidArgumentError(
            f'the secret "{secret.name}" is of type {secret.type}; those that can be used are {", ".join(OF_SECRET)}'
        )
    held = cloud.of_secret(secret)
    if not held.environment:
        return ScopedBackend(backend_of(held.access), secret.scope)
    environment = {**os.environ, **held.environment}
    inside = RoutedBackend(environment=environment, access=held.access, plain=default_backend())
    return ScopedBackend(inside, secret.scope)
