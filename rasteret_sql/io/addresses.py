"""Addresses of files: which store an address belongs to, and how an address may be shown.

`route` is the one table from address to store. Its order matters: a query string carries a signature, so such a URL is
asked for exactly as it stands, whichever host it names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from rasteret_sql.errors import InvalidArgumentError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # two letters or more: `C:` is a drive
_S3_VIRTUAL = re.compile(r"(?P<bucket>.+?)\.s3(?:[.-](?:dualstack\.)?(?P<region>[a-z0-9-]+))?\.amazonaws\.com(?:\.cn)?")
_S3_PATH = re.compile(r"s3(?:[.-](?:dualstack\.)?(?P<region>[a-z0-9-]+))?\.amazonaws\.com(?:\.cn)?")
_AZURE = re.compile(r"(?P<account>[a-z0-9]+)\.(?:blob|dfs)\.core\.windows\.net")
_AZURE_SCHEMES = ("az", "azure", "abfs", "abfss", "adl")
_KNOWN = "a path, file://, http://, https://, s3://, gs://, az:// or abfs://"


class Kind(StrEnum):
    """Kinds of stores."""

    FILE = "file"
    HTTP = "http"
    S3 = "s3"
    GCS = "gs"
    AZURE = "az"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an address leads: a store and a path in it."""

    kind: Kind
    root: str
    """Bucket, container, or origin with user info and query; for HTTP paths that cannot be split, the whole URL."""
    path: str
    """Path below the root, percent-decoded, without a slash at the start; for files the absolute path."""
    region: str | None = None
    """AWS region where the host name says it."""
    account: str | None = None
    """Azure storage account where the address says it."""


def route(address: str) -> Place:
    """Find the store and the path that an address means.

    Raises:
        InvalidArgumentError: the address has an unknown scheme or lacks a bucket, host or path.
    """
    if not _SCHEME.match(address):
        return Place(Kind.FILE, "", str(Path(address).expanduser().absolute()))
    scheme = address.split(":", 1)[0].lower()
    if scheme == "file":
        return _file(address)
    if scheme in ("s3", "s3a", "s3n"):
        return _bucket(Kind.S3, address)
    if scheme in ("gs", "gcs"):
        return _bucket(Kind.GCS, address)
    if scheme in _AZURE_SCHEMES:
        return _azure(address)
    if scheme in ("http", "https"):
        return _http(address)
    msg = f'no store is known for "{safe_address(address)}": an address is {_KNOWN}'
    raise InvalidArgumentError(msg)


def host(address: str) -> str:
    """What limits per host count by: host and port of a URL, bucket of an object store, empty for local files."""
    if not _SCHEME.match(address):
        return ""
    return urlsplit(address).netloc.rpartition("@")[2]


def safe_address(address: str) -> str:
    """The address as messages may show it: without query string, fragment and user info, which may hold secrets."""
    if not _SCHEME.match(address):
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


def _file(address: str) -> Place:
    parts = urlsplit(address)
    if parts.netloc not in ("", "localhost"):
        msg = f'"{address}" names a file on the host "{parts.netloc}": only files of this machine can be opened'
        raise InvalidArgumentError(msg)
    # A `?` or `#` in a file URL is part of a name that was not encoded, not a query.
    path = re.sub(r"^file:(//(localhost)?)?", "", address, flags=re.IGNORECASE)
    return Place(Kind.FILE, "", str(Path(unquote(path)).absolute()))


def _bucket(kind: Kind, address: str) -> Place:
    bucket, _, key = address.partition("://")[2].partition("/")
    bucket = bucket.rpartition("@")[2]
    if not bucket or not key:
        msg = f'"{safe_address(address)}" lacks a {"key" if bucket else "bucket"}: expected {kind}://bucket/key'
        raise InvalidArgumentError(msg)
    return Place(kind, bucket, key)


def _azure(address: str) -> Place:
    """`abfs://container@account.dfs.core.windows.net/path`, `az://account/container/path` or `az://container/path`.

    The last two are told apart by the store: an account configured for the process makes the first part a container.
    """
    authority, _, path = address.partition("://")[2].partition("/")
    container, at, account_host = authority.partition("@")
    account = account_host.partition(".")[0] if at else None
    if not container or not path:
        msg = f'"{safe_address(address)}" lacks a container or path: expected az://account/container/path'
        raise InvalidArgumentError(msg)
    return Place(Kind.AZURE, container, path, account=account)


def _http(address: str) -> Place:
    parts = urlsplit(address)
    name = (parts.hostname or "").lower()
    if not name:
        msg = f'"{safe_address(address)}" has no host: expected {parts.scheme}://host/path'
        raise InvalidArgumentError(msg)
    path = parts.path.lstrip("/")
    plain = not parts.query and parts.port is None and not parts.username
    if plain and (place := _object_store(name, path)):
        return place
    root = urlunsplit((parts.scheme, parts.netloc, "/", parts.query, ""))
    segments = parts.path[1:].split("/")
    # Stores join root and path segment by segment; a path with empty or dotted segments or an encoded slash would
    # change on the way, so it keeps a store of its own.
    if "%2f" in parts.path.lower() or any(segment in ("", ".", "..") for segment in segments):
        return Place(Kind.HTTP, urlunsplit((parts.scheme, parts.netloc, parts.path, parts.query, "")), "")
    return Place(Kind.HTTP, root, unquote(path))


def _object_store(name: str, path: str) -> Place | None:
    """The bucket behind a host name of S3, Google Cloud Storage or Azure; None for all other hosts."""
    path = unquote(path)
    first, _, rest = path.partition("/")
    if match := _S3_PATH.fullmatch(name):
        return Place(Kind.S3, first, rest, region=match["region"]) if rest else None
    if match := _S3_VIRTUAL.fullmatch(name):
        return Place(Kind.S3, match["bucket"], path, region=match["region"]) if path else None
    if name == "storage.googleapis.com":
        return Place(Kind.GCS, first, rest) if rest else None
    if match := _AZURE.fullmatch(name):
        return Place(Kind.AZURE, first, rest, account=match["account"]) if rest else None
    return None
