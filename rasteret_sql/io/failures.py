"""What a failed request was, from the error of a store or backend, and the error that says so.

Text of stores is never shown: it may hold signed URLs. Only the status, the kind of failure, and code and message of an
S3, Azure or Google error document are taken from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from obstore.exceptions import (
    BaseError,
    NotSupportedError,
    PermissionDeniedError,
    UnauthenticatedError,
)

from rasteret_sql.errors import (
    AccessDeniedError,
    FileChangedError,
    MissingObjectError,
    StorageError,
    StorageTimeoutError,
)
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.signed import remedy as signed_remedy
from rasteret_sql.types import ByteRange

_STATUS = re.compile(r"non-2xx status code: (\d{3})|status: (\d{3})\b")
_CODE = re.compile(r"<Code>\s*([A-Za-z0-9_.-]{1,80})\s*</Code>")
_MESSAGE = re.compile(r"<Message>([^<\\\n]{1,200})")
_DENIALS = (
    "ExpiredToken",
    "InvalidToken",
    "InvalidAccessKeyId",
    "TokenRefreshRequired",
    "UserProjectMissing",
    "PublicAccessNotPermitted",
)
"""Codes of refusals that come with a status other than 401 or 403."""
NO_CREDENTIALS = "rasteret-credentials"
"""Marks what our credential providers say, in the text of a store's error."""
_OURS = re.compile(NO_CREDENTIALS + r"\[([^\]]{1,200})\]")
_ROLE_HOSTS = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")
"""Where machines of a cloud ask for their role; elsewhere nobody answers."""


class Cause(Enum):
    """Why a request failed; the value tells whether the same request may succeed later."""

    DENIED = ("denied", False)
    MISSING = ("missing", False)
    BEYOND = ("beyond", False)
    REDIRECT = ("redirect", False)
    NO_RANGES = ("no ranges", False)
    PATH = ("path", False)
    FORK = ("fork", False)
    OTHER = ("other", False)
    NO_HOST = ("no host", True)
    CHANGED = ("changed", True)
    BUSY = ("busy", True)
    SERVER = ("server", True)
    CONNECT = ("connect", True)
    BROKEN = ("broken", True)
    TIMEOUT = ("timeout", True)
    SHORT = ("short", True)

    @property
    def retryable(self) -> bool:
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed request."""

    cause: Cause
    said: str = ""
    """What the server or system answered, in its words but without secrets."""
    retry_after: float | None = None
    """Seconds that a busy server asks to wait."""
    credential: str = ""
    """Which credential was refused, and from where it was; never its value."""

    def error(self, address: str, part: ByteRange, attempts: int) -> StorageError:
        """The error for the user: what was asked of whom, what came back, what to do."""
        return self.error_of(f"read bytes {part.offset}..{part.end} of", address, attempts)

    def error_of(self, what: str, address: str, attempts: int) -> StorageError:
        """The same for any request.

        Args:
            what: Verb and what comes before the address.
            address: Of the file.
            attempts: How often it was tried.
        """
        tries = f" ({attempts} attempts)" if attempts > 1 else ""
        said = f": {self.said}" if self.said else ""
        if self.retry_after:
            said += f", asking to come back in {self.retry_after:.0f} s"
        if self.credential:
            said += f". The request was {self.credential}"
        kind, problem, remedy = _WORDS[self.cause]
        shown = safe_address(address)
        return kind(f"cannot {what} {shown}: {problem}{tries}{said}. {_remedy(self, remedy, address)}")


_WORDS: dict[Cause, tuple[type[StorageError], str, str]] = {
    Cause.DENIED: (AccessDeniedError, "access was denied", ""),
    Cause.MISSING: (MissingObjectError, "there is no such file", "Check the address, or rebuild the collection."),
    Cause.BEYOND: (
        StorageError,
        "the file ends before that range",
        "It was truncated, or replaced since it was indexed: rebuild the collection with force.",
    ),
    Cause.CHANGED: (
        FileChangedError,
        "the file was changed since it was indexed",
        "Bring the index up to date with rasteret_refresh('name'), or read with on_change := 'refresh'.",
    ),
    Cause.REDIRECT: (
        StorageError,
        "the server redirects without saying where to, as S3 does for a bucket of another region",
        "Set AWS_REGION to the bucket's region, or pass backend=create_backend(region=...).",
    ),
    Cause.NO_RANGES: (
        StorageError,
        "the server ignores range requests and sends whole files",
        "Serve the file from one that supports ranges (any object store, nginx, Apache), or copy it to this machine.",
    ),
    Cause.NO_HOST: (StorageError, "the host name is unknown", "Check the address, the network and its proxy."),
    Cause.PATH: (StorageError, "the store cannot hold such a path", "Check the address for empty or dotted parts."),
    Cause.FORK: (
        StorageError,
        "connections made before a fork cannot be used after it",
        "Start worker processes with the multiprocessing method `spawn` or `forkserver`.",
    ),
    Cause.OTHER: (StorageError, "the request failed", "Check that the address can be read from this machine."),
    Cause.BUSY: (
        StorageError,
        "the server asks to slow down",
        "Retry later, or lower max_requests_per_host in rasteret_settings().",
    ),
    Cause.SERVER: (StorageError, "the server failed", "Retry later."),
    Cause.CONNECT: (StorageError, "no connection could be made", "Check host, port, network and proxy."),
    Cause.BROKEN: (StorageError, "the connection broke", "Retry later."),
    Cause.TIMEOUT: (
        StorageTimeoutError,
        "no complete answer came in time",
        "Retry later, or raise request_timeout in rasteret_settings().",
    ),
    Cause.SHORT: (
        StorageError,
        "the answer has the wrong length",
        "The file was truncated, or replaced since it was indexed: rebuild the collection with force.",
    ),
}


def _remedy(failure: Failure, remedy: str, address: str) -> str:
    if failure.cause is not Cause.DENIED:
        return remedy
    if words := signed_remedy(address):
        return words
    if "UserProjectMissing" in failure.said:
        return "The reader pays for this bucket: set GOOGLE_CLOUD_PROJECT to a project that is billed for it."
    scheme = address.partition(":")[0].lower()
    if scheme.startswith("s3") or ".amazonaws.com/" in address:
        return (
            "Private or requester-pays buckets need credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            "(and AWS_REQUEST_PAYER=requester); S3 answers the same for a key that does not exist."
        )
    if ".core.windows.net/" in address or scheme in ("az", "abfs", "abfss"):
        return "The container needs a SAS token or account key, or the token has expired."
    if "storage.googleapis.com/" in address or scheme in ("gs", "gcs"):
        return "The bucket needs Google credentials: set GOOGLE_APPLICATION_CREDENTIALS."
    if scheme in ("http", "https"):
        return "The server wants credentials, or a signed address has expired: sign it anew or pass a backend."
    return "Check the permissions of the file."


def failure_of(error: Exception) -> Failure | None:
    """What an error of a store or backend means; None for an error that is no failed request (a bug, say)."""
    if isinstance(error, StorageError):
        return None  # a backend that already says it in our words
    if isinstance(error, FileNotFoundError):
        return Failure(Cause.MISSING)
    if isinstance(error, BaseError):
        text = str(error)
        if match := _OURS.search(text):
            return Failure(Cause.DENIED, match[1])
        if any(host in text for host in _ROLE_HOSTS):
            return Failure(Cause.DENIED, "no credentials were found")
    if isinstance(error, UnauthenticatedError | PermissionDeniedError):
        return Failure(Cause.DENIED, _answer(str(error)))
    if isinstance(error, PermissionError):
        return Failure(Cause.DENIED, error.strerror or "")
    if isinstance(error, NotSupportedError):
        return Failure(Cause.NO_RANGES)
    if isinstance(error, BaseError):
        return _of_text(str(error))
    if isinstance(error, TimeoutError):
        return Failure(Cause.TIMEOUT)
    if isinstance(error, ConnectionError):
        return Failure(Cause.BROKEN, error.strerror or "")
    if isinstance(error, OSError):
        return Failure(Cause.OTHER, error.strerror or "")
    if isinstance(error, ValueError) and "Could not parse path" in str(error):
        return Failure(Cause.PATH)
    if isinstance(error, RuntimeError) and "before a fork" in str(error):
        return Failure(Cause.FORK)
    return None


def _of_text(text: str) -> Failure:
    """Stores tell most failures by text alone."""
    if match := _STATUS.search(text):
        status = int(match[1] or match[2])
        if status == 416:
            return Failure(Cause.BEYOND, _answer(text))
        if status in (429, 503):
            return Failure(Cause.BUSY, _answer(text))
        code = _CODE.search(text)
        if code is not None and code[1] in _DENIALS:
            return Failure(Cause.DENIED, _answer(text))
        return Failure(Cause.SERVER if status >= 500 or status == 408 else Cause.OTHER, _answer(text))
    if "BareRedirect" in text or "redirect without LOCATION" in text:
        return Failure(Cause.REDIRECT)
    if "UnexpectedRange" in text:
        return Failure(Cause.SHORT, "another range than the one asked for")
    if "dns error" in text:
        return Failure(Cause.NO_HOST)
    if "InvalidCertificate" in text:
        return Failure(Cause.OTHER, "its TLS certificate is not trusted")
    for kind, cause in (("Timeout", Cause.TIMEOUT), ("Connect", Cause.CONNECT), ("Interrupted", Cause.BROKEN)):
        if f"kind: {kind}," in text:
            return Failure(cause)
    return Failure(Cause.BROKEN if "body error" in text else Cause.OTHER)


def _answer(text: str) -> str:
    """Status, and code and message of an XML error document; nothing else of an answer is safe to show."""
    status, code, message = _STATUS.search(text), _CODE.search(text), _MESSAGE.search(text)
    parts = [f"HTTP {status[1] or status[2]}"] if status else []
    parts += [code[1]] if code else []
    parts += [message[1].strip().rstrip(".")] if message else []
    return ", ".join(parts)
