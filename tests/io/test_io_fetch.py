"""Exact bytes or an error that says what to do; the server counts what it cost."""

import asyncio
import os
import traceback
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.errors import (
    AccessDeniedError,
    FileChangedError,
    MissingObjectError,
    StorageError,
    StorageTimeoutError,
)
from rasteret_sql.io.backend import ObstoreBackend, StorageBackend
from rasteret_sql.io.fetch import RetryPolicy, fetch, fetch_prefix
from rasteret_sql.io.loop import run
from rasteret_sql.io.routed_backend import RoutedBackend
from rasteret_sql.io.settings import IoSettings, change_io_settings
from tests.sampling import some
from tests.servers.range_protocol import KINDS, Fault
from tests.servers.range_server import RangeServer

DATA = bytes(i * i % 251 for i in range(100_000))
PART = ByteRange(1000, 50_000)
EXPECTED = DATA[1000:51_000]
QUICK = RetryPolicy(first_wait=0.01, busy_wait=0.01)


@pytest.fixture
def served(range_server: RangeServer) -> RangeServer:
    (range_server.directory / "a.bin").write_bytes(DATA)
    return range_server


def read(address: str, part: ByteRange = PART, backend: StorageBackend | None = None) -> bytes:
    return bytes(run(fetch(backend or RoutedBackend(IoSettings(request_timeout=0.5)), address, part, QUICK)))


def _prefix(*args):
    data, facts = run(fetch_prefix(*args))
    return data, facts.size


def test_http_one_request_each(served: RangeServer) -> None:
    backend = RoutedBackend()
    assert read(f"{served.url}/a.bin", backend=backend) == EXPECTED
    assert _prefix(backend, f"{served.url}/a.bin", 32768) == (DATA[:32768], len(DATA))
    assert _prefix(backend, f"{served.url}/a.bin", 1 << 20) == (DATA, len(DATA))
    counts = served.counts()
    assert (counts["requests"], counts["bytes"]) == (3, len(EXPECTED) + 32768 + len(DATA))
    assert counts["connections"] == 2  # one is the test's own, for control


@pytest.mark.parametrize("name", some(["ü b.bin", "100%.bin", "a+b&c=d.bin", "x//y.bin", "q%2Fq.bin", "[1]'.bin"], 6))
def test_names_that_need_care(served: RangeServer, name: str) -> None:
    from urllib.parse import quote

    target = served.directory / "sub" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.parent.joinpath("x").mkdir(exist_ok=True)
    target.write_bytes(DATA)
    assert read(f"{served.url}/sub/{quote(name)}") == EXPECTED
    assert read(str(target)) == EXPECTED
    assert read(target.as_uri()) == EXPECTED


def test_signed_addresses_keep_their_query(served: RangeServer) -> None:
    assert read(f"{served.url}/a.bin?sig=a%2Fb&e=1") == EXPECTED


def test_local_files(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(DATA)
    backend = RoutedBackend()
    assert read(str(path), backend=backend) == EXPECTED
    assert _prefix(backend, str(path), 10) == (DATA[:10], len(DATA))
    assert _prefix(backend, path.as_uri(), 1 << 20) == (DATA, len(DATA))
    assert read(str(path), ByteRange(5, 0)) == b""
    (tmp_path / "empty.tif").write_bytes(b"")
    assert _prefix(backend, str(tmp_path / "empty.tif"), 10) == (b"", 0)
    with pytest.raises(MissingObjectError, match=r"no such file.*Check the address"):
        read(str(tmp_path / "none.tif"))
    with pytest.raises(StorageError, match="a folder"):
        read(str(tmp_path))
    with pytest.raises(StorageError, match=r"expected 20 bytes, received 10"):
        read(str(path), ByteRange(len(DATA) - 10, 20))


def test_empty_file_over_http(served: RangeServer) -> None:
    (served.directory / "empty.tif").write_bytes(b"")
    assert _prefix(RoutedBackend(), f"{served.url}/empty.tif", 100) == (b"", 0)


@pytest.mark.parametrize(
    "kind",
    some(["500", "503", "429", *(kind for kind in KINDS if kind not in ("slow", "ignore-range", "other-version"))], 99),
)
def test_passing_faults_leave_no_trace(served: RangeServer, kind: str) -> None:
    served.faults(kind, times=2)
    assert read(f"{served.url}/a.bin") == EXPECTED
    assert served.counts()["faults"] == {kind: 2}


@pytest.mark.parametrize(
    ("kind", "leaf", "words"),
    some(
        [
            ("401", AccessDeniedError, ["HTTP 401", "credentials"]),
            ("403", AccessDeniedError, ["HTTP 403", "credentials"]),
            ("404", MissingObjectError, ["no such file", "Check the address"]),
            ("503", StorageError, ["HTTP 503", "6 attempts", "Retry later"]),
            ("429", StorageError, ["HTTP 429", "slow down"]),
            ("truncate", StorageError, ["connection broke"]),
            ("reset", StorageError, ["connection broke"]),
            ("stall", StorageTimeoutError, ["in time"]),
            ("wrong-range", StorageError, ["wrong length", "4 attempts"]),
            ("302", StorageError, ["AWS_REGION"]),
        ],
        99,
    ),
)
def test_lasting_faults_say_what_to_do(served: RangeServer, kind: str, leaf: type[Exception], words: list[str]) -> None:
    served.faults(kind)
    address = served.url.replace("://", "://me:pass-word@") + "/a.bin?sig=top-secret"
    with pytest.raises(leaf) as error:
        read(address)
    message = str(error.value)
    assert all(word in message for word in [*words, f"{served.url}/a.bin", "1000..51000"])
    shown = "".join(traceback.format_exception(error.value))
    assert not any(secret in shown for secret in ("top-secret", "pass-word"))


def test_a_shorter_file_than_indexed(served: RangeServer) -> None:
    with pytest.raises(StorageError, match=r"ends before that range.*rebuild"):
        read(f"{served.url}/a.bin", ByteRange(200_000, 10))
    with pytest.raises(StorageError, match=r"expected 20 bytes, received 10.*rebuild"):
        read(f"{served.url}/a.bin", ByteRange(len(DATA) - 10, 20))


def test_nobody_listens() -> None:
    with pytest.raises(StorageError, match=r"no connection could be made \(4 attempts\)"):
        read("http://127.0.0.1:1/a.bin")


def test_limits_hold(served: RangeServer) -> None:
    served.settings(latency_ms=20)
    served.set_faults([Fault("503", every=7)])
    served.reset()
    backend = RoutedBackend()

    async def many() -> list[memoryview]:
        return await asyncio.gather(
            *(fetch(backend, f"{served.url}/a.bin", ByteRange(i, 100), QUICK) for i in range(60))
        )

    change_io_settings(max_requests=8, max_requests_per_host=5)
    try:
        parts = run(many())
    finally:
        change_io_settings(max_requests=128, max_requests_per_host=128)
    assert [bytes(p) for p in parts] == [DATA[i : i + 100] for i in range(60)]
    assert served.counts()["max_in_flight"] == 5
    assert served.counts()["faults"]["503"] >= 8


class SyncBackend:
    """A plain object with plain methods, as users write them."""

    def get_range(self, url: str, start: int, length: int) -> bytes:
        if url == "mem:gone":
            raise FileNotFoundError(url)
        return DATA[start : start + length]

    def get_ranges(self, url: str, ranges: list[tuple[int, int]]) -> list[bytes]:
        return [self.get_range(url, *part) for part in ranges]


class AsyncBackend(SyncBackend):
    async def get_range(self, url: str, start: int, length: int) -> bytes:
        await asyncio.sleep(0)
        return SyncBackend.get_range(self, url, start, length)


@pytest.mark.parametrize("backend", [SyncBackend(), AsyncBackend()])
def test_a_users_own_backend(backend: StorageBackend) -> None:
    assert isinstance(backend, StorageBackend)
    assert read("mem:x", backend=backend) == EXPECTED
    assert _prefix(backend, "mem:x", 100) == (DATA[:100], None)
    assert _prefix(backend, "mem:x", 1 << 20) == (DATA, len(DATA))
    with pytest.raises(MissingObjectError):
        read("mem:gone", backend=backend)
    with pytest.raises(StorageError, match="expected 20 bytes, received 10"):
        read("mem:x", ByteRange(len(DATA) - 10, 20), backend=backend)


def test_obstore_backend_with_a_store_in_memory() -> None:
    store = MemoryStore()
    store.put("x/a.bin", DATA)
    backend = ObstoreBackend(store, url_prefix="https://here/")
    assert isinstance(backend, StorageBackend)
    assert read("https://here/x/a.bin", backend=backend) == EXPECTED
    assert read("x/a.bin", backend=backend) == EXPECTED
    assert [bytes(b) for b in run(backend.get_ranges("x/a.bin", [(0, 3), (7, 2)]))] == [DATA[:3], DATA[7:9]]
    assert _prefix(backend, "x/a.bin", 1 << 20) == (DATA, len(DATA))


def test_a_server_without_ranges_sends_the_whole_file_once(served: RangeServer) -> None:
    served.faults("ignore-range")
    served.reset()
    backend = RoutedBackend()

    async def many() -> list[memoryview]:
        return await asyncio.gather(
            *(fetch(backend, f"{served.url}/a.bin", ByteRange(i, 100), QUICK) for i in range(30))
        )

    assert [bytes(part) for part in run(many())] == [DATA[i : i + 100] for i in range(30)]
    assert served.counts()["requests"] <= 31  # all had asked before the first answer showed it; then one for the file
    before = served.counts()["requests"]
    assert bytes(run(fetch(backend, f"{served.url}/a.bin", PART, QUICK))) == EXPECTED
    assert served.counts()["requests"] == before


def test_a_large_file_of_a_server_without_ranges_is_an_error(served: RangeServer) -> None:
    served.faults("ignore-range")
    change_io_settings(whole_file_bytes=len(DATA) - 1)
    try:
        with pytest.raises(StorageError, match=r"ignores range requests .* has 100000 bytes.* whole_file_bytes"):
            read(f"{served.url}/a.bin", backend=RoutedBackend())
    finally:
        change_io_settings(whole_file_bytes=IoSettings().whole_file_bytes)


def test_a_file_is_not_the_one_indexed(served: RangeServer) -> None:
    address, backend = f"{served.url}/a.bin", RoutedBackend()
    _, facts = run(fetch_prefix(backend, address, 10))
    assert bytes(run(fetch(backend, address, PART, QUICK, facts))) == EXPECTED
    (served.directory / "a.bin").write_bytes(DATA[::-1])
    os.utime(served.directory / "a.bin", (1, 1))
    served.reset()
    with pytest.raises(FileChangedError, match=r"was changed since it was indexed \(2 attempts\): .* instead of"):
        run(fetch(backend, address, PART, QUICK, facts))
    assert served.counts()["requests"] == 2
    (served.directory / "a.bin").write_bytes(DATA[:500])
    with pytest.raises(FileChangedError, match="ends before that range"):
        run(fetch(backend, address, PART, QUICK, facts))


def test_one_odd_answer_after_another_failure_is_no_change(served: RangeServer) -> None:
    address, backend = f"{served.url}/a.bin", RoutedBackend()
    _, facts = run(fetch_prefix(backend, address, 10))
    served.set_faults([Fault("reset-early", times=1), Fault("other-version", times=1)])
    assert bytes(run(fetch(backend, address, PART, QUICK, facts))) == EXPECTED
    served.set_faults([Fault("500", times=1), Fault("other-version", times=2)])
    with pytest.raises(FileChangedError, match=r"was changed since it was indexed \(3 attempts\)"):
        run(fetch(backend, address, PART, QUICK, facts))


def test_credentials_that_were_refused_are_renewed_once(served: RangeServer) -> None:
    class Signing(ObstoreBackend):
        renewed = 0

        def credential(self, url: str) -> str:
            return f"signed with ticket {self.renewed}"

        def renew(self, url: str) -> bool:
            self.renewed += 1
            served.faults()
            return True

    backend = Signing(served.url + "/", client_options={"allow_http": True})
    served.faults("403")
    assert bytes(run(fetch(backend, f"{served.url}/a.bin", PART, QUICK))) == EXPECTED
    assert backend.renewed == 1

    class Refused(Signing):
        def renew(self, url: str) -> bool:
            self.renewed += 1
            return True

    backend = Refused(served.url + "/", client_options={"allow_http": True})
    served.faults("403")
    with pytest.raises(AccessDeniedError, match=r"\(2 attempts\): HTTP 403. The request was signed with ticket 1"):
        run(fetch(backend, f"{served.url}/a.bin", PART, QUICK))


def test_a_backend_that_never_answers_is_not_waited_for_for_ever() -> None:
    class Silent:
        async def get_range(self, url: str, start: int, length: int) -> bytes:
            await asyncio.Event().wait()
            return b""

        async def get_ranges(self, url: str, ranges: list[tuple[int, int]]) -> list[bytes]:
            return []

    change_io_settings(request_timeout=0.05)
    try:
        with pytest.raises(StorageTimeoutError, match=r"no complete answer came in time \(6 attempts\)"):
            read("mem://a.bin", backend=Silent())
    finally:
        change_io_settings(request_timeout=IoSettings().request_timeout)
