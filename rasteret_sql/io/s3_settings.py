"""Settings of S3 stores: their names as users write them, and which of them hold for a bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
)
"""Settings that matter for reading, in obstore's words."""
_OTHER_WORDS = {
    "default_region": "region",
    "region_name": "region",
    "endpoint_url": "endpoint",
    "token": "session_token",
    "requester_pays": "request_payer",
    "anonymous": "skip_signature",
}
_FLAGS = ("skip_signature", "request_payer", "virtual_hosted_style_request", "imdsv1_fallback", "unsigned_payload")
_WORDS = {"true": True, "1": True, "yes": True, "requester": True, "false": False, "0": False, "no": False}


def s3_settings(given: Mapping[str, Any] | None, where: str = "default_s3_config") -> dict[str, Any]:
    """Settings in obstore's words, from obstore's, rasteret's (`aws_access_key_id`) or boto3's spelling.

    Args:
        given: name → value; flags as true and false or as text, None as not given.
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
        if known not in _KNOWN:
            raise InvalidArgumentError(f'{where} has no setting "{name}": {did_you_mean(plain, _KNOWN, len(_KNOWN))}')
        if value is None:
            continue
        if known in _FLAGS:
            flag = value if isinstance(value, bool) else _WORDS.get(str(value).strip().lower())
            if flag is None:
                raise InvalidArgumentError(f'{where}: {name} is "true" or "false"')
            settings[known] = flag
        elif isinstance(value, str) and value:
            settings[known] = value
        else:
            raise InvalidArgumentError(f"{where}: {name} has to be a text, not of type {type(value).__name__}")
    if ("access_key_id" in settings) != ("secret_access_key" in settings):
        raise InvalidArgumentError(f"{where}: access_key_id and secret_access_key are given together or not at all")
    return settings


def environment_settings(environment: Mapping[str, str]) -> dict[str, Any]:
    """What the usual AWS variables say."""
    settings: dict[str, Any] = {}
    for option, variables in _OF_VARIABLES.items():
        value = next((environment[name] for name in variables if environment.get(name)), None)
        if value is not None:
            settings[option] = value
    if environment.get("AWS_REQUEST_PAYER", "").lower() in ("requester", "true", "1"):
        settings["request_payer"] = True
    return settings
