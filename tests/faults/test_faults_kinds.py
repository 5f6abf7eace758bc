"""Each way in which a server may fail, once passing and once lasting: overcome, or an error, and nobody in flight."""

import http.server
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.errors import (
    AccessDeniedError,
    FileChangedError,
    MissingObjectError,
    StorageError,
    StorageTimeoutError,
)
from rasteret_sql.io.fetch import RetryPolicy, fetch, fetch_prefix
from rasteret_sql.io.loop import io_loop, run
from rasteret_sql.io.routed_backend import RoutedBackend
from rasteret_sql.io.settings import IoSettings, change_io_settings
from tests.sampling import some
from tests.servers.range_protocol import KINDS
from tests.servers.range_server import RangeServer

DATA = bytes(i * i % 251 for i in range(20_000))
PART = ByteRange(1000, 10_000)
EXPECTED = DATA[1000:11_000]
TIMEOUT = 0.3
QUICK = RetryPolicy(retries=2, short_retries=2, first_wait=0.01, busy_wait=0.01)

LASTING = {
    "408": (StorageError, "3 attempts"),
    "429": (StorageError, "slow down"),
    "503": (StorageError, "slow down"),
    "429/60": (StorageError, "asking to come back in 60 s"),
    "503/60": (StorageError, "asking to come back in 60 s"),
    "500": (StorageError, "HTTP 500"),
    "400": (StorageError, "HTTP 400"),
    "401": (AccessDeniedError, "HTTP 401"),
    "403": (AccessDeniedError, "HTTP 403"),
    "404": (MissingObjectError, "no such file"),
    "truncate": (StorageError, "connection broke"),
    "reset": (StorageError, "connection broke"),
    "reset-early": (StorageError, "connection broke"),
    "stall": (StorageTimeoutError, "in time"),
    "stall-early": (StorageTimeoutError, "in time"),
    "slow": (StorageTimeoutError, "in time"),
    "wrong-range": (StorageError, "wrong length"),
    "wrong-length": (StorageError, "wrong length"),
    "long": (StorageError, "wrong length"),
    "other-version": (FileChangedError, "changed since it was indexed"),
    "redirect": (StorageError, "the request failed"),
    "redirect-nowhere": (StorageError, "the host name is unknown"),
}
NEVER_REPEATED = ("400", "401", "403", "404")
"""Without credentials that could be renewed: asking again would change nothing."""
MOST_REQUESTS = 3 * 2
"""Three tries, each with a second request that sees what the first answer said."""
MOST_REDIRECTS = 10
"""So many are followed by each try."""


@pytest.fixture(autouse=True)
def nothing_is_left_in_flight() -> Iterator[None]:
    yield
    assert io_loop().limiter.in_flight == 0


@pytest.fixture
def served(range_server: RangeServer) -> RangeServer:
    (range_server.directory / "a.bin").write_bytes(DATA)
    return range_server


def read(address: str, facts=None) -> bytes:
    return bytes(run(fetch(RoutedBackend(IoSettings(request_timeout=TIMEOUT)), address, PART, QUICK, facts)))


def facts_of(address: str):
    return run(fetch_prefix(RoutedBackend(), address, 10))[1]


def test_every_kind_has_an_end_that_is_tested():
    """`ignore-range` is no error under `whole_file_bytes`, see below."""
    assert set(KINDS) - set(LASTING) == {"ignore-range"}


@pytest.mark.parametrize(
    "kind", some([*(kind for kind in KINDS if kind != "ignore-range"), "408", "429", "503/1", "500"], 6)
)
def test_what_passes_is_overcome(served, kind):
    """The array of a disturbed read is the one of an undisturbed read."""
    address = f"{served.url}/a.bin"
    facts = facts_of(address)
    served.faults(kind, times=1)
    served.reset()
    assert read(address, facts) == EXPECTED
    assert served.counts()["faults"] == {kind: 1}


@pytest.mark.parametrize("kind", some(LASTING, 6))
def test_what_lasts_is_an_error_in_bounded_time(served, kind):
    address = f"{served.url}/a.bin"
    facts = facts_of(address)
    leaf, words = LASTING[kind]
    served.faults(kind)
    served.reset()
    with pytest.raises(StorageError) as error:
        read(address, facts)
    assert type(error.value) is leaf
    assert words in str(error.value)
    assert address in str(error.value)
    asked = served.counts()["requests"]
    most = MOST_REQUESTS + 3 * MOST_REDIRECTS * (kind == "redirect")
    assert asked == 1 if kind in NEVER_REPEATED else 1 < asked <= most


def test_a_body_in_drops_is_ended_by_the_timeout(served):
    """10 000 bytes at 1 KiB a second would come, in ten seconds, if only silence counted."""
    served.faults("slow")
    begun = time.monotonic()
    with pytest.raises(StorageTimeoutError, match=r"\(3 attempts\)"):
        read(f"{served.url}/a.bin")
    assert time.monotonic() - begun >= 3 * TIMEOUT


@pytest.mark.parametrize(("room", "is_read"), some([(len(DATA), True), (len(DATA) - 1, False), (0, False)], 2))
def test_servers_without_ranges_under_and_over_the_limit(served, room, is_read):
    served.faults("ignore-range")
    change_io_settings(whole_file_bytes=room)
    try:
        backend, address = RoutedBackend(), f"{served.url}/a.bin"
        if is_read:
            assert bytes(run(fetch(backend, address, PART, QUICK))) == EXPECTED
        else:
            with pytest.raises(StorageError, match="ignores range requests"):
                run(fetch(backend, address, PART, QUICK))
    finally:
        change_io_settings(whole_file_bytes=IoSettings().whole_file_bytes)


def test_refused_connections():
    """A port that was just free: nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(StorageError, match=r"no connection could be made \(3 attempts\)"):
        read(f"http://127.0.0.1:{port}/a.bin")


def test_unknown_hosts():
    with pytest.raises(StorageError, match=r"the host name is unknown \(3 attempts\)"):
        read("http://no-such-host.invalid/a.bin")


def test_redirects_to_another_server_are_followed(served):
    with redirecting(f"{served.url}/a.bin") as url:
        assert read(f"{url}/b.bin") == EXPECTED
    assert served.counts()["faults"] == {}


@contextmanager
def redirecting(target: str) -> Iterator[str]:
    """A server that sends everybody elsewhere."""

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", target)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("change", some(["content", "time", "size"], 99))
def test_a_replaced_file_is_never_mixed_with_the_one_indexed(served, change):
    address, path = f"{served.url}/a.bin", served.directory / "a.bin"
    facts = facts_of(address)
    if change == "size":
        path.write_bytes(DATA + b"x")
    else:
        path.write_bytes(DATA[::-1] if change == "content" else DATA)
        os.utime(path, (1_000_000, 1_000_000))
    with pytest.raises(FileChangedError, match="instead of"):
        read(address, facts)
    # Who knows what the file is now reads it.
    assert read(address, facts_of(address)) == path.read_bytes()[PART.offset : PART.end]
