"""What S3 enforces and moto does not: signatures, keys and their tokens, payers, regions. Objects come from moto.

Bodies of refusals are those of S3, which repeat key ids and tokens: a client that shows an answer shows these.
"""

from __future__ import annotations

import hmac
import re
import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from xml.sax.saxutils import escape

from tests.servers import sigv4
from tests.servers.gate import Answer, Gate, Onward, Request
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY
from tests.servers.secrets import secret

_HOST = re.compile(r"(?:(?P<bucket>.+)\.)?s3(?:[.-](?:dualstack\.)?(?P<region>[a-z0-9-]+))?\.amazonaws\.com")
GLOBAL = "aws-global"
"""Region of s3.amazonaws.com, which knows where each bucket is."""
_ANYONE = "AWS4-HMAC-SHA256 Credential=GATE/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
"""Moto gives private objects to whoever signs, in whichever way."""


@dataclass(slots=True)
class Bucket:
    """How a bucket may be read; to be changed while the gate serves."""

    region: str = "us-east-1"
    public: bool = False
    requester_pays: bool = False
    readers: set[str] | None = None
    """Access key ids that may read it; None: all that are known."""


@dataclass(slots=True)
class Key:
    """An access key."""

    secret: str
    token: str | None = None
    expires: datetime | None = None
    uses: int | None = None
    """After so many it has expired."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request, and what was answered."""

    method: str
    bucket: str
    key: str
    access_key: str | None
    """None where the request was not signed."""
    region: str | None
    """For which the request was signed."""
    endpoint: str | None
    """Region of the host that was asked, None where the host tells none."""
    payer: str
    range: str
    status: int
    code: str


@dataclass(slots=True)
class _Refusal:
    status: int
    code: str
    message: str
    more: dict[str, str] = field(default_factory=dict)


class S3Gate(Gate):
    """S3, as far as reading goes.

    Attributes:
        buckets: by name; others do not exist.
        keys: by access key id.
        log: what came, in order.
        tells_region: whether answers name the bucket's region in a header, as S3's do.
    """

    def __init__(self, behind: str) -> None:
        super().__init__(behind)
        self.tells_region = True
        self.buckets: dict[str, Bucket] = {}
        self.keys: dict[str, Key] = {ACCESS_KEY: Key(SECRET_KEY)}
        self.log: list[Seen] = []
        self._lock = threading.Lock()

    def issue(self, lifetime: timedelta = timedelta(hours=1), uses: int | None = None) -> tuple[str, str, str]:
        """Make a temporary key, as STS does: its id, its secret and its token."""
        number = uuid.uuid4().hex
        made = f"ASIA{number[:16].upper()}", secret(f"secret-{number}"), secret(f"token-{number}//+=")
        self.keys[made[0]] = Key(made[1], made[2], datetime.now(UTC) + lifetime, uses)
        return made

    def count(self, status: int, code: str = "") -> int:
        """Answers so far with that status and error code."""
        return sum(seen.status == status and seen.code == code for seen in self.log)

    def reset(self) -> None:
        """Forget what came."""
        with self._lock:
            self.log.clear()

    def decide(self, request: Request) -> Answer | Onward:
        """Refuse as S3 does, or give the object."""
        match = _HOST.fullmatch(request.host)
        endpoint = (match["region"] or GLOBAL) if match else None
        raw = request.raw_path if not match or not match["bucket"] else f"/{match['bucket']}{request.raw_path}"
        bucket, _, key = raw.lstrip("/").partition("/")
        signed = sigv4.parse(request)
        payer = request.headers.get("x-amz-request-payer") or request.query.get("x-amz-request-payer", "")
        known = self.buckets.get(bucket)
        refusal = (
            _Refusal(404, "NoSuchBucket", "The specified bucket does not exist", {"BucketName": bucket})
            if known is None
            else (signed and self._unsound(request, signed))
            or _elsewhere(bucket, known, endpoint, signed)
            or _unwelcome(known, signed, payer)
        )
        told = {"x-amz-bucket-region": known.region} if known is not None and self.tells_region else {}
        status, code = (refusal.status, refusal.code) if refusal else (206 if request.range else 200, "")
        with self._lock:
            signer = (signed.access_key, signed.region) if signed else (None, None)
            self.log.append(Seen(request.method, bucket, key, *signer, endpoint, payer, request.range, status, code))
        if refusal is not None:
            return Answer(refusal.status, "" if request.method == "HEAD" else _document(refusal), told)
        if not key:
            return Answer(200, "", told)
        return Onward(raw, {**_without_signature(request), "Authorization": _ANYONE})

    def _unsound(self, request: Request, signed: sigv4.Signed) -> _Refusal | None:
        """What is wrong with a key or a signature."""
        key = self.keys.get(signed.access_key)
        named = {"AWSAccessKeyId": signed.access_key}
        now = datetime.now(UTC)
        if key is None or (key.token is not None and signed.token is None):
            message = "The AWS Access Key Id you provided does not exist in our records."
            return _Refusal(403, "InvalidAccessKeyId", message, named)
        if signed.token != key.token:
            message = "The provided token is malformed or otherwise invalid."
            return _Refusal(400, "InvalidToken", message, {"Token-0": signed.token or ""})
        with self._lock:
            is_spent = key.uses == 0
            if key.uses:
                key.uses -= 1
        if is_spent or (key.expires is not None and key.expires <= now):
            return _Refusal(400, "ExpiredToken", "The provided token has expired.", {"Token-0": signed.token or ""})
        right = sigv4.signature(signed, key.secret, request)
        if not hmac.compare_digest(right, signed.signature):
            message = (
                "The request signature we calculated does not match the signature you provided. "
                "Check your key and signing method."
            )
            return _Refusal(403, "SignatureDoesNotMatch", message, named | {"SignatureProvided": signed.signature})
        if signed.expires is not None and signed.expires <= now:
            return _Refusal(403, "AccessDenied", "Request has expired", {"Expires": signed.expires.isoformat()})
        return None


def _elsewhere(bucket: str, known: Bucket, endpoint: str | None, signed: sigv4.Signed | None) -> _Refusal | None:
    """What S3 says where the bucket, the host and the signature are not of one region."""
    right = known.region if endpoint in (None, GLOBAL) else endpoint
    if signed is not None and signed.region != right:
        message = f"The authorization header is malformed; the region '{signed.region}' is wrong; expecting '{right}'"
        return _Refusal(400, "AuthorizationHeaderMalformed", message, {"Region": str(right)})
    is_moved = endpoint == GLOBAL and signed is None and known.region != "us-east-1"
    if is_moved or endpoint not in (None, GLOBAL, known.region):
        message = (
            "The bucket you are attempting to access must be addressed using the specified endpoint. "
            "Please send all future requests to this endpoint."
        )
        where = {"Endpoint": f"{bucket}.s3-{known.region}.amazonaws.com", "Bucket": bucket}
        return _Refusal(301, "PermanentRedirect", message, where)
    return None


def _unwelcome(known: Bucket, signed: sigv4.Signed | None, payer: str) -> _Refusal | None:
    if signed is None:
        is_let_in = known.public and not known.requester_pays
    else:
        is_reader = known.readers is None or signed.access_key in known.readers
        is_let_in = is_reader and (payer == "requester" or not known.requester_pays)
    return None if is_let_in else _Refusal(403, "AccessDenied", "Access Denied")


def _document(refusal: _Refusal) -> str:
    parts = {"Code": refusal.code, "Message": refusal.message, **refusal.more, "RequestId": "TESTS", "HostId": "TESTS"}
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in parts.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'


def _without_signature(request: Request) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if not name.startswith("x-amz-")}
