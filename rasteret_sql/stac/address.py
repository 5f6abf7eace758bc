"""Reads addresses of STAC documents and assets: local paths, URLs, and hrefs relative to them."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from rasteret_sql.errors import InvalidArgumentError

_VSI = re.compile(r"/vsi(?P<kind>curl|s3|gs|az|adls)(?:_streaming)?(?P<sep>[/?])(?P<rest>.+)", re.DOTALL)
_VSI_SCHEMES = {"s3": "s3", "gs": "gs", "az": "az", "adls": "az"}
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def _is_file_uri(address: str) -> bool:
    return address[:6].lower() == "file:/"


def is_url(address: str) -> bool:
    """True for `https://...`, `s3://...` and the like; False for local paths and file URIs."""
    scheme, sep, _ = address.partition("://")
    return bool(sep) and scheme.isascii() and scheme[:1].isalpha() and scheme.lower() != "file"


def local_path(address: str) -> Path:
    """The absolute path of a local address: a path, `~/...`, or a file URI (percent-decoded)."""
    if _is_file_uri(address):
        parts = urlsplit(address)
        if parts.netloc not in ("", "localhost"):
            raise InvalidArgumentError(
                f'file URI "{address}" names the host "{parts.netloc}"; only files of this machine can be read, '
                "write file:///path"
            )
        return Path(unquote(parts.path))
    return Path(address).expanduser().absolute()


def absolute(address: str) -> str:
    """A URL as it is, GDAL's `/vsi...` as the URL inside; a local address as a normalised absolute path, links kept."""
    address = named_by_gdal(address)
    if is_url(address):
        return address
    return posixpath.normpath(str(local_path(address)))


def resolve(base: str, href: str) -> str:
    """Make an absolute URL or path of `href` in the document at `base`.

    As RFC 3986, 5.2 has it, but a colon makes no scheme without `//` behind it (`S2:B04.tif` is a name), and an address
    of an object store ends in a key, which has no query, no fragment and any characters. Beside a local document a
    name is taken as it is written, and where there is no such file without its percent-encoding, query and fragment.
    """
    href = named_by_gdal(href)
    if is_url(href) or _is_file_uri(href) or _DRIVE.match(href):
        return href if _DRIVE.match(href) else absolute(href)
    if not is_url(base):
        return _beside(posixpath.dirname(absolute(base)), href)
    scheme, _, rest = base.partition("://")
    if href.startswith("//"):
        return f"{scheme}:{href}"
    web = scheme.lower() in ("http", "https")
    authority, path, query = _parts(rest, web)
    wanted, asked = _split(href, web)
    if not wanted:
        return f"{scheme}://{authority}{path}{asked or query}"
    joined = wanted if wanted.startswith("/") else f"{path.rpartition('/')[0]}/{wanted}"
    return f"{scheme}://{authority}{_without_dots(joined)}{asked}"


def named_by_gdal(address: str) -> str:
    """The address inside a path of GDAL's virtual file systems of the network; others as they are."""
    match = _VSI.match(address)
    if match is None:
        return address
    kind, rest = match["kind"], match["rest"]
    if kind == "curl":
        if match["sep"] == "/":
            return rest
        return next((value for name, value in parse_qsl(rest) if name == "url"), address)
    return f"{_VSI_SCHEMES[kind]}://{rest}" if match["sep"] == "/" else address


def _beside(folder: str, href: str) -> str:
    """A file of this machine."""
    exact = posixpath.normpath(posixpath.join(folder, href))
    name = href.partition("#")[0].partition("?")[0]
    for spelled in dict.fromkeys((unquote(href), name, unquote(name))):
        if spelled == href or not spelled:
            continue
        if Path(exact).exists():
            break
        other = posixpath.normpath(posixpath.join(folder, spelled))
        if Path(other).exists():
            return other
    return exact


def _parts(rest: str, web: bool) -> tuple[str, str, str]:
    """(authority, path, query with its `?`) of what follows the scheme; the fragment is left out."""
    at = min((at for mark in ("/?#" if web else "/") if (at := rest.find(mark)) >= 0), default=len(rest))
    return rest[:at], *_split(rest[at:] or "/", web)


def _split(reference: str, web: bool) -> tuple[str, str]:
    if not web:
        return reference, ""
    path, mark, query = reference.partition("#")[0].partition("?")
    return path, mark + query


def _without_dots(path: str) -> str:
    """RFC 3986, 5.2.4; empty segments stay, since keys of object stores have them."""
    segments = path.split("/")[1:]
    out: list[str] = []
    for segment in segments:
        if segment == "..":
            del out[-1:]
        elif segment != ".":
            out.append(segment)
    if segments[-1] in (".", ".."):
        out.append("")
    return "/" + "/".join(out)


def file_name(address: str) -> str:
    """Last part of the path, without query string: `B04.tif`."""
    address = named_by_gdal(address)
    path = urlsplit(address).path if is_url(address) else address
    return unquote(posixpath.basename(path.rstrip("/")))


def same_server(one: str, other: str) -> bool:
    """True for two addresses of one host and port."""
    return _server(one) == _server(other)


def _server(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port
