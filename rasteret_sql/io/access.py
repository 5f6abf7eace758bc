"""`Access`: says how a backend reaches files: rewriting, settings by bucket, credentials. Immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rasteret_sql.io.credentials import Provider

Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Access:
    """Access beside the environment's: whatever is empty here changes nothing."""

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
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with every request to a web server that is no store of a cloud."""
    headers_from: str = "this backend"
    """Where they are from, in words."""

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
