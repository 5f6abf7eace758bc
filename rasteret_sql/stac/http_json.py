"""Reads STAC documents as JSON objects, from files, over HTTP and from object stores; failures in our own errors."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import requests
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from urllib3 import BaseHTTPResponse, Retry
from urllib3.exceptions import InvalidHeader

from rasteret_sql.errors import (
    AccessDeniedError,
    MissingObjectError,
    StacError,
    StorageError,
    StorageTimeoutError,
)
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.fetch import fetch_prefix
from rasteret_sql.io.log_filter import guard_logs
from rasteret_sql.io.loop import run
from rasteret_sql.io.routed_backend import default_backend
from rasteret_sql.receipt import current_receipt
from rasteret_sql.stac.address import is_url, local_path
from rasteret_sql.stac.redirects import RedirectSession, unpacked

TIMEOUT = (5.0, 30.0)
"""Seconds to connect, and to wait for the next bytes of an answer."""
BACKOFF = 0.25
"""Seconds of the first wait before a request is repeated, doubled each time."""
LONGEST_WAIT = 20.0
"""Most seconds that a server gets by Retry-After: some ask for hours, and a build would rather fail and say so."""
_BROKEN_BODIES = 2
RETRY_STATUS = (408, 429, 500, 502, 503, 504)
MAX_BYTES = 256 << 20
"""Longest document read from an object store; item collections of 10 000 items are a tenth of it."""
_RECORD = "\x1e"
_ENTRY_DOCUMENTS = ("catalog.json", "collection.json")


class RefusedError(StacError):
    """A server answered that it does not take the request as it is."""

    status: int | None = None
    """HTTP status, 4xx or 501."""


class Answer(NamedTuple):
    """A server's answer."""

    text: str
    address: str
    """Where it came from, after redirects."""


class _Retry(Retry):
    """Retries with a bound to what a server may ask for; one that asks for nonsense waits as one that asks nothing."""

    def increment(self, *given: Any, **named: Any) -> _Retry:
        again: _Retry = super().increment(*given, **named)  # raises where there is to be no repetition
        current_receipt().sent(again=True)
        return again

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        try:
            asked = super().get_retry_after(response)
        except InvalidHeader:
            return None
        return None if asked is None else min(asked, LONGEST_WAIT)


class _Session(StacApiIO):  # type: ignore[misc]  # it has no types
    """With the backend of documents that are in a bucket."""

    backend: StorageBackend | None = None


def connect(address: str, headers: Mapping[str, str] | None = None, backend: StorageBackend | None = None) -> StacApiIO:
    """A session for one search: pooled connections, short timeouts, bounded retries with backoff on 429 and 5xx.

    Headers go to the host of `address` only: catalogs link to other hosts, which must not see an Authorization.

    Args:
        address: What is searched.
        headers: By which the caller signs in; they count more than those of the backend.
        backend: Reads documents that are in a bucket. One that sends headers to web servers says which those are.
    """
    of_backend = getattr(backend, "headers_of", None)
    headers = {**(of_backend(address) if of_backend is not None else {}), **(headers or {})}
    guard_logs()
    retry = _Retry(
        total=4,
        connect=2,
        read=2,
        status=4,
        status_forcelist=RETRY_STATUS,
        # A search by POST changes nothing, so it may be repeated as a GET may.
        allowed_methods=None,
        backoff_factor=BACKOFF,
        backoff_max=8.0,
        # After the last attempt the answer itself comes back, with the status and the server's words.
        raise_on_status=False,
    )
    session = _Session(timeout=TIMEOUT, max_retries=retry)
    session.session = RedirectSession(address, headers, MAX_BYTES)
    session.backend = backend
    for scheme in ("http://", "https://"):
        session.session.mount(scheme, requests.adapters.HTTPAdapter(16, 16, max_retries=retry))
    return session


def read_document(address: str, session: StacApiIO) -> dict[str, Any]:
    """The JSON object at a path or URL.

    Raises:
        StorageError: It cannot be fetched (leaves tell 401/403, 404 and timeouts apart).
        StacError: It is no JSON object.
    """
    return read_located(address, session)[0]


def read_located(address: str, session: StacApiIO) -> tuple[dict[str, Any], str]:
    """The JSON object at a path or URL, and where it came from after redirects: what its links are relative to.

    Raises:
        as `read_document`.
    """
    if address.lower().startswith(("http://", "https://")):
        answer = send(session, address)
        return parse_document(answer.text, address), answer.address
    text = _fetch_object(address, session) if is_url(address) else _read_file(address)
    return parse_document(text, address), address


def parse_document(text: str | bytes, address: str) -> dict[str, Any]:
    """Parse a document's text; errors name its address.

    Several objects, one a line, are the items of a FeatureCollection. Text that is compressed by gzip is unpacked.
    """
    # Some servers and editors begin with a byte order mark, which JSON does not have.
    text = unpacked(text, address, MAX_BYTES) if isinstance(text, bytes) else text.removeprefix("\ufeff")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and _has_lines(error):
            return {"type": "FeatureCollection", "features": list(_lines(error.doc, address))}
        raise _no_json(error, address) from error
    if not isinstance(document, dict):
        raise StacError(
            f"{safe_address(address)} holds a JSON {type(document).__name__}; expected a STAC object "
            "(Catalog, Collection, Feature or FeatureCollection)"
        )
    return document


def _has_lines(error: json.JSONDecodeError) -> bool:
    """True where text is one object, and goes on in another line; RFC 8142 puts a sign before each."""
    if error.doc.startswith(_RECORD):
        return True
    return error.msg == "Extra data" and error.doc[: error.pos].rstrip(" \t").endswith("\n")


def _lines(text: str, address: str) -> Iterator[Any]:
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.strip().strip(_RECORD)
        if bare:
            try:
                yield json.loads(bare)
            except (ValueError, RecursionError) as error:
                raise _no_json(error, f"line {number} of {safe_address(address)}") from error


def _no_json(error: Exception, where: str) -> StacError:
    what = f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else str(error)
    return StacError(f"{safe_address(where)} is not JSON ({what}); expected a STAC document")


def _read_file(address: str) -> bytes:
    path = local_path(address)
    if path.is_dir():
        path = _entry_document(path)
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise MissingObjectError(f"there is no file {path}; expected a STAC catalog, collection or item") from error
    except PermissionError as error:
        raise AccessDeniedError(f"the file {path} may not be read: {error.strerror}") from error
    except OSError as error:
        raise StorageError(f"the file {path} cannot be read: {error.strerror}") from error


def _entry_document(folder: Path) -> Path:
    for name in _ENTRY_DOCUMENTS:
        if (folder / name).is_file():
            return folder / name
    raise MissingObjectError(
        f"the folder {folder} holds neither {' nor '.join(_ENTRY_DOCUMENTS)}; name the file to read"
    )


def entry_address(address: str) -> str:
    """The document that an address stands for: `catalog.json` or `collection.json` of a folder, else itself."""
    if is_url(address) or not local_path(address).is_dir():
        return address
    return str(_entry_document(local_path(address)))


def _fetch_object(address: str, session: StacApiIO) -> bytes:
    backend = (session.backend if isinstance(session, _Session) else None) or default_backend()
    data, _ = run(fetch_prefix(backend, address, MAX_BYTES + 1))
    if len(data) > MAX_BYTES:
        raise StacError(f"{safe_address(address)} is longer than {MAX_BYTES >> 20} MiB, too long for a STAC document")
    return data


def send(
    session: StacApiIO,
    address: str,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    parameters: dict[str, Any] | None = None,
) -> Answer:
    """Send a request and give the server's answer, after retries and redirects.

    Raises:
        StorageError: No answer, no access, nothing there, or a server that keeps failing.
        StacError: The server refuses the request as it is.
    """
    for attempt in range(_BROKEN_BODIES + 1):
        try:
            return Answer(str(session.request(address, method, headers, parameters)), session.session.last_address)
        except APIError as caught:
            error = request_error(caught, address)
            # urllib3 retries until the answer begins; a body that breaks off is for us to ask for again.
            if not isinstance(caught.__context__, requests.exceptions.ChunkedEncodingError):
                break
        if attempt < _BROKEN_BODIES:
            time.sleep(BACKOFF * 2**attempt)
    # Raised outside of `except`: the caught error holds the whole URL, with what may be a token in its query string.
    raise error


def request_error(error: APIError, address: str) -> StorageError | StacError:
    """Make our error of a request that failed: address without secrets, status, the server's words, remedy."""
    where = safe_address(address)
    status = getattr(error, "status_code", None)
    if status is None:
        return _connection_error(error, where)
    refusal = _refusal(where, status, _server_words(str(error)))
    refusal.status = status
    return refusal


def _refusal(where: str, status: int, said: str) -> StorageError | RefusedError:
    if status in (401, 403):
        return AccessDeniedError(
            f"{where} answered {status}: access denied{said}; pass credentials that this STAC server accepts, such as "
            "headers := {'Authorization': 'Bearer ...'}, or --header-env of rasteret-sql collections; they are "
            "never kept, so an append or a refresh needs them, too"
        )
    if status in (404, 410):
        return MissingObjectError(f"{where} answered {status}: nothing there{said}; check the STAC address")
    if status == 429 or (status >= 500 and status != 501):
        return StorageError(f"{where} answered {status} again after retries{said}; try later or ask for less at once")
    return RefusedError(f"{where} refused the request with status {status}{said}")


def _connection_error(error: APIError, where: str) -> StorageError | StacError:
    # pystac-client raises its own error while it handles the one of requests, which it keeps as the context.
    cause = error.__context__
    if isinstance(cause, StacError):
        return cause
    if isinstance(cause, UnicodeDecodeError):
        return StacError(
            f"{where} is not text (it holds the byte 0x{cause.object[cause.start]:02x}); expected a STAC document"
        )
    if isinstance(cause, requests.Timeout) or "timed out" in str(error).lower():
        return StorageTimeoutError(f"{where} did not answer in time ({TIMEOUT[1]:g} s, retries included); try later")
    kind = type(cause).__name__ if cause is not None else "connection error"
    return StorageError(f"{where} cannot be reached ({kind}); check the address and the network")


def _server_words(body: str) -> str:
    """The reason that a server gives, short, on one line, without URLs' query strings."""
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict):
        reason = parsed.get("description") or parsed.get("detail") or parsed.get("message") or parsed.get("code")
        body = reason if isinstance(reason, str) else json.dumps(reason) if reason else ""
    elif body.lstrip().startswith("<"):
        body = ""
    words = re.sub(r"\?\S+", "?...", " ".join(body.split()))
    return f' ("{words[:200]}")' if words else ""
