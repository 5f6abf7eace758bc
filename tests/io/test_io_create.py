"""create_backend and automatic backends, over the real protocol.

Promises A1 to A18, B13, B15, B16, B21, B22, B28, B35.
"""

import re
from datetime import timedelta
from pathlib import Path

import numpy as np
import obstore
import pytest
import rasterio
from obstore.store import MemoryStore

import rasteret_sql
from rasteret_sql import CloudConfig, ObstoreBackend, StorageBackend, create_backend
from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.errors import AccessDeniedError, InvalidArgumentError
from rasteret_sql.io.fetch import fetch
from rasteret_sql.io.loop import run
from tests.servers.s3 import S3Server

DATA = bytes(range(200))


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """A private bucket, and no key in the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
    s3_server.store("private-one").put("x/a.bin", DATA)
    return s3_server


def read(backend: StorageBackend, address: str = "s3://private-one/x/a.bin") -> bytes:
    return bytes(run(fetch(backend, address, ByteRange(10, 20))))


def test_a1_a6_a8_arguments() -> None:
    assert isinstance(create_backend(), StorageBackend)
    assert create_backend(region="eu-west-1") is create_backend(default_s3_config={"region": "eu-west-1"})
    both = create_backend(region="eu-west-1", default_s3_config={"aws_region": "eu-west-2"})
    assert both is create_backend(region="eu-west-2")
    assert both is not create_backend(region="eu-west-1")
    with pytest.raises(InvalidArgumentError, match=r'no setting "aws_acess_key".*Known: access_key_id') as caught:
        create_backend(default_s3_config={"aws_acess_key": "AKIDSECRET"})
    assert "AKIDSECRET" not in str(caught.value)
    with pytest.raises(InvalidArgumentError, match="when called"):
        create_backend(credential_provider=3)


CLIENT = {
    "allow_http": True,
    "allow_invalid_certificates": "false",
    "connect_timeout": "5s",
    "timeout": timedelta(seconds=20),
    "read_timeout": 7.5,
    "pool_idle_timeout": 10,
    "default_content_type": "image/tiff",
    "default_headers": {"x-a": "b"},
    "http1_only": "true",
    "http2_only": False,
    "http2_keep_alive_interval": "5s",
    "http2_keep_alive_timeout": "5s",
    "http2_keep_alive_while_idle": True,
    "pool_max_idle_per_host": 3,
    "proxy_excludes": "localhost",
    "randomize_addresses": False,
    "user_agent": "mine/1",
}
"""A value of the client's options each."""


def test_every_key_of_obstores_store_is_taken(bucket: S3Server) -> None:
    stubs = Path(obstore.__file__).parent / "_store"
    listed = set()
    for file, name in (("_aws.pyi", "S3Config"), ("_client.pyi", "ClientConfig")):
        (body,) = re.findall(rf"class {name}\(.*?(?=\nclass |\Z)", (stubs / file).read_text(), re.DOTALL)
        listed |= set(re.findall(r"^    ([a-z0-9_]+): ", body, re.MULTILINE))
    assert len(listed) > 35
    for name in listed - {"bucket", "access_key_id", "secret_access_key"}:
        with pytest.raises(InvalidArgumentError) as caught:
            create_backend(default_s3_config={name: object()})
        assert "no setting" not in str(caught.value), name
    backend = create_backend(region="us-east-1", default_s3_config={**bucket.keys, **CLIENT})
    assert read(backend) == DATA[10:30]
    assert backend is create_backend(region="us-east-1", default_s3_config={**bucket.keys, **CLIENT})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"alow_http": True}, 'no setting "alow_http": did you mean "allow_http"'),
        ({"bucket": "b"}, "the address says the bucket"),
        ({"timeout": "SECRET"}, "timeout has to be a duration such as 30 or '30s'"),
        ({"allow_http": "SECRET"}, 'allow_http is "true" or "false"'),
        ({"default_headers": "SECRET"}, "default_headers has to be headers by name"),
        ({"root_certificate": "SECRET"}, "root_certificate has to be certificates in PEM"),
        ({"user_agent": 3}, "user_agent has to be a text"),
    ],
)
def test_settings_that_cannot_be_used_are_named_without_their_value(given: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidArgumentError, match=says) as caught:
        create_backend(default_s3_config=given)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["", "aws_"])
def test_b15_b16_explicit_keys_sign(bucket: S3Server, prefix: str) -> None:
    keys = {name.replace("aws_", prefix): value for name, value in bucket.keys.items()}
    backend = create_backend(region="us-east-1", default_s3_config=keys)
    assert read(backend) == DATA[10:30]
    assert not any(value in repr(backend) for value in keys.values())
    for anonymous in (create_backend(), create_backend(default_s3_config={**keys, "skip_signature": "true"})):
        with pytest.raises(AccessDeniedError, match="AWS_ACCESS_KEY_ID"):
            read(anonymous)


def test_a3_a_provider_of_ones_own(bucket: S3Server) -> None:
    calls = []

    def provider() -> dict[str, object]:
        calls.append(1)
        keys = bucket.keys
        return {
            "access_key_id": keys["aws_access_key_id"],
            "secret_access_key": keys["aws_secret_access_key"],
            "expires_at": None,
        }

    backend = create_backend(provider, region="us-east-1")
    assert [read(backend) for _ in range(3)] == [DATA[10:30]] * 3
    assert len(calls) == 1

    def broken() -> dict[str, object]:
        raise RuntimeError("https://host/?sig=TOPSECRET")

    with pytest.raises(AccessDeniedError, match="broken gave no credentials: RuntimeError") as caught:
        read(create_backend(broken, region="us-east-1"))
    assert "TOPSECRET" not in str(caught.value)


def test_a20_b12_requester_pays_without_and_with_credentials(bucket: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CloudConfig("aws", requester_pays=True, region="us-east-1")
    with pytest.raises(AccessDeniedError, match=r"no AWS credentials were found.*AWS_ACCESS_KEY_ID"):
        read(create_backend(cloud_config=config))
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    assert read(create_backend(cloud_config=config)) == DATA[10:30]


def test_a4_a5_a7_b22_rewriting_and_buckets() -> None:
    config = {"provider": "aws", "region": "eu-central-1", "requester_pays": True}
    config["url_patterns"] = {
        "https://h.org/": "s3://far/",
        "https://h.org/data/": "s3://near/x/",
        "s3://up/": "https://w.org/",
    }
    backend = create_backend(cloud_config=config, region="us-west-1")
    assert backend.store_of("https://h.org/data/a.tif")[1] == "x/a.tif"
    near, far = backend.store_of("https://h.org/data/a.tif")[0], backend.store_of("https://h.org/a.tif")[0]
    assert (near.config["region"], far.config["region"]) == ("eu-central-1", "eu-central-1")
    other = backend.store_of("s3://other/a.tif")[0]
    assert (other.config["region"], str(other.config["request_payer"]).lower()) == ("us-west-1", "true")
    web, path = backend.store_of("s3://up/a.tif")
    assert (web.url.rstrip("/"), path) == ("https://w.org", "a.tif")
    assert web is create_backend().store_of("https://w.org/b.tif")[0]  # one pool an origin


def test_a14_a15_a16_a17_obstore_backend(tmp_path: Path) -> None:
    store = MemoryStore()
    store.put("x/a.bin", DATA)
    backend = ObstoreBackend(store, url_prefix="https://h.org/")
    assert bytes(run(backend.get_range("https://h.org/x/a.bin", 1, 3))) == DATA[1:4]
    assert bytes(run(backend.get_range("x/a.bin", 1, 3))) == DATA[1:4]
    assert [bytes(part) for part in run(backend.get_ranges("x/a.bin", [(5, 2), (0, 1)]))] == [DATA[5:7], DATA[:1]]
    assert run(backend.get_ranges("x/a.bin", [])) == []
    given = ObstoreBackend("https://h.org/base/", client_options={"timeout": "7s"})
    assert (given.path("https://h.org/base/a.bin"), given.store.client_options) == ("a.bin", {"timeout": "7s"})


def test_b20_b28_d12_configs_count_at_build_and_at_read(bucket: S3Server, tmp_path: Path, monkeypatch) -> None:
    """A registered config rewrites and signs, in Python and in SQL, with nothing passed."""
    profile = {"driver": "GTiff", "width": 16, "height": 16, "count": 1, "dtype": "uint8", "crs": "EPSG:4326"}
    with rasterio.open(tmp_path / "a.tif", "w", transform=rasterio.Affine(0.1, 0, 10, 0, -0.1, 50), **profile) as file:
        file.write(np.full((16, 16), 7, "uint8"), 1)
    bucket.store("private-one").put("d/a.tif", (tmp_path / "a.tif").read_bytes())
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_REGION")
    CloudConfig.register(
        "mine", CloudConfig("aws", True, "us-east-1", {"https://cdn.example.com/": "s3://private-one/d/"})
    )
    table = tmp_path / "t.parquet"
    rasteret_sql.connect().sql(
        "SELECT 'a' AS id, TIMESTAMP '2024-01-01' AS datetime, "
        "'POLYGON ((10 48.4, 11.6 48.4, 11.6 50, 10 50, 10 48.4))' AS geometry, "
        "{'B': {'href': 'https://cdn.example.com/a.tif'}} AS assets"
    ).write_parquet(str(table))
    built = rasteret_sql.build_from_table(
        str(table), name="m", data_source="my-org/mine", workspace_dir=tmp_path / "ws", enrich_cog=True
    )
    assert built.get_numpy((10.2, 48.8, 10.8, 49.2), ["B"]).max() == 7
    con = rasteret_sql.connect(workspace_dir=tmp_path / "ws")
    area = "'POLYGON ((10.2 48.8, 10.8 48.8, 10.8 49.2, 10.2 49.2, 10.2 48.8))'"
    assert con.sql(f"SELECT zonal_stats(id, 'B', {area}).mean FROM rasteret.m").fetchall() == [(7.0,)]
