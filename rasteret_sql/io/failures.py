"""Classifies a failed request by the error of a store or backend, and makes the error that says so.

A server that said no is known by the class of the error or by the status in it; such a request is not repeated. All
else may pass: an error whose text is not known counts as one of the connection, and the request is repeated.

Text of stores is never shown: it may hold signed URLs. Only the status, the kind of failure, and code and message of an
S3, Azure or Google error document are taken from it. tests/io/test_io_obstore_errors.py says what obstore's texts are.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from enum import Enum

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    GenericError,
    InvalidPathError,
    NotFoundError,
    NotModifiedError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)

from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.errors import (
    AccessDeniedError,
    FileChangedError,
    MissingObjectError,
    StorageError,
    StorageTimeoutError,
)
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.clouds.registry import remedy as cloud_remedy
from rasteret_sql.io.credentials import NO_CREDENTIALS, status_of
from rasteret_sql.io.signed_addresses import remedy as signed_remedy

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
_OURS = re.compile(NO_CREDENTIALS + r"\[([^\]]{1,200})\]")
_ROLE_HOSTS = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")
"""Where machines of a cloud ask for their role; elsewhere nobody answers."""


class Cause(Enum):
    """The cause of a failed request; the value tells whether the same request may succeed later."""

    DENIED = ("denied", False)
    MISSING = ("missing", False)
    BEYOND = ("beyond", False)
    REDIRECT = ("redirect", False)
    NO_RANGES = ("no ranges", False)
    PATH = ("path", False)
    NO_FILE = ("no file", False)
    FORK = ("fork", False)
    OTHER = ("other", False)
    """The server or system said no, in another way."""
    UNKNOWN = ("unknown", True)
    """Nobody said no."""
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
    Cause.NO_FILE: (
        StorageError,
        "it is no file that can be read at positions",
        "Give the path of a TIFF file; rasteret_files and rasteret_build_from_files look through folders.",
    ),
    Cause.FORK: (
        StorageError,
        "connections made before a fork cannot be used after it",
        "Start worker processes with the multiprocessing method `spawn` or `forkserver`.",
    ),
    Cause.OTHER: (StorageError, "the request failed", "Check that the address can be read from this machine."),
    Cause.UNKNOWN: (StorageError, "the request failed", "Check that the address can be read from this machine."),
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
    return signed_remedy(address) or cloud_remedy(address, failure.said)


def failure_of(error: Exception) -> Failure | None:
    """Classify an error of a store or backend; None for an error that is no failed request (a bug, say)."""
    if isinstance(error, StorageError):
        return None  # a backend that already says it in our words
    if isinstance(error, BaseError):
        return _of_store(error)
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, ValueError) and "Could not parse path" in str(error):
        return Failure(Cause.PATH)
    if isinstance(error, RuntimeError) and "before a fork" in str(error):
        return Failure(Cause.FORK)
    return None


def _refusals() -> tuple[tuple[type[BaseError] | tuple[type[BaseError], ...], Cause], ...]:
    """Errors of stores that say no by their class; the others are GenericError, and JoinError of a lost thread.

    Asked each time: a forked child has the classes of another library (second_library.py).
    """
    return (
        (NotFoundError, Cause.MISSING),
        (UnauthenticatedError, Cause.DENIED),
        (PermissionDeniedError, Cause.DENIED),
        (NotSupportedError, Cause.NO_RANGES),
        (InvalidPathError, Cause.PATH),
        ((AlreadyExistsError, PreconditionError, NotModifiedError, UnknownConfigurationKeyError), Cause.OTHER),
    )


_LASTING = (
    *(errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL),
    *(errno.ENOSPC, errno.EROFS, errno.EFBIG, errno.EDQUOT),
)
"""What the system says of a file, and will say again."""
_NO_FILES = {
    errno.EISDIR: "a folder",
    errno.ESPIPE: "a pipe",
    errno.ENXIO: "a socket, or a device that is not there",
    errno.ENODEV: "a device that is not there",
}
"""What the system says of what is no file → what it is."""


def _of_store(error: BaseError) -> Failure:
    text = str(error)
    if match := _OURS.search(text):
        return Failure(Cause.DENIED, match[1])
    if any(host in text for host in _ROLE_HOSTS):
        return Failure(Cause.DENIED, "no credentials were found")
    code = _CODE.search(text)
    if code is not None and code[1] in _DENIALS:  # first of all: a 409 has the class of a file that exists already
        return Failure(Cause.DENIED, _answer(text))
    for kind, cause in _refusals():
        if isinstance(error, kind):
            return Failure(cause, _answer(text) if cause in (Cause.DENIED, Cause.OTHER) else "")
    return _of_text(text) if isinstance(error, GenericError) else Failure(Cause.UNKNOWN)


def _of_system(error: OSError) -> Failure:
    """Errors of the system, and of users' own backends: those of urllib, requests and aiohttp are OSErrors, too."""
    said = error.strerror or ""
    if isinstance(error, FileNotFoundError):
        return Failure(Cause.MISSING)
    if isinstance(error, PermissionError):
        return Failure(Cause.DENIED, said)
    if (status := status_of(error)) is not None:
        return _of_status(status, f"HTTP {status}")
    if error.errno in _NO_FILES:
        return Failure(Cause.NO_FILE, _NO_FILES[error.errno])
    if isinstance(error, TimeoutError):
        return Failure(Cause.TIMEOUT)
    if isinstance(error, ConnectionError):
        return Failure(Cause.BROKEN, said)
    return Failure(Cause.OTHER if error.errno in _LASTING else Cause.UNKNOWN, said)


def _of_status(status: int, said: str) -> Failure:
    if status in (401, 403):
        return Failure(Cause.DENIED, said)
    if status == 404:
        return Failure(Cause.MISSING)
    if status == 416:
        return Failure(Cause.BEYOND, said)
    if status in (429, 503):
        return Failure(Cause.BUSY, said)
    return Failure(Cause.SERVER if status >= 500 or status in (408, 425) else Cause.OTHER, said)


def _of_text(text: str) -> Failure:
    """Stores tell most failures by text alone. What is not known here is worth another try."""
    if match := _STATUS.search(text):
        return _of_status(int(match[1] or match[2]), _answer(text))
    if "BareRedirect" in text or "redirect without LOCATION" in text:
        return Failure(Cause.REDIRECT)
    if "UnexpectedRange" in text:
        return Failure(Cause.SHORT, "another range than the one asked for")
    if "dns error" in text:
        return Failure(Cause.NO_HOST)
    if "InvalidCertificate" in text:
        return Failure(Cause.OTHER, "its TLS certificate is not trusted")
    for words, cause in _TRANSPORT:
        if words in text:
            return Failure(cause)
    return Failure(Cause.UNKNOWN)


_TRANSPORT = (
    ("kind: Timeout,", Cause.TIMEOUT),
    ("kind: Connect,", Cause.CONNECT),
    ("kind: Interrupted,", Cause.BROKEN),
    ("IncompleteMessage", Cause.BROKEN),  # closed before an answer, as servers do with connections that were idle
    ("body error", Cause.BROKEN),
)
"""Words of a store's error → what befell the connection; all of it may pass, the words only make a better message."""


def _answer(text: str) -> str:
    """Status, and code and message of an XML error document; nothing else of an answer is safe to show."""
    status, code, message = _STATUS.search(text), _CODE.search(text), _MESSAGE.search(text)
    parts = [f"HTTP {status[1] or status[2]}"] if status else []
    parts += [code[1]] if code else []
    parts += [message[1].strip().rstrip(".")] if message else []
    return ", ".join(parts)
