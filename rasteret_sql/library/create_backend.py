"""`create_backend`: makes a backend of a user's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.dataset_backend import access_of
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.clouds.planetary_computer import SasTokenEndpoint
from rasteret_sql.io.credentials import Provider
from rasteret_sql.io.routed_backend import RoutedBackend, backend_of
from rasteret_sql.stac.sign_in_headers import checked_headers


def create_backend(
    credential_provider: Any = None,
    cloud_config: CloudConfig | Mapping[str, Any] | None = None,
    region: str | None = None,
    default_s3_config: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | str | None = None,
) -> RoutedBackend:
    """Make a backend for `backend=` of builds and reads: any file, http(s), s3, gs, az or abfs address.

    Without arguments it does what is done without a backend: S3, Google and Azure are read anonymously, or signed
    where the environment has credentials. Equal arguments give the same backend, with its connections.

    Args:
        credential_provider: an obstore credential provider (obstore.auth.planetary_computer, .earthdata, .boto3, ...),
            a callable of your own, plain or async, that gives what those do, or `SasTokenEndpoint(...)` (its address as
            text will do too). One of obstore's serves its own cloud only; the others' buckets stay as they are.
        cloud_config: rewriting of addresses, and region and payer of the S3 buckets that these lead to: {'provider':
            'aws', 'requester_pays': True, 'region': ..., 'url_patterns': {...}}. In Python a `CloudConfig`, too. Its
            buckets' region and payer win over the arguments below; without such buckets they hold for every bucket that
            nothing else is said of.
        region: region of all S3 buckets, such as us-west-2, unless default_s3_config or cloud_config names another.
        default_s3_config: settings of all S3 buckets in the words of obstore's S3Store and its client, also with aws_
            before them: {'access_key_id': ..., 'secret_access_key': ..., 'endpoint': ...}; keys sign the requests.
        headers: sent to STAC APIs, and to web servers that are not a cloud's bucket, to sign in: {'Authorization':
            'Bearer ...'}; never kept, never shown.

    Raises:
        InvalidArgumentError: a setting is unknown, or a value cannot be used.
    """
    if region is not None and (not isinstance(region, str) or not region):
        raise InvalidArgumentError(f"region is a name such as us-west-2, not {region!r}")
    if isinstance(credential_provider, str):
        credential_provider = SasTokenEndpoint(credential_provider)
    credentials = None if credential_provider is None else Provider(credential_provider)
    config = CloudConfig.from_value(cloud_config)
    given = checked_headers(headers) or {}
    return backend_of(
        access_of(config, credentials=credentials, default_s3_config=default_s3_config, region=region, headers=given)
    )
