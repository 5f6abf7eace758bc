"""Backends that SQL knows by name: from the arguments of rasteret_create_backend to one that reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.errors import InvalidArgumentError, did_you_mean
from rasteret_sql.io.access import access_of
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.create import backend_of
from rasteret_sql.io.credentials import EARTHDATA_HOST, AwsChain, Provider, earthdata, has_boto3, profile_region
from rasteret_sql.io.plain import plain_text
from rasteret_sql.io.sas_tokens import SasTokenEndpoint

HIDDEN = "***"
"""What is shown of a secret."""
PROVIDERS = ("planetary-computer", "earthdata", "aws", "google", "azure")
_KEYS = ("access_key_id", "secret_access_key", "session_token")
_ONLY_FOR = {"profile": "aws", "credentials_url": "earthdata"}
_OF_OBSTORE = {
    "google": ("obstore.auth.google", "GoogleCredentialProvider", "gcp"),
    "azure": ("obstore.auth.azure", "AzureCredentialProvider", "azure"),
}
"""Provider → module, class, and the extra that has what it needs."""


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
        arguments: `credential_provider`, `credentials_url`, `profile`, `region`, `default_s3_config`, `cloud_config`.

    Raises:
        InvalidArgumentError: an argument cannot be used, or the credentials are not there; values are never shown.
    """
    word = _text(arguments, "credential_provider")
    for name, owner in _ONLY_FOR.items():
        if _text(arguments, name) is not None and word != owner:
            raise InvalidArgumentError(f"{name} belongs to credential_provider := '{owner}'; give both, or neither")
    region = _text(arguments, "region")
    config = CloudConfig.from_value(_object(arguments, "cloud_config"))
    settings = _object(arguments, "default_s3_config")
    credentials = _provider(word, arguments) if word is not None else None
    if word == "aws" and region is None and "region" not in (settings or {}):
        region = profile_region(_text(arguments, "profile"))
    access = access_of(config, credentials=credentials, default_s3_config=settings, region=region)
    shown = {name: _text(arguments, name) for name in ("credentials_url", "profile")} | {"region": region}
    return NamedBackend(
        backend_of(access),
        safe_address(word) if word is not None else "keys" if "access_key_id" in access.s3 else "environment",
        {name: safe_address(value) for name, value in shown.items() if value is not None}
        | {name: _shown(name, value) for name, value in access.s3.items()}
        | ({} if config is None else {"cloud_config": plain_text(json.dumps(config.to_dict()))}),
    )


def _provider(word: str, arguments: Mapping[str, Any]) -> Provider:
    if word.lower().startswith(("https://", "http://")):
        return Provider(SasTokenEndpoint(word))
    if word == "planetary-computer":
        return Provider(SasTokenEndpoint())
    if word == "earthdata":
        return _earthdata(_text(arguments, "credentials_url"))
    if word == "aws":
        if not has_boto3():
            raise InvalidArgumentError("credential_provider := 'aws' needs boto3: pip install 'rasteret-sql[aws]'")
        return Provider(AwsChain(_text(arguments, "profile")), "aws")
    if word in _OF_OBSTORE:
        module, name, extra = _OF_OBSTORE[word]
        try:
            made = getattr(import_module(module), name)()
        except ImportError:
            raise InvalidArgumentError(
                f"credential_provider := '{word}' needs more packages: pip install 'rasteret-sql[{extra}]'"
            ) from None
        except Exception as error:  # noqa: BLE001 - a foreign package; its text may hold what is secret
            raise InvalidArgumentError(
                f"credential_provider := '{word}' found no credentials ({type(error).__name__}); sign in with the "
                "cloud's own command line tool, or set its environment variables"
            ) from None
        return Provider(made)
    raise InvalidArgumentError(
        f"credential_provider := '{safe_address(word)}' is neither the address of a SAS token endpoint nor the name of "
        f"a provider; {did_you_mean(word, PROVIDERS)}"
    )


def _earthdata(credentials_url: str | None) -> Provider:
    if credentials_url is None:
        raise InvalidArgumentError(
            "credential_provider := 'earthdata' needs credentials_url := the address of the archive that gives S3 "
            "credentials, such as 'https://data.lpdaac.earthdatacloud.nasa.gov/s3credentials'"
        )
    found = earthdata(credentials_url)
    if found is None:
        raise InvalidArgumentError(
            f'no Earthdata login was found: add "machine {EARTHDATA_HOST} login ... password ..." to ~/.netrc, or set '
            "EARTHDATA_TOKEN, or EARTHDATA_USERNAME and EARTHDATA_PASSWORD"
        )
    return found


def _shown(name: str, value: object) -> str:
    if name in _KEYS:
        return HIDDEN
    return safe_address(value) if isinstance(value, str) else json.dumps(value)


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
