"""Busy hosts are left alone, and nobody else waits for them; what lasts is an error that names the host's answer."""

import asyncio
import time

import pytest

from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.errors import FileChangedError, StorageError
from rasteret_sql.io.fetch import RetryPolicy, fetch, fetch_prefix
from rasteret_sql.io.loop import io_loop, run
from rasteret_sql.io.routed_backend import RoutedBackend
from rasteret_sql.io.settings import IoSettings, change_io_settings
from tests.sampling import some
from tests.servers.range_server import RangeServer

DATA = bytes(range(256)) * 400
QUICK = RetryPolicy(first_wait=0.01, busy_wait=0.2)


@pytest.fixture
def served(tmp_path):
    (tmp_path / "a.bin").write_bytes(DATA)
    with RangeServer(tmp_path) as server:
        yield server


@pytest.fixture
def other(tmp_path):
    with RangeServer(tmp_path) as server:
        yield server


async def parts(server, count, policy=QUICK):
    backend = RoutedBackend()
    answers = await asyncio.gather(
        *(fetch(backend, f"{server.url}/a.bin", ByteRange(i, 100), policy) for i in range(count))
    )
    return [bytes(answer) == DATA[i : i + 100] for i, answer in enumerate(answers)]


@pytest.mark.parametrize("status", some(["429", "503"], 2))
def test_requests_to_a_host_that_throttles_wait_together(served, status):
    """After the first refusals the others do not even ask, so that the host sees few of them in vain."""
    change_io_settings(max_requests_per_host=16)
    served.settings(latency_ms=5)
    try:
        served.faults(status, times=40)
        served.reset()
        assert all(run(parts(served, 200)))
    finally:
        change_io_settings(max_requests_per_host=IoSettings().max_requests_per_host)
    assert served.counts()["faults"] == {status: 40}
    # Without shared waiting, 200 requests at a time would have met all 40 refusals in the first instant.
    assert served.counts()["max_in_flight"] <= 17


def test_another_host_is_not_held_up(served, other):
    served.faults("503")
    served.reset()

    async def both():
        # Whoever has to wait for the busy host waits for minutes.
        waiting = asyncio.create_task(parts(served, 60, RetryPolicy(busy_wait=200, window=600)))
        while not served.counts()["faults"]:  # noqa: ASYNC110  the server is another process
            await asyncio.sleep(0.02)
        good = await parts(other, 200)
        is_waiting = not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return good, is_waiting

    good, is_waiting = run(both())
    assert all(good)
    assert is_waiting
    assert io_loop().limiter.in_flight == 0


def test_a_host_that_is_busy_for_good_is_an_error(served):
    served.faults("503")
    # On a machine that is busy itself, the window may be over when the first answer comes: that was one attempt.
    with pytest.raises(StorageError, match=r"the server asks to slow down( \(\d attempts\))?: HTTP 503"):
        run(parts(served, 60, RetryPolicy(busy_wait=0.5, window=1.2)))


def test_retry_after_is_waited_for(served):
    served.faults("429", times=3, retry_after="2")
    begun = time.monotonic()
    assert run(parts(served, 1, RetryPolicy(busy_wait=0.01))) == [True]
    assert time.monotonic() - begun >= 2


def test_a_server_that_asks_for_more_patience_than_there_is(served):
    served.faults("503", retry_after="300")
    served.reset()
    with pytest.raises(StorageError, match=r"slow down: HTTP 503, asking to come back in 300 s. Retry later"):
        run(parts(served, 1))
    assert served.counts()["faults"] == {"503": 2}, "the request, and the one that sees Retry-After"


def test_redirects(served):
    served.faults("redirect", times=1)
    assert run(parts(served, 1)) == [True]
    served.faults("redirect-nowhere", times=1)
    assert run(parts(served, 1)) == [True]
    served.faults("redirect-nowhere")
    with pytest.raises(StorageError, match=r"the host name is unknown \(4 attempts\)"):
        run(parts(served, 1))
    served.faults("redirect")
    with pytest.raises(StorageError, match="the request failed"):  # round and round
        run(parts(served, 1))


def test_one_odd_answer_is_no_change(served):
    backend, address = RoutedBackend(), f"{served.url}/a.bin"
    _, facts = run(fetch_prefix(backend, address, 10))
    served.faults("other-version", times=1)
    assert bytes(run(fetch(backend, address, ByteRange(3, 5), QUICK, facts))) == DATA[3:8]
    served.faults("other-version")
    with pytest.raises(FileChangedError, match=r"changed since it was indexed \(2 attempts\): ETag "):
        run(fetch(backend, address, ByteRange(3, 5), QUICK, facts))


def test_bodies_that_are_too_long_are_never_taken(served):
    served.faults("long")
    with pytest.raises(StorageError, match="the answer has the wrong length"):
        run(parts(served, 1))
