"""What of an address is a secret, and what names the file."""

from __future__ import annotations

import pytest

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io import signed_addresses
from rasteret_sql.io.redact import expiry_of, plain_address, plain_text, plain_values

CASES = [
    # Azure: short names count as parts of a token only beside `sig`
    (("https://a.blob.core.windows.net/c/x.tif?st=1&se=2030-01-01T00%3A00%3A00Z&sp=r&sv=2024&sr=c&skoid=1&sktid=2"
      "&skt=3&ske=4&sks=b&skv=5&sig=a%2Bb%3D"), "https://a.blob.core.windows.net/c/x.tif"),
    ("https://h.org/x.tif?version=3&sv=2&sig=abc", "https://h.org/x.tif?version=3"),
    ("https://h.org/x.tif?sv=2&sp=eu&st=now", "https://h.org/x.tif?sv=2&sp=eu&st=now"),
    # AWS, both kinds of signature
    (("https://b.s3.eu-west-1.amazonaws.com/x.tif?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F2024"
      "&X-Amz-Date=20240101T000000Z&X-Amz-Expires=60&X-Amz-Security-Token=T&X-Amz-SignedHeaders=host"
      "&X-Amz-Signature=ab&versionId=7&x-id=GetObject"), "https://b.s3.eu-west-1.amazonaws.com/x.tif?versionId=7"),
    ("https://b.s3.amazonaws.com/x.tif?AWSAccessKeyId=A&Signature=b%3D&Expires=1", "https://b.s3.amazonaws.com/x.tif"),
    # Google and CloudFront
    ("https://storage.googleapis.com/b/x.tif?X-Goog-Algorithm=G&X-Goog-Credential=c&X-Goog-Signature=ab&generation=12",
     "https://storage.googleapis.com/b/x.tif?generation=12"),
    ("https://storage.googleapis.com/b/x.tif?GoogleAccessId=a@b&Expires=1&Signature=c",
     "https://storage.googleapis.com/b/x.tif"),
    ("https://d1.cloudfront.net/x.tif?Policy=p&Signature=s&Key-Pair-Id=K&v=2", "https://d1.cloudfront.net/x.tif?v=2"),
    ("https://d1.cloudfront.net/x.tif?Expires=1&Signature=s&Key-Pair-Id=K", "https://d1.cloudfront.net/x.tif"),
    # keys and tokens of all sorts, by any spelling
    *[(f"https://h.org/x.tif?a=1&{name}=abcdefgh&b=2", "https://h.org/x.tif?a=1&b=2")
      for name in ("token", "access_token", "accessToken", "api_key", "apikey", "api-key", "PL_API_KEY", "key", "Key",
                   "subscription-key", "Ocp-Apim-Subscription-Key", "sig", "signature", "credential", "private_token",
                   "password", "client_secret", "jwt", "auth", "hdnts", "connectid", "session_id", "t%6Fken")],
    # what names a file stays, as do names that only look alike
    *[(one, one) for one in (
        "https://h.org/get?file=a.tif&expires=never", "https://h.org/get?key=folder/a.tif", "https://h.org/x.tif?monkey=1",
        "https://h.org/x.tif?design=2", "https://h.org/x.tif?assignment=3", "https://h.org/x.tif?policy=4",
        "https://h.org/x.tif?token", "https://h.org/x.tif?", "s3://b/x.tif", "/data/x.tif?token=1", "file:///x?sig=2",
        "abfs://container@account.dfs.core.windows.net/x.tif", "https://h.org/@user/x.tif", "https://h.org/x.tif#part=2",
    ) if one != "https://h.org/x.tif?"],
    # user info
    ("https://user:word@h.org:8080/x.tif", "https://h.org:8080/x.tif"),
    ("https://user@h.org/x.tif?version=3", "https://h.org/x.tif?version=3"),
    ("s3://id:word@bucket/x.tif", "s3://bucket/x.tif"),
    ("https://h.org/x.tif#access_token=abc", "https://h.org/x.tif"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_kept():
    signed_addresses.forget()
    yield
    signed_addresses.forget()


@pytest.mark.parametrize(("address", "plain"), CASES)
def test_plain_addresses(address, plain):
    assert plain_address(address) == plain
    assert plain_address(plain) == plain
    assert plain_text(f"see {address} or") == f"see {plain} or" or not address.startswith("http")


def test_addresses_in_text():
    assert plain_text('{"a": "https://h/x.tif?b=1&sig=abc", "n": 3}') == '{"a": "https://h/x.tif?b=1", "n": 3}'
    assert plain_text(r"https:\/\/h\/x.tif?b=1\u0026sig=abc") == r"https:\/\/h\/x.tif?b=1"
    assert plain_text("<a>https://h/x?b=1&amp;sig=abc</a>") == "<a>https://h/x?b=1</a>"
    assert plain_text("sv=2&sig=abc%3D") == "sv=2&sig=***"
    kept = "cloud = 3, me@h.org, https://h.org/?q=1, a=b"
    assert plain_text(kept) is kept or plain_text(kept) == kept
    assert plain_values({"a": ["https://h/x?sig=1", 2, None], "b": True}) == {"a": ["https://h/x", 2, None], "b": True}


@pytest.mark.parametrize(
    ("query", "expires"),
    [
        ("se=1970-01-02T00%3A00%3A00Z&sig=a", 86400),
        ("se=1970-01-02&sig=a", 86400),
        ("X-Amz-Date=19700102T000000Z&X-Amz-Expires=60&X-Amz-Signature=a", 86460),
        ("X-Goog-Date=19700102T000000Z&X-Goog-Expires=60", 86460),
        ("Signature=a&Expires=77", 77),
        ("token=a", None),
        ("se=soon&sig=a", None),
        ("Signature=a&Expires=Thu", None),
    ],
)
def test_when_a_signature_ends(query, expires):
    assert expiry_of(query) == expires


def test_the_signed_form_is_kept_while_it_holds():
    plain = signed_addresses.PlainAddresses()
    holds, over = "https://u:p@h/a.tif?version=3&se=2999-01-01&sig=x", "https://h/b.tif?se=1999-01-01&sig=x"
    assert [plain(holds), plain(over), plain("https://h/c.tif")] == [
        "https://h/a.tif?version=3", "https://h/b.tif", "https://h/c.tif"
    ]  # fmt: skip
    assert signed_addresses.signed_form("https://h/a.tif?version=3") == holds
    assert signed_addresses.signed_form("https://h/a.tif") == "https://h/a.tif"
    assert signed_addresses.signed_form("https://h/b.tif") == "https://h/b.tif"
    assert signed_addresses.can_be_read(["https://h/a.tif?version=3", "https://h/b.tif", "https://h/c.tif"]) == 1
    assert "has expired" in signed_addresses.remedy("https://h/b.tif")
    assert not signed_addresses.remedy("https://h/a.tif?version=3")
    assert plain("https://h/b.tif?se=2999-01-01&sig=y") == "https://h/b.tif"
    assert signed_addresses.signed_form("https://h/b.tif").endswith("sig=y")


def test_credentials_of_the_backend_count_more():
    signed_addresses.PlainAddresses()("https://a.blob.core.windows.net/c/x.tif?sig=a")
    address = "https://a.blob.core.windows.net/c/x.tif"
    assert signed_addresses.signed_form(address, lambda cloud: cloud == "aws") == f"{address}?sig=a"
    assert signed_addresses.signed_form(address, lambda cloud: cloud == "azure") == address


def test_the_oldest_are_forgotten(monkeypatch):
    monkeypatch.setattr(signed_addresses, "MOST_KEPT", 3)
    plain = signed_addresses.PlainAddresses()
    for n in (0, 1, 2, 0, 3):
        plain(f"https://h/{n}.tif?sig=a")
    assert [signed_addresses.is_signed(f"https://h/{n}.tif") for n in range(4)] == [True, False, True, True]


def test_files_that_only_a_token_tells_apart_are_an_error():
    plain = signed_addresses.PlainAddresses()
    assert plain("https://h/download?token=abcdefgh") == "https://h/download"
    assert plain("https://h/download?token=abcdefgh") == "https://h/download"
    with pytest.raises(InvalidArgumentError, match="two files at https://h/download differ only in token") as caught:
        plain("https://h/download?token=ijklmnop")
    assert "ijkl" not in str(caught.value)
    for standard in ("sig=abc", "sig=def", "X-Amz-Signature=1", "X-Amz-Signature=2"):
        plain(f"https://h/other?{standard}")  # these cover the path, which so tells the file
    plain("https://h/download/a.tif?token=abcdefgh")
    plain("https://h/download/a.tif?token=ijklmnop")


def test_what_a_later_process_is_told():
    assert not signed_addresses.remedy("https://h/a.tif")
    signed_addresses.know_places(["https://h"])
    said = signed_addresses.remedy("https://h/a.tif")
    assert "signed when it was indexed" in said
    assert "rasteret_refresh" in said
    assert "backend" in said
    assert not signed_addresses.remedy("https://other/a.tif")
