"""Logins that give temporary credentials: promises B1, B7, B29, B30, B34, C5, C10, C11, D30."""

from datetime import timedelta

import pytest

from rasteret_sql import DatasetDescriptor, register
from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.catalog.dataset_backend import backend_for
from rasteret_sql.errors import AccessDeniedError, InvalidArgumentError
from rasteret_sql.io.clouds.planetary_computer import SasTokenEndpoint
from rasteret_sql.io.fetch import fetch
from rasteret_sql.io.loop import run
from tests.servers.earthdata import PASSWORD, USER, Login
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY, S3Server
from tests.servers.secrets import planted


@pytest.fixture
def login(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path):
    for name in ("EARTHDATA_TOKEN", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EARTHDATA_HOST", "localhost")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    s3_server.store("lp-protected").put("a.bin", bytes(range(100)))
    with Login((ACCESS_KEY, SECRET_KEY)) as server:
        register(DatasetDescriptor(id="nasa/x", requires_auth=True, s3_credentials_url=f"{server.url}/s3credentials"))
        yield server


def read(backend) -> bytes:
    return bytes(run(fetch(backend, "s3://lp-protected/a.bin", ByteRange(1, 4))))


@pytest.mark.parametrize("place", ["netrc", "environment"])
def test_c10_c11_b7_b30_a_login_is_found_and_used_once(login: Login, monkeypatch, tmp_path, place: str) -> None:
    if place == "netrc":
        planted(tmp_path / "netrc").write_text(f"machine localhost login {USER} password {PASSWORD}\n")
        (tmp_path / "netrc").chmod(0o600)
    else:
        monkeypatch.setenv("EARTHDATA_USERNAME", USER)
        monkeypatch.setenv("EARTHDATA_PASSWORD", PASSWORD)
    backend = backend_for("nasa/x", build=True)
    assert backend is not None
    assert [read(backend) for _ in range(3)] == [bytes(range(1, 5))] * 3
    assert backend_for("nasa/x", build=False) is backend
    assert login.given == 1
    assert PASSWORD not in repr(backend)


def test_c5_b34_without_a_login(login: Login, monkeypatch) -> None:
    with pytest.raises(ValueError, match=r"needs a login.*~/\.netrc.*earthdata.*backend="):
        backend_for("nasa/x", build=True)
    assert backend_for("nasa/x", build=False) is None
    monkeypatch.setenv("EARTHDATA_USERNAME", USER)
    monkeypatch.setenv("EARTHDATA_PASSWORD", "wrong-secret")
    refused = backend_for("nasa/x", build=True)
    with pytest.raises(AccessDeniedError, match="gave no credentials: HTTP 401") as caught:
        read(refused)
    assert "wrong-secret" not in str(caught.value)


def test_d30_requires_auth_alone_blocks_nothing() -> None:
    register(DatasetDescriptor(id="my/private", requires_auth=True))
    assert backend_for("my/private", build=True) is None


@pytest.mark.parametrize(("seconds", "requests"), [(3600, 1), (30, 3)])
def test_b1_b29_b32_sas_tokens_are_kept_until_they_expire(seconds: int, requests: int) -> None:
    """F3: a token endpoint is taken, by a class of ours."""
    with Login(("", ""), timedelta(seconds=seconds)) as server:
        endpoint = SasTokenEndpoint(f"{server.url}/token")
        provider = endpoint.of_container("acc", "con")
        for _ in range(3):
            assert run(provider())["sas_token"] == "sig=abc&se=x"
        assert server.given == requests
        assert "sig" not in repr(endpoint)
    with pytest.raises(InvalidArgumentError, match="token endpoint is an address"):
        SasTokenEndpoint("nothing")
