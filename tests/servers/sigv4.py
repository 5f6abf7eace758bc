"""AWS Signature Version 4, from the side of the server: the signature that a request ought to have.

After "Authenticating Requests (AWS Signature Version 4)" of the Amazon S3 API reference. The path is taken as sent, for
S3 does not normalise it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode, urlsplit

from tests.servers.gate import Request

_HEADER = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]*)/(?P<service>[^/]+)/aws4_request,\s*"
    r"SignedHeaders=(?P<signed>[^,]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Signed:
    """What a request says of its signature."""

    access_key: str
    region: str
    day: str
    service: str
    when: str
    """YYYYMMDDTHHMMSSZ."""
    names: tuple[str, ...]
    """Headers that are signed."""
    signature: str
    payload: str
    token: str | None
    expires: datetime | None = None
    """Of a pre-signed address."""


def parse(request: Request) -> Signed | None:
    """The signature of a request, in its header or in its query; None where it has none."""
    headers, query = request.headers, request.query
    match = _HEADER.fullmatch(headers.get("authorization", ""))
    if match:
        names = tuple(match["signed"].split(";"))
        payload = headers.get("x-amz-content-sha256", "")
        token, when = headers.get("x-amz-security-token"), headers.get("x-amz-date", "")
        scope = match["key"], match["region"], match["day"], match["service"]
        return Signed(*scope, when, names, match["signature"], payload, token)
    if query.get("X-Amz-Algorithm") != _ALGORITHM:
        return None
    key, day, region, service, _ = query["X-Amz-Credential"].split("/")
    when = query["X-Amz-Date"]
    start = datetime.strptime(when, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return Signed(
        key,
        region,
        day,
        service,
        when,
        tuple(query["X-Amz-SignedHeaders"].split(";")),
        query["X-Amz-Signature"],
        "UNSIGNED-PAYLOAD",
        query.get("X-Amz-Security-Token"),
        start + timedelta(seconds=int(query["X-Amz-Expires"])),
    )


def signature(signed: Signed, secret_key: str, request: Request) -> str:
    """The signature that a request has if it was made with `secret_key`, in hexadecimal."""
    pairs = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in request.query.items()
        if name != "X-Amz-Signature"
    )
    canonical = "\n".join(
        [
            request.method,
            request.raw_path or "/",
            "&".join(f"{name}={value}" for name, value in pairs),
            *(f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in signed.names),
            "",
            ";".join(signed.names),
            signed.payload,
        ]
    )
    scope = f"{signed.day}/{signed.region}/{signed.service}/aws4_request"
    text = "\n".join([_ALGORITHM, signed.when, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret_key}".encode()
    for part in (signed.day, signed.region, signed.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def presigned(
    address: str, key: tuple[str, str], region: str, lifetime: timedelta, made: datetime | None = None
) -> str:
    """The address with a signature in its query, as `aws s3 presign` gives it.

    Args:
        address: Of an object, percent-encoded, without a query.
        key: Its id, and its secret.
        region: Of the bucket.
        lifetime: From `made` on.
        made: By default now.
    """
    when = f"{made or datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    query = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{key[0]}/{when[:8]}/{region}/s3/aws4_request",
        "X-Amz-Date": when,
        "X-Amz-Expires": str(int(lifetime.total_seconds())),
        "X-Amz-SignedHeaders": "host",
    }
    parts = urlsplit(address)
    target = f"{parts.path}?{urlencode(query, quote_via=quote, safe='-_.~')}"
    request = Request("GET", target, {"host": parts.netloc})
    signed = parse(Request("GET", f"{target}&X-Amz-Signature=0", request.headers))
    assert signed is not None
    return f"{parts.scheme}://{parts.netloc}{target}&X-Amz-Signature={signature(signed, key[1], request)}"
