"""How a backend reaches files: rewriting, settings by bucket, credentials. Immutable, and equal where all is equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.io.credentials import Provider
from rasteret_sql.io.s3_settings import s3_settings

Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Access:
    """What is not the environment's: whatever is empty here changes nothing."""

    url_patterns: Mapping[str, str] = field(default_factory=dict)
    """Prefix of an address → what replaces it before the address is routed."""
    s3_fallback: Settings = field(default_factory=dict, repr=False)
    """For all buckets, under `s3`."""
    s3: Settings = field(default_factory=dict, repr=False)
    """For all buckets that `buckets` says nothing else of."""
    buckets: Mapping[str, Settings] = field(default_factory=dict, repr=False)
    """Of one S3 bucket each, over all others."""
    requester_pays: tuple[str, ...] = ()
    """Clouds (aws, gcp) where the reader pays for every bucket."""
    signed: tuple[str, ...] = ()
    """Clouds (gcp, azure) whose requests are signed with what the process has, whether a variable says so or not."""
    credentials: Provider | None = field(default=None, repr=False)

    def s3_of(self, bucket: str) -> dict[str, Any]:
        """Settings of a bucket, over those of environment and address."""
        return {**self.s3, **self.buckets.get(bucket, {})}

    def has_credentials(self, cloud: str) -> bool:
        """True where there are credentials for a cloud that are not the environment's."""
        explicit = cloud == "aws" and "access_key_id" in self.s3
        return explicit or (self.credentials is not None and self.credentials.serves(cloud))

    def changes(self, cloud: str) -> bool:
        """True where files of a cloud (aws, gcp, azure) are reached in another way than by default."""
        if self.credentials is not None and self.credentials.serves(cloud):
            return True
        if cloud == "aws":
            return bool(self.s3_fallback or self.s3 or self.buckets) or cloud in self.requester_pays
        return cloud in self.requester_pays or cloud in self.signed


def access_of(
    config: CloudConfig | None = None,
    *,
    credentials: Provider | None = None,
    default_s3_config: Settings | None = None,
    region: str | None = None,
) -> Access:
    """What the arguments of `create_backend` and the config of a dataset mean.

    A bucket that is the target of one of the config's patterns has the config's region and payer, whatever else is
    said. Where there is no such bucket, the config holds for all, below `default_s3_config`, and `region` is below
    its region.

    Raises:
        InvalidArgumentError: a setting is unknown or of the wrong kind.
    """
    settings = {**({"region": region} if region else {}), **s3_settings(default_s3_config)}
    if config is None:
        return Access(s3=settings, credentials=credentials)
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
    )
