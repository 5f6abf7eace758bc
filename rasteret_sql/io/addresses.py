"""Takes addresses of files apart: the place that one means, its host, and what of it may be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # two letters or more: `C:` is a drive


class Kind:
    """Kinds of stores that more than their own file in `io/clouds` asks for; others are texts like these."""

    FILE = "file"
    HTTP = "http"
    S3 = "s3"


@dataclass(frozen=True, slots=True)
class Place:
    """The place to which an address leads: a store and a path in it."""

    kind: str
    """The scheme by which `io/clouds` knows the store."""
    root: str
    """Bucket, container, or origin with user info and query; for HTTP paths that cannot be split, the whole URL."""
    path: str
    """Path below the root, percent-decoded, without a slash at the start; for files the absolute path."""
    region: str | None = None
    """AWS region where the host name says it."""
    account: str | None = None
    """Azure storage account where the address says it."""


def is_local(address: str) -> bool:
    """True for the address of a file of this machine: a path, or a `file:` URL."""
    return SCHEME.match(address) is None or address[:5].lower() == "file:"


def rewrite_url(url: str, patterns: Mapping[str, str]) -> str:
    """Replace the longest prefix of `patterns` that a URL starts with, whichever way it leads; else as it is."""
    prefix = max((one for one in patterns if one and url.startswith(one)), key=len, default=None)
    return url if prefix is None else patterns[prefix] + url[len(prefix) :]


def host(address: str) -> str:
    """The host by which limits count: host and port of a URL, bucket of an object store, empty for local files."""
    if not SCHEME.match(address):
        return ""
    return urlsplit(address).netloc.rpartition("@")[2]


def safe_address(address: str) -> str:
    """The address as messages may show it: without query string, fragment and user info, which may hold secrets."""
    if not SCHEME.match(address):
        return address
    scheme, _, rest = address.partition("://")
    if not rest:
        return address.partition("?")[0]
    if scheme.lower() == "file":
        return address
    rest = rest.partition("?")[0]
    if scheme.lower() in ("http", "https"):
        rest = rest.partition("#")[0]
    authority, slash, path = rest.partition("/")
    if not scheme.lower().startswith("abfs"):  # there the part before @ is the container
        authority = authority.rpartition("@")[2]
    return f"{scheme}://{authority}{slash}{path}"
