"""Secrets of DuckDB as backends: what one holds, and how the files in its scope are read with it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.access import Access
from rasteret_sql.io.create import backend_of
from rasteret_sql.io.credentials import Provider
from rasteret_sql.io.s3_settings import s3_settings
from rasteret_sql.io.stores import RoutedBackend, default_backend
from rasteret_sql.kernels.scoped import HeaderBackend, Routed, ScopedBackend

TYPES = ("s3", "aws", "r2", "gcs", "azure", "http")
"""Types of secrets that can be used."""
_NAMES = (
    *("access_token", "account_name", "bearer_token", "certificate_path", "chain", "client_certificate_path"),
    *("client_id", "client_secret", "connection_string", "endpoint", "expiration", "extra_http_headers", "http_proxy"),
    *("http_proxy_password", "http_proxy_username", "key_id", "kms_key_id", "profile", "proxy_password"),
    *("proxy_user_name", "refresh", "refresh_info", "region", "requester_pays", "secret", "session_token"),
    *("tenant_id", "token", "url_compatibility_mode", "url_style", "use_ssl", "verify_ssl"),
)
"""What secrets hold. Their text escapes nothing, so a value ends only where the next of these names begins."""
_NEXT = re.compile(f";({'|'.join(_NAMES)})=")
_HEADER = re.compile(r"\s*(?:'((?:[^'\\]|\\.)*)'|([^=]*?))\s*=\s*(?:'((?:[^'\\]|\\.)*)'|([^,]*))\s*(?:,|$)")
_GOOGLE = "storage.googleapis.com"
_S3_OF_GOOGLE = {"gs://": "s3://", "gcs://": "s3://", f"https://{_GOOGLE}/": "s3://"}


@dataclass(frozen=True, slots=True)
class HostSecret:
    """A secret of the host."""

    name: str
    type: str
    scope: tuple[str, ...]
    """Prefixes of the addresses that it is for."""
    values: Mapping[str, str] = field(repr=False)


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
    inside: Routed
    if secret.type in ("s3", "aws", "r2"):
        inside = backend_of(_s3(secret))
    elif secret.type == "gcs":
        inside = backend_of(_google(secret))
    elif secret.type == "azure":
        inside = _azure(secret)
    elif secret.type == "http":
        inside = HeaderBackend(_headers(secret), f'the secret "{secret.name}"')
    else:
        raise InvalidArgumentError(
            f'the secret "{secret.name}" is of type {secret.type}; those that can be used are {", ".join(TYPES)}'
        )
    return ScopedBackend(inside, secret.scope)


class SecretCredentials:
    """What a secret holds, as obstore asks for it."""

    def __init__(self, name: str, given: Mapping[str, str], account: str | None = None) -> None:
        self.__name__ = f'the secret "{name}"'
        self._given = dict(given)
        self.config = {"account_name": account} if account else {}
        """For no other account of Azure."""

    def __call__(self) -> dict[str, Any]:
        return {**self._given, "expires_at": None}


def _s3(secret: HostSecret) -> Access:
    values = secret.values
    endpoint = values.get("endpoint", "")
    own = endpoint and not endpoint.endswith("amazonaws.com")
    settings = {
        "region": values.get("region") or ("auto" if secret.type == "r2" else None),
        "endpoint": _with_scheme(endpoint, values) if own else None,
        "request_payer": True if values.get("requester_pays") == "true" else None,
    }
    patterns = {"r2://": "s3://"} if secret.type == "r2" else {}
    return Access(url_patterns=patterns, s3=s3_settings(settings, "secret"), credentials=_keys(secret))


def _keys(secret: HostSecret) -> Provider | None:
    values = secret.values
    if "key_id" not in values or "secret" not in values:
        return None
    given = {"access_key_id": values["key_id"], "secret_access_key": values["secret"]}
    if "session_token" in values:
        given["token"] = values["session_token"]
    return Provider(SecretCredentials(secret.name, given), "aws")


def _google(secret: HostSecret) -> Access:
    """A token as it is; keys are for Google's interface in the manner of S3."""
    if "bearer_token" in secret.values:
        token = {"token": secret.values["bearer_token"]}
        return Access(credentials=Provider(SecretCredentials(secret.name, token), "gcp"))
    keys = _keys(secret)
    if keys is None:
        return Access()
    endpoint = _with_scheme(secret.values.get("endpoint", _GOOGLE), secret.values)
    settings = s3_settings({"endpoint": endpoint, "region": secret.values.get("region", "auto")}, "secret")
    return Access(url_patterns=_S3_OF_GOOGLE, s3=settings, credentials=keys)


def _azure(secret: HostSecret) -> RoutedBackend:
    values = dict(secret.values)
    said = dict(part.split("=", 1) for part in values.get("connection_string", "").split(";") if "=" in part)
    account = values.get("account_name") or said.get("AccountName")
    environment = dict(os.environ)
    if account:
        environment["AZURE_STORAGE_ACCOUNT_NAME"] = account
    if endpoint := said.get("BlobEndpoint"):
        environment["AZURE_STORAGE_ENDPOINT"] = endpoint
    given: dict[str, str] | None = None
    if "AccountKey" in said:
        given = {"access_key": said["AccountKey"]}
    elif "SharedAccessSignature" in said:
        given = {"sas_token": said["SharedAccessSignature"].removeprefix("?")}
    elif "access_token" in values:
        given = {"token": values["access_token"]}
    if given is not None:
        provider: Any = SecretCredentials(secret.name, given, account)
    elif "client_secret" in values or "chain" in values:
        provider = _identity(secret)
    else:
        return RoutedBackend(environment=environment, plain=default_backend())
    return RoutedBackend(
        environment=environment, access=Access(credentials=Provider(provider, "azure")), plain=default_backend()
    )


def _identity(secret: HostSecret) -> Any:
    """A service principal, or whoever is signed in."""
    try:
        from azure.identity import ClientSecretCredential, DefaultAzureCredential  # noqa: PLC0415
        from obstore.auth.azure import AzureCredentialProvider  # noqa: PLC0415
    except ImportError:
        raise InvalidArgumentError(
            f"the secret \"{secret.name}\" needs more packages: pip install 'rasteret-sql[azure]'"
        ) from None
    values = secret.values
    if "client_secret" not in values:
        return AzureCredentialProvider(DefaultAzureCredential())
    lacking = [name for name in ("tenant_id", "client_id") if name not in values]
    if lacking:
        raise InvalidArgumentError(f'the secret "{secret.name}" lacks {" and ".join(lacking)}')
    return AzureCredentialProvider(
        ClientSecretCredential(values["tenant_id"], values["client_id"], values["client_secret"])
    )


def _headers(secret: HostSecret) -> dict[str, str]:
    headers: dict[str, str] = {}
    text = secret.values.get("extra_http_headers", "").strip()
    for found in _HEADER.finditer(text[1:-1] if text.startswith("{") else ""):
        name = found[1] if found[1] is not None else found[2]
        value = found[3] if found[3] is not None else found[4].strip()
        if name:
            headers[name] = value
    if "bearer_token" in secret.values:
        headers["Authorization"] = f"Bearer {secret.values['bearer_token']}"
    return headers


def _with_scheme(endpoint: str, values: Mapping[str, str]) -> str:
    if "://" in endpoint:
        return endpoint
    return f"{'http' if values.get('use_ssl') == 'false' else 'https'}://{endpoint}"
