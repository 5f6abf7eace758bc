"""Makes backends that SQL knows by name, of the arguments of rasteret_create_backend."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.dataset_backend import access_of
from rasteret_sql.errors import InvalidArgumentError, did_you_mean
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.clouds.credential_source import CredentialSource
from rasteret_sql.io.clouds.registry import PROVIDERS
from rasteret_sql.io.redact import plain_text
from rasteret_sql.io.routed_backend import backend_of
from rasteret_sql.stac.sign_in_headers import checked_headers

HIDDEN = "***"
"""What is shown of a secret."""
SECRET_KEYS = ("access_key_id", "secret_access_key", "session_token", "sse_customer_key_base64", "default_headers")


@dataclass(frozen=True, slots=True)
class NamedBackend:
    """A backend that SQL knows by name."""

    backend: StorageBackend
    kind: str
    """What gives its credentials."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """As may be shown: secrets are `***`."""


def make_backend(arguments: Mapping[str, Any]) -> NamedBackend:
    """A backend of the named arguments of rasteret_create_backend, without those that are NULL.

    Args:
        arguments: `credential_provider`, `credentials_url`, `profile`, `region`, `default_s3_config`, `cloud_config`,
            `headers`.

    Raises:
        InvalidArgumentError: an argument cannot be used, or the credentials are not there; values are never shown.
    """
    word = _text(arguments, "credential_provider")
    own = {name: one.word for one in PROVIDERS for name in one.arguments}
    given = {name: value for name in own if (value := _text(arguments, name)) is not None}
    for name in given:
        if word != own[name]:
            raise InvalidArgumentError(f"{name} belongs to credential_provider := '{own[name]}'; give both, or neither")
    region = _text(arguments, "region")
    config = CloudConfig.from_value(_object(arguments, "cloud_config"))
    settings = _object(arguments, "default_s3_config")
    headers = checked_headers(arguments.get("headers")) or {}
    source = _source(word) if word is not None else None
    credentials = source.credentials(word, given) if word is not None and source is not None else None
    if source is not None and region is None and "region" not in (settings or {}):
        region = source.region(given)
    access = access_of(config, credentials=credentials, default_s3_config=settings, region=region, headers=headers)
    shown = given | ({} if region is None else {"region": region})
    return NamedBackend(
        backend_of(access),
        safe_address(word)
        if word is not None
        else "keys"
        if "access_key_id" in access.s3
        else "headers"
        if headers
        else "environment",
        {name: safe_address(value) for name, value in shown.items()}
        | {name: _shown(name, value) for name, value in access.s3.items()}
        | ({"headers": HIDDEN} if headers else {})
        | ({} if config is None else {"cloud_config": plain_text(json.dumps(config.to_dict()))}),
    )


def _source(word: str) -> CredentialSource:
    """The provider whose credentials a word asks for."""
    source = next((one for one in PROVIDERS if one.answers(word)), None)
    if source is None:
        raise InvalidArgumentError(
            f"credential_provider := '{safe_address(word)}' is neither the address of a SAS token endpoint nor the "
            f"name of a provider; {did_you_mean(word, [one.word for one in PROVIDERS if one.word])}"
        )
    return source


def _shown(name: str, value: object) -> str:
    if name in SECRET_KEYS:
        return HIDDEN
    return safe_address(value) if isinstance(value, str) else json.dumps(value, default=str)


def _text(arguments: Mapping[str, Any], name: str) -> str | None:
    value = arguments.get(name)
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise InvalidArgumentError(f"{name} is a text that is not empty, not of type {type(value).__name__}")
    return value


def _object(arguments: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """A STRUCT, MAP or JSON argument. Its text is not shown: it may hold keys."""
    value = arguments.get(name)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise InvalidArgumentError(f"{name} is no JSON; expected a STRUCT, MAP or JSON object") from None
    if value is not None and not isinstance(value, dict):
        raise InvalidArgumentError(f"{name} is a STRUCT, MAP or JSON object, not of type {type(value).__name__}")
    return value
