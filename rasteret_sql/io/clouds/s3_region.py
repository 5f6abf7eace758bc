"""Finds the region of an S3 bucket, as S3 itself says it when it is asked in the wrong one."""

from __future__ import annotations

import re
import urllib.request
from urllib.error import HTTPError, URLError

_REGION = re.compile(r"<Region>\s*([a-z0-9-]{2,40})\s*</Region>")
_HEADER = "x-amz-bucket-region"
_TIMEOUT_SECONDS = 3.0
AWS_ENDPOINT = "https://s3.amazonaws.com"


def said_region(text: str) -> str | None:
    """The region that S3's answer to a request signed for another one names."""
    match = _REGION.search(text)
    return match[1] if match else None


class _Unfollowed(urllib.request.HTTPRedirectHandler):
    """S3 tells the region along with its redirect."""

    def redirect_request(self, *_args: object) -> None:
        return None


def bucket_region(bucket: str, endpoint: str | None = None) -> str | None:
    """Ask S3 for the region of a bucket, which it tells everybody; None where it does not say.

    Args:
        bucket: Its name.
        endpoint: Of an S3 that is not AWS's.
    """
    address = f"{(endpoint or AWS_ENDPOINT).rstrip('/')}/{bucket}"
    request = urllib.request.Request(address, method="HEAD", headers={"User-Agent": "rasteret-sql"})  # noqa: S310
    opener = urllib.request.build_opener(_Unfollowed)
    try:
        with opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
            return _valid(answer.headers.get(_HEADER))
    except HTTPError as error:
        with error:
            return _valid(error.headers.get(_HEADER))
    except (URLError, OSError, ValueError):
        return None  # the caller reports the request that failed first


def _valid(region: str | None) -> str | None:
    return region if region and re.fullmatch(r"[a-z0-9-]{2,40}", region) else None
