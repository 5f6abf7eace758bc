"""Addresses of STAC documents and assets: local paths and URLs, and what a relative href means beside them."""

from __future__ import annotations

import posixpath
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from rasteret_sql.errors import InvalidArgumentError


def is_url(address: str) -> bool:
    """True for `https://...`, `s3://...` and the like; False for local paths and file URIs."""
    scheme, sep, _ = address.partition("://")
    return bool(sep) and scheme.isascii() and scheme[:1].isalpha() and scheme.lower() != "file"


def local_path(address: str) -> Path:
    """The absolute path of a local address: a path, `~/...`, or a file URI (percent-decoded)."""
    if address[:7].lower() == "file://":
        parts = urlsplit(address)
        if parts.netloc not in ("", "localhost"):
            raise InvalidArgumentError(
                f'file URI "{address}" names the host "{parts.netloc}"; only files of this machine can be read, '
                "write file:///path"
            )
        return Path(unquote(parts.path))
    return Path(address).expanduser().absolute()


def absolute(address: str) -> str:
    """A URL as it is; a local address as a normalised absolute path, links in it left alone."""
    if is_url(address):
        return address
    return posixpath.normpath(str(local_path(address)))


def resolve(base: str, href: str) -> str:
    """What `href` means in the document at `base`: an absolute URL or path."""
    if is_url(href) or href[:7].lower() == "file://":
        return absolute(href)
    if not is_url(base):
        return posixpath.normpath(posixpath.join(posixpath.dirname(absolute(base)), href))
    # urljoin leaves relative hrefs alone below schemes it does not know, such as s3, so the path is joined here.
    scheme, netloc, path, _, _ = urlsplit(base)
    if href.startswith("//"):
        return f"{scheme}:{href}"
    relative = urlsplit(href)
    if relative.path.startswith("/"):
        joined = posixpath.normpath(relative.path)
    elif relative.path:
        joined = posixpath.normpath(posixpath.join(posixpath.dirname(path) or "/", relative.path))
    else:
        joined = path
    if relative.path.endswith("/") and not joined.endswith("/"):
        joined += "/"
    return urlunsplit((scheme, netloc, joined, relative.query, ""))


def file_name(address: str) -> str:
    """Last part of the path, without query string: `B04.tif`."""
    path = urlsplit(address).path if is_url(address) else address
    return unquote(posixpath.basename(path.rstrip("/")))
