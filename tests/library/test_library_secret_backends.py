"""What DuckDB says of a secret, read back, and what it then opens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rasteret_sql.errors import AccessDeniedError, InvalidArgumentError
from rasteret_sql.io.clouds.registry import OF_SECRET
from rasteret_sql.io.fetch import fetch_prefix
from rasteret_sql.io.loop import run
from rasteret_sql.library.secret_backends import backend_of_secret, parse_secret
from tests.sampling import some
from tests.servers.range_server import RangeServer
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY
from tests.servers.s3_gate import Bucket, S3Gate

CONTENT = b"the content of a file, which is not much"
HEAD = "name=x;type=%s;provider=config;serializable=true;scope=%s;"


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[S3Gate]:
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "x.bin").write_bytes(CONTENT)
    with RangeServer(tmp_path) as behind, S3Gate(behind.url) as gate:
        gate.buckets["scenes"] = Bucket("auto")
        yield gate


def test_values_that_hold_what_divides_them():
    """DuckDB escapes nothing in this text (here of 1.5.5), but its names are in order."""
    text = (
        "name=s;type=s3;provider=config;serializable=true;scope=s3://a,s3://b;endpoint=localhost:9000;key_id=AK;IA;"
        "region=us-east-1;secret=se;region=xx;session_token=tok=;url_style=path;use_ssl=false"
    )
    secret = parse_secret("s", "S3", ["s3://a", "s3://b"], text)
    assert (secret.name, secret.type, secret.scope) == ("s", "s3", ("s3://a", "s3://b"))
    assert secret.values == {
        "endpoint": "localhost:9000",
        "key_id": "AK;IA",
        "region": "us-east-1",
        "secret": "se;region=xx",
        "session_token": "tok=",
        "url_style": "path",
        "use_ssl": "false",
    }
    assert "se;region" not in repr(secret)


def test_a_secret_of_nothing():
    secret = parse_secret("h", "http", [], "name=h;type=http;provider=config;serializable=true;scope=")
    assert secret.values == {}
    assert backend_of_secret(secret).credential("https://example.com/x.tif") == "sent without credentials"


def read(backend, address: str) -> bytes:
    data, _ = run(fetch_prefix(backend, address, len(CONTENT)))
    return bytes(data)


@pytest.mark.parametrize(
    ("kind", "scope", "address"),
    some(
        [
            ("s3", "s3://", "s3://scenes/x.bin"),
            ("s3", "s3://scenes", "https://scenes.s3.us-west-2.amazonaws.com/x.bin"),
            ("r2", "r2://", "r2://scenes/x.bin"),
            ("gcs", "gs://", "gs://scenes/x.bin"),
            ("gcs", "gs://", "https://storage.googleapis.com/scenes/x.bin"),
        ],
        3,
    ),
)
def test_keys_sign_whichever_way_the_bucket_is_written(gate: S3Gate, kind: str, scope: str, address: str):
    endpoint = gate.url.removeprefix("http://")
    region = "region=auto;" if kind == "s3" else ""
    text = HEAD % (kind, scope) + f"endpoint={endpoint};key_id={ACCESS_KEY};{region}secret={SECRET_KEY};use_ssl=false"
    backend = backend_of_secret(parse_secret("x", kind, [scope], text))
    if address.startswith("https://scenes"):
        gate.buckets["scenes"].region = "us-west-2"  # as the address says
        backend = backend_of_secret(parse_secret("x", kind, [scope], text.replace("region=auto;", "")))
    assert read(backend, address) == CONTENT
    assert {(seen.access_key, seen.status) for seen in gate.log} == {(ACCESS_KEY, 206)}
    assert backend.credential(address) == 'signed with what the secret "x" gave'


def test_an_error_names_the_secret_and_not_what_is_in_it(gate: S3Gate):
    text = HEAD % ("s3", "s3://") + f"endpoint={gate.url};key_id={ACCESS_KEY};region=auto;secret=not-{SECRET_KEY}"
    backend = backend_of_secret(parse_secret("x", "s3", ["s3://"], text))
    with pytest.raises(AccessDeniedError, match='signed with what the secret "x" gave') as caught:
        read(backend, "s3://scenes/x.bin")
    assert SECRET_KEY not in str(caught.value)
    assert SECRET_KEY not in repr(backend)


@pytest.mark.parametrize("address", ["gs://scenes/x.tif", "s3://scenes-of-others/x.tif", "az://scenes/x.tif"])
def test_what_is_not_in_its_scope_is_read_as_without_it(address: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "anybody")
    text = HEAD % ("s3", "s3://scenes") + f"key_id={ACCESS_KEY};secret={SECRET_KEY}"
    backend = backend_of_secret(parse_secret("x", "s3", ["s3://scenes"], text))
    assert backend.credential(address).startswith("anonymous")
    assert backend.credential("s3://scenes/x.tif") == 'signed with what the secret "x" gave'


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("bearer_token=a-token-of-google", 'signed with what the secret "x" gave'),
        ("", "anonymous"),
    ],
)
def test_tokens_of_google(values: str, words: str):
    backend = backend_of_secret(parse_secret("x", "gcs", ["gcs://", "gs://"], HEAD % ("gcs", "gs://") + values))
    assert backend.credential("gs://scenes/x.tif").startswith(words)
    assert backend.credential("https://storage.googleapis.com/scenes/x.tif").startswith(words)


def test_a_token_of_azure_is_for_its_account_alone():
    text = HEAD % ("azure", "az://") + "access_token=a-token-of-azure;account_name=ours"
    backend = backend_of_secret(parse_secret("x", "azure", ["azure://", "az://", "abfss://"], text))
    assert "the secret" in backend.credential("az://scenes/x.tif")
    assert "the secret" in backend.credential("https://ours.blob.core.windows.net/scenes/x.tif")
    assert "the secret" not in backend.credential("https://theirs.blob.core.windows.net/scenes/x.tif")


def test_a_type_that_cannot_be_used():
    with pytest.raises(InvalidArgumentError, match=f"postgres; those that can be used are {', '.join(OF_SECRET)}"):
        backend_of_secret(parse_secret("db", "postgres", [], "name=db;type=postgres;scope=;password=hidden"))
