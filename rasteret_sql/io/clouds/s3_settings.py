"""Reads settings of S3 stores: their names as users write them, and those that hold for a bucket."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from obstore.exceptions import BaseError
from obstore.store import HTTPStore

from rasteret_sql.errors import InvalidArgumentError, did_you_mean

# Whoever sets one of these wants requests signed; without them they are anonymous, as open data needs it.
SIGNING_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_OF_VARIABLES = {
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "access_key_id": ("AWS_ACCESS_KEY_ID",),
    "secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
    "session_token": ("AWS_SESSION_TOKEN",),
}
_KNOWN = (
    "access_key_id",
    "secret_access_key",
    "session_token",
    "region",
    "endpoint",
    "skip_signature",
    "request_payer",
    "virtual_hosted_style_request",
    "imdsv1_fallback",
    "metadata_endpoint",
    "unsigned_payload",
    "container_credentials_relative_uri",
    "container_credentials_full_uri",
    "container_authorization_token_file",
    "role_arn",
    "role_session_name",
    "web_identity_token_file",
    "sts_endpoint",
    "checksum_algorithm",
    "conditional_put",
    "copy_if_not_exists",
    "disable_tagging",
    "disable_bulk_delete",
    "s3_express",
    "server_side_encryption",
    "sse_bucket_key_enabled",
    "sse_customer_key_base64",
    "sse_kms_key_id",
)
"""Settings of obstore's S3Config (0.8), but `bucket`, which the address says."""
_DURATIONS = (
    "timeout",
    "connect_timeout",
    "read_timeout",
    "pool_idle_timeout",
    "http2_keep_alive_interval",
    "http2_keep_alive_timeout",
)
_CLIENT_FLAGS = (
    "allow_http",
    "allow_invalid_certificates",
    "http1_only",
    "http2_only",
    "http2_keep_alive_while_idle",
    "randomize_addresses",
)
CLIENT_OPTIONS = (
    *_DURATIONS,
    *_CLIENT_FLAGS,
    "default_content_type",
    "default_headers",
    "pool_max_idle_per_host",
    "proxy_url",
    "proxy_ca_certificate",
    "proxy_excludes",
    "root_certificate",
    "user_agent",
)
"""Settings of obstore's ClientConfig: how requests are made, whatever the store."""
_OTHER_WORDS = {
    "default_region": "region",
    "region_name": "region",
    "endpoint_url": "endpoint",
    "endpoint_url_s3": "endpoint",
    "token": "session_token",
    "requester_pays": "request_payer",
    "anonymous": "skip_signature",
}
_FLAGS = (
    "skip_signature",
    "request_payer",
    "virtual_hosted_style_request",
    "imdsv1_fallback",
    "unsigned_payload",
    "disable_tagging",
    "disable_bulk_delete",
    "s3_express",
    "sse_bucket_key_enabled",
    *_CLIENT_FLAGS,
)
_WORDS = {"true": True, "1": True, "yes": True, "requester": True, "false": False, "0": False, "no": False}


def s3_settings(given: Mapping[str, Any] | None, where: str = "default_s3_config") -> dict[str, Any]:
    """Settings in obstore's words, from obstore's, rasteret's (`aws_access_key_id`) or boto3's spelling.

    Args:
        given: name → value, of the store and of its client; flags as true and false or as text, durations as a
            timedelta, seconds, or text such as `30s`, None as not given.
        where: which argument it is, for messages.

    Raises:
        InvalidArgumentError: a name is unknown, or a value is of the wrong kind; values are never shown.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InvalidArgumentError(
            f'{where} is a dict such as {{"region": "us-west-2"}}, not of type {type(given).__name__}'
        )
    settings: dict[str, Any] = {}
    for name, value in given.items():
        plain = str(name).lower().removeprefix("aws_")
        known = _OTHER_WORDS.get(plain, plain)
        if known not in _KNOWN and known not in CLIENT_OPTIONS:
            names = (*_KNOWN, *CLIENT_OPTIONS)
            why = "the address says the bucket" if known == "bucket" else did_you_mean(plain, names, len(names))
            raise InvalidArgumentError(f'{where} has no setting "{name}": {why}')
        if value is None:
            continue
        if known in _FLAGS:
            flag = value if isinstance(value, bool) else _WORDS.get(str(value).strip().lower())
            if flag is None:
                raise InvalidArgumentError(f'{where}: {name} is "true" or "false"')
            settings[known] = flag
        elif known in CLIENT_OPTIONS:
            settings[known] = _client_option(known, value, f"{where}: {name}")
        elif isinstance(value, str) and value:
            settings[known] = value
        else:
            raise InvalidArgumentError(f"{where}: {name} has to be a text, not of type {type(value).__name__}")
    if ("access_key_id" in settings) != ("secret_access_key" in settings):
        raise InvalidArgumentError(f"{where}: access_key_id and secret_access_key are given together or not at all")
    return settings


def client_options(settings: dict[str, Any]) -> dict[str, Any]:
    """Take the options of the client out of the settings of a store, as obstore has them."""
    options = {name: settings.pop(name) for name in CLIENT_OPTIONS if name in settings}
    if "default_headers" in options:
        options["default_headers"] = dict(options["default_headers"])
    return options


def _client_option(known: str, value: Any, where: str) -> Any:
    """An option that obstore takes, hashable; headers as pairs."""
    if known in _DURATIONS and isinstance(value, int | float) and not isinstance(value, bool):
        value = timedelta(seconds=value)
    elif known == "pool_max_idle_per_host" and isinstance(value, int):
        value = str(value)
    elif known == "default_headers" and isinstance(value, Mapping):
        value = tuple(sorted(value.items()))
    expected = {"default_headers": "headers by name", "root_certificate": "certificates in PEM"}.get(
        known, "a duration such as 30 or '30s'" if known in _DURATIONS else "a text"
    )
    try:
        HTTPStore.from_url("http://localhost", client_options=client_options({known: value}))  # opens no connection
    except (BaseError, TypeError, ValueError):
        pass
    else:
        return value
    # Raised outside of `except`: the store's own error shows the value.
    raise InvalidArgumentError(f"{where} has to be {expected}; what was given is of type {type(value).__name__}")


def environment_settings(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings that the usual AWS variables give."""
    settings: dict[str, Any] = {}
    for option, variables in _OF_VARIABLES.items():
        value = next((environment[name] for name in variables if environment.get(name)), None)
        if value is not None:
            settings[option] = value
    if environment.get("AWS_REQUEST_PAYER", "").lower() in ("requester", "true", "1"):
        settings["request_payer"] = True
    return settings
