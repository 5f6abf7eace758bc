"""The troubleshooting table of the authentication guide: what it says is seen is what is said. B34, B35, point 6."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rasteret_sql
from rasteret_sql import DatasetDescriptor, register
from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.catalog.dataset_backend import backend_for
from rasteret_sql.errors import FileChangedError, RasteretError
from rasteret_sql.io.clouds.planetary_computer import SasTokenEndpoint
from rasteret_sql.io.fetch import RetryPolicy, fetch, fetch_prefix
from rasteret_sql.io.loop import run
from rasteret_sql.io.routed_backend import RoutedBackend
from rasteret_sql.io.settings import IoSettings, change_io_settings
from rasteret_sql.library.create_backend import create_backend
from tests.sampling import some
from tests.servers.internet import _Authority
from tests.servers.range_server import RangeServer
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY
from tests.servers.s3_gate import Bucket, S3Gate

OTHER_SECRET_KEY = "another-secret-key-of-troubleshooting-00000"
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "authentication.md"
QUICK = RetryPolicy(retries=1, short_retries=1, first_wait=0.01, busy_wait=0.01, window=2)


def rows() -> list[tuple[str, str]]:
    """(what is seen, what to do) of each row of the table."""
    table = GUIDE.read_text("utf-8").partition("| seen |")[2]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines()[2:] if line.startswith("|")]
    return [(seen, remedy) for seen, _, remedy in cells]


def words_of(seen: str) -> list[str]:
    return re.findall(r"`([^`]+)`", seen)


@pytest.fixture
def gate() -> Iterator[S3Gate]:
    with S3Gate("http://127.0.0.1:9") as gate:  # nothing is behind it: all is refused
        gate.buckets.update(private=Bucket("us-east-1"), paid=Bucket("us-east-1", requester_pays=True))
        yield gate


def s3(gate: S3Gate, secret_key: str = SECRET_KEY, access_key: str = ACCESS_KEY, token: str = "") -> RoutedBackend:
    keys = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key, "AWS_SESSION_TOKEN": token}
    return RoutedBackend(environment={"AWS_ENDPOINT_URL": gate.url, "AWS_REGION": "us-east-1", **keys})


def refused(backend: RoutedBackend, address: str) -> RasteretError:
    with pytest.raises(RasteretError) as caught:
        run(fetch(backend, address, ByteRange(0, 10), QUICK))
    return caught.value


def anonymous(server: RangeServer, gate: S3Gate) -> RasteretError:
    return refused(RoutedBackend(environment={"AWS_ENDPOINT_URL": gate.url}), "s3://private/a.tif")


def unknown_key(server: RangeServer, gate: S3Gate) -> RasteretError:
    return refused(s3(gate, access_key="AKIDNOBODYKNOWS00001"), "s3://private/a.tif")


def wrong_secret(server: RangeServer, gate: S3Gate) -> RasteretError:
    return refused(s3(gate, secret_key=OTHER_SECRET_KEY), "s3://private/a.tif")


def no_payer(server: RangeServer, gate: S3Gate) -> RasteretError:
    return refused(s3(gate), "s3://paid/a.tif")


def expired(server: RangeServer, gate: S3Gate) -> RasteretError:
    access_key, secret_key, token = gate.issue(uses=0)
    return refused(s3(gate, secret_key, access_key, token), "s3://private/a.tif")


def another_region(server: RangeServer, gate: S3Gate) -> RasteretError:
    server.faults("301")
    return refused(RoutedBackend(environment={"AWS_ENDPOINT_URL": server.url}), "s3://bucket/a.tif")


def no_sas(server: RangeServer, gate: S3Gate) -> RasteretError:
    server.faults("403")
    environment = {"AZURE_STORAGE_ENDPOINT": server.url, "AZURE_STORAGE_ACCOUNT_NAME": "acc"}
    return refused(RoutedBackend(environment=environment), "az://container/a.tif")


def no_login(server: RangeServer, gate: S3Gate) -> RasteretError:
    register(DatasetDescriptor(id="nasa/t", requires_auth=True, s3_credentials_url=f"{server.url}/s3credentials"))
    with pytest.raises(RasteretError) as caught:
        backend_for("nasa/t", build=True)
    return caught.value


def no_token(server: RangeServer, gate: S3Gate) -> RasteretError:
    server.faults("403")
    backend = create_backend(SasTokenEndpoint(f"{server.url}/token"))
    return refused(backend, "abfs://container@acc.dfs.core.windows.net/a.tif")


def no_credentials(server: RangeServer, gate: S3Gate) -> RasteretError:
    def refuses() -> dict[str, str]:
        raise PermissionError(OTHER_SECRET_KEY)

    return refused(create_backend(refuses), "s3://private/a.tif")


def missing(server: RangeServer, gate: S3Gate) -> RasteretError:
    return refused(RoutedBackend(), f"{server.url}/none.tif")


def no_ranges(server: RangeServer, gate: S3Gate) -> RasteretError:
    server.faults("ignore-range")
    change_io_settings(whole_file_bytes=100)
    try:
        return refused(RoutedBackend(), f"{server.url}/a.bin")
    finally:
        change_io_settings(whole_file_bytes=IoSettings().whole_file_bytes)


def changed(server: RangeServer, gate: S3Gate) -> RasteretError:
    backend, address = RoutedBackend(), f"{server.url}/a.bin"
    _, facts = run(fetch_prefix(backend, address, 10))
    server.faults("other-version")
    with pytest.raises(FileChangedError) as caught:
        run(fetch(backend, address, ByteRange(0, 10), QUICK, facts))
    return caught.value


def no_host(server: RangeServer, gate: S3Gate) -> RasteretError:
    return refused(RoutedBackend(), "http://no-such-host.invalid/a.tif")


def no_connection(server: RangeServer, gate: S3Gate) -> RasteretError:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return refused(RoutedBackend(), f"http://127.0.0.1:{bound.getsockname()[1]}/a.tif")


def no_trust(server: RangeServer, gate: S3Gate) -> RasteretError:
    with own_certificate(server.directory) as url:
        return refused(RoutedBackend(), f"{url}/a.tif")


def too_slow(server: RangeServer, gate: S3Gate) -> RasteretError:
    server.faults("stall-early")
    return refused(RoutedBackend(IoSettings(request_timeout=0.2)), f"{server.url}/a.bin")


def busy(server: RangeServer, gate: S3Gate) -> RasteretError:
    server.faults("429")
    return refused(RoutedBackend(), f"{server.url}/a.bin")


def no_headers(server: RangeServer, gate: S3Gate) -> RasteretError:
    return unsearched(server, "401")


def wrong_headers(server: RangeServer, gate: S3Gate) -> RasteretError:
    return unsearched(server, "403")


def unsearched(server: RangeServer, status: str) -> RasteretError:
    server.faults(status)
    with pytest.raises(RasteretError) as caught:
        rasteret_sql.build_from_stac(
            name="x", stac_api=f"{server.url}/catalog.json", workspace_dir=server.directory / "workspace"
        )
    assert "headers := {" in str(caught.value)
    return caught.value


@contextlib.contextmanager
def own_certificate(directory: Path) -> Iterator[str]:
    """A server whose certificate nobody trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_Authority(directory).certify("localhost"))
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:  # closed: the test is over
                return
            with contextlib.suppress(OSError), connection:
                context.wrap_socket(connection, server_side=True).close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{listening.getsockname()[1]}"
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        listening.close()
        thread.join(timeout=10)


Case = Callable[[RangeServer, S3Gate], RasteretError]
CASES: dict[str, Case] = {
    "The request was anonymous": anonymous,
    "InvalidAccessKeyId": unknown_key,
    "SignatureDoesNotMatch": wrong_secret,
    "AccessDenied": no_payer,
    "ExpiredToken": expired,
    "as S3 does for a bucket of another region": another_region,
    "The container needs a SAS token": no_sas,
    "needs a login, and none was found": no_login,
    "gave no credentials": no_credentials,
    "the token endpoint": no_token,
    "there is no such file": missing,
    "the server ignores range requests": no_ranges,
    "the file was changed since it was indexed": changed,
    "the host name is unknown": no_host,
    "no connection could be made": no_connection,
    "its TLS certificate is not trusted": no_trust,
    "answered 401": no_headers,
    "answered 403": wrong_headers,
    "no complete answer came in time": too_slow,
    "the server asks to slow down": busy,
}


@pytest.mark.parametrize("words", some(CASES, 4))
def test_b34_b35_what_is_seen(words: str, range_server: RangeServer, gate: S3Gate, monkeypatch, tmp_path) -> None:
    for name in ("EARTHDATA_TOKEN", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    (range_server.directory / "a.bin").write_bytes(bytes(range(256)) * 40)
    error = CASES[words](range_server, gate)
    message = str(error)
    assert words in message
    seen = next(seen for seen, _ in rows() if words in words_of(seen))
    for name in re.findall(r"\b(\w+Error)\b", seen):
        assert name in {one.__name__ for one in type(error).__mro__}, type(error).__mro__
    for hidden in (ACCESS_KEY, SECRET_KEY, OTHER_SECRET_KEY):
        assert hidden not in message


def test_every_row_is_tried() -> None:
    told = [words for seen, _ in rows() for words in words_of(seen)]
    assert sorted(told) == sorted(CASES)
    assert all(remedy for _, remedy in rows())
