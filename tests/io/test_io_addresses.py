"""Which store an address belongs to, and what of it may be shown."""

from pathlib import Path

import pytest

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.addresses import Kind, Place, host, safe_address
from rasteret_sql.io.clouds.registry import route


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("/data/a b%20c.tif", Place(Kind.FILE, "", "/data/a b%20c.tif")),
        ("file:///data/a%20b.tif", Place(Kind.FILE, "", "/data/a b.tif")),
        ("file://localhost/data/a.tif", Place(Kind.FILE, "", "/data/a.tif")),
        ("file:/data/a.tif", Place(Kind.FILE, "", "/data/a.tif")),
        ("s3://bkt/x/a b.tif", Place(Kind.S3, "bkt", "x/a b.tif")),
        ("https://bkt.s3.amazonaws.com/x/a%20b.tif", Place(Kind.S3, "bkt", "x/a b.tif")),
        ("https://a.b.c.s3.eu-west-1.amazonaws.com/x.tif", Place(Kind.S3, "a.b.c", "x.tif", region="eu-west-1")),
        ("https://bkt.s3-us-west-2.amazonaws.com/x.tif", Place(Kind.S3, "bkt", "x.tif", region="us-west-2")),
        ("https://s3.us-west-2.amazonaws.com/bkt/k/x.tif", Place(Kind.S3, "bkt", "k/x.tif", region="us-west-2")),
        ("https://s3.amazonaws.com/bkt/x.tif", Place(Kind.S3, "bkt", "x.tif")),
        ("gs://bkt/x.tif", Place("gs", "bkt", "x.tif")),
        ("https://storage.googleapis.com/bkt/k/x.tif", Place("gs", "bkt", "k/x.tif")),
        ("https://acc.blob.core.windows.net/con/k/x.tif", Place("az", "con", "k/x.tif", account="acc")),
        ("abfs://con@acc.dfs.core.windows.net/k/x.tif", Place("az", "con", "k/x.tif", account="acc")),
        ("https://host:8/a/b%20c.tif", Place(Kind.HTTP, "https://host:8/", "a/b c.tif")),
        ("https://u:p@host/a.tif", Place(Kind.HTTP, "https://u:p@host/", "a.tif")),
        # a signature makes any host a plain one, and stays with the origin
        ("https://b.s3.amazonaws.com/x?Sig=1", Place(Kind.HTTP, "https://b.s3.amazonaws.com/?Sig=1", "x")),
        (
            "https://acc.blob.core.windows.net/c/x.tif?sig=a%2Fb",
            Place(Kind.HTTP, "https://acc.blob.core.windows.net/?sig=a%2Fb", "c/x.tif"),
        ),
        # paths that would change when split and joined are asked for whole
        ("https://host/a//b.tif", Place(Kind.HTTP, "https://host/a//b.tif", "")),
        ("https://host/a%2Fb.tif", Place(Kind.HTTP, "https://host/a%2Fb.tif", "")),
    ],
)  # fmt: skip
def test_route(address: str, place: Place) -> None:
    assert route(address) == place


def test_relative_paths_start_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert route("x/a.tif").path == str(tmp_path / "x/a.tif")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ftp://host/a.tif", ["ftp://host/a.tif", "s3://", "https://"]),
        ("file://elsewhere/a.tif", ["elsewhere", "this machine"]),
        ("s3://bkt", ["lacks a key", "s3://bucket/key"]),
        ("https:///a.tif", ["no host"]),
    ],
)
def test_addresses_without_a_store(address: str, words: list[str]) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        route(address)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://user:pw@host:8/a.tif?sig=secret#f", "https://host:8/a.tif"),
        ("s3://key:secret@bkt/a.tif?token=x", "s3://bkt/a.tif"),
        ("abfs://con@acc.dfs.core.windows.net/a.tif?sig=x", "abfs://con@acc.dfs.core.windows.net/a.tif"),
        ("/data/what?.tif", "/data/what?.tif"),
        ("https://host", "https://host"),
        ("https://host?sig=secret", "https://host"),
    ],
)
def test_safe_address(address: str, shown: str) -> None:
    assert safe_address(address) == shown


def test_host() -> None:
    assert [host(a) for a in ("/a.tif", "https://u:p@h:1/a?b", "s3://bkt/k")] == ["", "h:1", "bkt"]
