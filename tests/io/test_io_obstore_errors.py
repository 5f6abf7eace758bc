"""What obstore says of servers that fail, and what is made of it.

Whether a request is repeated, and what the user is told, is taken from errors of obstore, many of which are texts. This
pins those of the release in use; pyproject.toml bounds it. Where a newer one says something else, a test here fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import socket
import ssl
import struct
import urllib.error
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import obstore
import pytest
from obstore import exceptions
from obstore.store import AzureStore, HTTPStore, S3Store

from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.errors import MissingObjectError, StorageError
from rasteret_sql.io.failures import Cause, failure_of
from rasteret_sql.io.fetch import RetryPolicy, fetch
from rasteret_sql.io.loop import run
from tests.servers.internet import _Authority
from tests.servers.one_answer import PART, answer, close, reset, serve, stall, status

EXPIRED = b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code><Message>the token is over</Message></Error>"
QUICK = RetryPolicy(first_wait=0.001, busy_wait=0.001)


def asked(url: str) -> Exception:
    """The error with which a store of a URL answers a request for its first 100 bytes."""
    seconds = timedelta(seconds=0.5)
    store = HTTPStore.from_url(
        url,
        client_options={"timeout": seconds, "connect_timeout": seconds, "allow_http": True},
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=5)},
    )
    return failed(store)


def failed(store: object) -> Exception:
    async def request() -> None:
        result = await obstore.get_async(store, "x.tif", options={"range": (0, 100)})
        await result.bytes_async()

    with pytest.raises(Exception, match=r".") as caught:
        asyncio.run(request())
    return caught.value


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound, so that nobody else gets it, and not listening
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@contextlib.contextmanager
def full() -> Iterator[str]:
    """A port whose queue of connections is full: it does not answer at all."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def treated(treat: Callable[[socket.socket], None], scheme: str = "http") -> Callable[[], object]:
    @contextlib.contextmanager
    def served() -> Iterator[str]:
        with serve(treat) as port:
            yield f"{scheme}://127.0.0.1:{port}"

    return served


def reset_now(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


BROKEN_CONNECTIONS = {
    "refused": (nobody, ["kind: Connect,", "Connection refused"], Cause.CONNECT),
    "nobody takes the connection": (full, ["kind: Timeout,"], Cause.TIMEOUT),
    "reset before an answer": (treated(reset), ["kind: Interrupted,", "ConnectionReset"], Cause.BROKEN),
    "closed before an answer": (treated(close), ["kind: Request,", "IncompleteMessage"], Cause.BROKEN),
    "no answer in time": (treated(stall), ["kind: Timeout,"], Cause.TIMEOUT),
    "body cut off": (treated(answer(PART + b"x" * 10)), ["response body error", "IncompleteBody"], Cause.BROKEN),
    "reset in the body": (treated(answer(PART + b"x", reset_now)), ["body error", "ConnectionReset"], Cause.BROKEN),
    "body stalls": (treated(answer(PART + b"x", stall)), ["body error", "kind: Timeout,"], Cause.TIMEOUT),
    "another range": (
        treated(answer(PART.replace(b" 0-99/", b" 5-104/") + b"x" * 100)),
        ["UnexpectedRange"],
        Cause.SHORT,
    ),
    "closed during the handshake": (treated(close, "https"), ["kind: Connect,", "UnexpectedEof"], Cause.CONNECT),
    "no TLS": (treated(answer(b"SSH-2.0-x\r\n"), "https"), ["kind: Connect,", "InvalidData"], Cause.CONNECT),
    # Of which no word is known to us.
    "no HTTP": (treated(answer(b"SSH-2.0-x\r\n")), ["kind: Unknown,"], Cause.UNKNOWN),
    "no length": (
        treated(answer(b"HTTP/1.1 206 X\r\nContent-Range: bytes 0-99/1000\r\n\r\nx")),
        ["MissingContentLength"],
        Cause.UNKNOWN,
    ),
}


@pytest.mark.parametrize("what", BROKEN_CONNECTIONS)
def test_what_befalls_a_connection_is_worth_another_try(what):
    served, words, cause = BROKEN_CONNECTIONS[what]
    with served() as url:
        error = asked(url)
    assert type(error) is exceptions.GenericError
    assert all(word in str(error) for word in words), str(error)
    failure = failure_of(error)
    assert failure is not None
    assert failure.cause is cause
    assert cause.retryable


def test_an_unknown_host_is_asked_for_again():
    error = asked("http://no-such-host.invalid")
    assert type(error) is exceptions.GenericError
    assert "dns error" in str(error)
    failure = failure_of(error)
    assert failure is not None
    assert failure.cause is Cause.NO_HOST


def test_a_certificate_that_nobody_trusts_is_a_no(tmp_path: Path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_Authority(tmp_path).certify("localhost"))
    with serve(stall, context) as port:
        error = asked(f"https://localhost:{port}")
    assert type(error) is exceptions.GenericError
    assert "InvalidCertificate" in str(error)
    failure = failure_of(error)
    assert failure is not None
    assert failure.cause is Cause.OTHER
    assert not failure.cause.retryable


ANSWERS = {
    200: (exceptions.NotSupportedError, Cause.NO_RANGES),
    301: (exceptions.GenericError, Cause.REDIRECT),
    304: (exceptions.NotModifiedError, Cause.OTHER),
    400: (exceptions.GenericError, Cause.OTHER),
    401: (exceptions.UnauthenticatedError, Cause.DENIED),
    403: (exceptions.PermissionDeniedError, Cause.DENIED),
    404: (FileNotFoundError, Cause.MISSING),
    405: (FileNotFoundError, Cause.MISSING),
    408: (exceptions.GenericError, Cause.SERVER),
    409: (exceptions.AlreadyExistsError, Cause.OTHER),
    410: (exceptions.GenericError, Cause.OTHER),
    412: (exceptions.PreconditionError, Cause.OTHER),
    416: (exceptions.GenericError, Cause.BEYOND),
    425: (exceptions.GenericError, Cause.SERVER),
    429: (exceptions.GenericError, Cause.BUSY),
    451: (exceptions.GenericError, Cause.OTHER),
    500: (exceptions.GenericError, Cause.SERVER),
    502: (exceptions.GenericError, Cause.SERVER),
    503: (exceptions.GenericError, Cause.BUSY),
    504: (exceptions.GenericError, Cause.SERVER),
    520: (exceptions.GenericError, Cause.SERVER),
}
WORTH_ANOTHER_TRY = {408, 425, 429, 500, 502, 503, 504, 520}


@pytest.mark.parametrize("code", ANSWERS)
def test_an_answer_is_known_by_its_class_or_status(code):
    kind, cause = ANSWERS[code]
    with serve(status(code)) as port:
        error = asked(f"http://127.0.0.1:{port}")
    assert type(error) is kind
    failure = failure_of(error)
    assert failure is not None
    assert failure.cause is cause
    assert failure.cause.retryable == (code in WORTH_ANOTHER_TRY)
    if cause in (Cause.OTHER, Cause.DENIED, Cause.SERVER, Cause.BUSY, Cause.BEYOND):
        assert failure.said == f"HTTP {code}"


@pytest.mark.parametrize("cloud", ["s3", "az"])
def test_clouds_say_the_same(cloud):
    """Their own stores, from an endpoint that refuses with words of S3 and then breaks."""
    options = {"client_options": {"allow_http": True}, "retry_config": {"max_retries": 0}}

    def store(port: int) -> object:
        url = f"http://127.0.0.1:{port}"
        if cloud == "s3":
            return S3Store("bucket", endpoint=url, region="us-east-1", skip_signature=True, **options)
        return AzureStore("c", account_name="a", endpoint=url, skip_signature=True, **options)

    for treat, cause, said in (
        (status(400, EXPIRED), Cause.DENIED, "HTTP 400, ExpiredToken, the token is over"),
        (status(403), Cause.DENIED, "HTTP 403"),
        (status(404), Cause.MISSING, ""),
        (status(500), Cause.SERVER, "HTTP 500"),
        (status(301), Cause.REDIRECT, ""),
        (close, Cause.BROKEN, ""),
        (answer(PART + b"x"), Cause.BROKEN, ""),
    ):
        with serve(treat) as port:
            failure = failure_of(failed(store(port)))
        assert failure is not None
        assert (failure.cause, failure.said) == (cause, said)


class Failing:
    """A backend that fails with one error a number of times, and then gives what is asked for."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.times, self.asked = error, times, 0

    async def get_range(self, url: str, start: int, length: int) -> bytes:
        self.asked += 1
        if self.asked <= self.times:
            raise self.error
        return b"x" * length

    async def get_ranges(self, url: str, ranges: list[tuple[int, int]]) -> list[bytes]:
        return [await self.get_range(url, *part) for part in ranges]


class ClientError(OSError):
    """As `requests` has them: no number of the system, a text of its own."""


def http_error(code: int) -> Exception:
    return urllib.error.HTTPError("http://host/x", code, "said", None, io.BytesIO())  # type: ignore[arg-type]


UNKNOWN = {
    "obstore": exceptions.GenericError("Generic S3 error: words that no release has had so far"),
    "a thread of obstore": exceptions.JoinError("a task was lost"),
    "a client library": ClientError("('Connection aborted.', words)"),
    "urllib": urllib.error.URLError("words"),
    "the system": OSError(errno.EIO, "Input/output error"),
    "too many open files": OSError(errno.EMFILE, "Too many open files"),
    "a server behind urllib": http_error(502),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_errors_in_unknown_words_are_overcome(what):
    backend = Failing(UNKNOWN[what], 2)
    assert bytes(run(fetch(backend, "mem:x", ByteRange(0, 5), QUICK))) == b"xxxxx"
    assert backend.asked == 3


@pytest.mark.parametrize("what", [name for name in UNKNOWN if "server" not in name])
def test_errors_in_unknown_words_end(what):
    """Three repetitions: what is not known may well stay as it is."""
    backend = Failing(UNKNOWN[what], 100)
    with pytest.raises(StorageError, match=r"the request failed \(4 attempts\)"):
        run(fetch(backend, "mem:x", ByteRange(0, 5), QUICK))
    assert backend.asked == 4


REFUSED = {
    "a directory": OSError(errno.EISDIR, "Is a directory"),
    "a name too long": OSError(errno.ENAMETOOLONG, "File name too long"),
    "gone": http_error(410),
    "denied": http_error(403),
    "missing": http_error(404),
    "a wrong path": exceptions.InvalidPathError("a//b"),
    "a wrong setting": exceptions.UnknownConfigurationKeyError("x"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_no_is_not_asked_for_again(what):
    backend = Failing(REFUSED[what], 100)
    with pytest.raises(StorageError) as caught:
        run(fetch(backend, "mem:x", ByteRange(0, 5), QUICK))
    assert backend.asked == 1
    assert isinstance(caught.value, MissingObjectError) == (what == "missing")


def test_every_error_of_obstore_is_placed():
    """A class that a newer release brings is looked at before it is used."""
    known = {name for name in dir(exceptions) if isinstance(getattr(exceptions, name), type)}
    assert known == {
        "AlreadyExistsError",
        "BaseError",
        "GenericError",
        "InvalidPathError",
        "JoinError",
        "NotFoundError",
        "NotModifiedError",
        "NotSupportedError",
        "PermissionDeniedError",
        "PreconditionError",
        "UnauthenticatedError",
        "UnknownConfigurationKeyError",
    }
