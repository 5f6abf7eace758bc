"""`Http` and `Files`: route addresses of web servers and files of this machine, without a cloud's credentials."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from obstore.store import HTTPStore

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.access import Access
from rasteret_sql.io.addresses import Kind, Place, safe_address
from rasteret_sql.io.clouds.cloud import Cloud, HostSecret, Opened, Opening, SecretAccess, words

_HEADER = re.compile(r"\s*(?:'((?:[^'\\]|\\.)*)'|([^=]*?))\s*=\s*(?:'((?:[^'\\]|\\.)*)'|([^,]*))\s*(?:,|$)")


class Http(Cloud):
    """Files of web servers that are no store of a cloud."""

    kind = Kind.HTTP
    schemes = ("http", "https")
    example = "http://, https://"
    secret_types = ("http",)

    def route(self, address: str) -> Place:
        parts = urlsplit(address)
        if not parts.hostname:
            msg = f'"{safe_address(address)}" has no host: expected {parts.scheme}://host/path'
            raise InvalidArgumentError(msg)
        root = urlunsplit((parts.scheme, parts.netloc, "/", parts.query, ""))
        segments = parts.path[1:].split("/")
        # Stores join root and path segment by segment; a path with empty or dotted segments or an encoded slash would
        # change on the way, so it keeps a store of its own.
        if "%2f" in parts.path.lower() or any(segment in ("", ".", "..") for segment in segments):
            return Place(self.kind, urlunsplit((parts.scheme, parts.netloc, parts.path, parts.query, "")), "")
        return Place(self.kind, root, unquote(parts.path.lstrip("/")))

    def open(self, place: Place, opening: Opening) -> Opened:
        headers = {**opening.access.headers, **_login(place.root)}
        options = opening.client(allow_http=True) | ({"default_headers": headers} if headers else {})
        store = HTTPStore.from_url(place.root, client_options=options, **opening.retries)
        said = _of_url(place.root)
        if opening.access.headers:
            said = f"sent with the headers of {opening.access.headers_from}"
        return Opened(store, words(said))

    def remedy(self, said: str) -> str:  # noqa: ARG002
        return "The server wants credentials, or a signed address has expired: sign it anew or pass a backend."

    def of_secret(self, secret: HostSecret) -> SecretAccess:
        headers: dict[str, str] = {}
        text = secret.values.get("extra_http_headers", "").strip()
        for found in _HEADER.finditer(text[1:-1] if text.startswith("{") else ""):
            name = found[1] if found[1] is not None else found[2]
            value = found[3] if found[3] is not None else found[4].strip()
            if name:
                headers[name] = value
        if "bearer_token" in secret.values:
            headers["Authorization"] = f"Bearer {secret.values['bearer_token']}"
        return SecretAccess(Access(headers=headers, headers_from=f'the secret "{secret.name}"'))


class Files(Cloud):
    """Files of this machine, which `io/files.py` reads without a store."""

    kind = Kind.FILE
    schemes = ("file",)
    example = "a path, file://"

    def route(self, address: str) -> Place:
        parts = urlsplit(address)
        if parts.netloc not in ("", "localhost"):
            msg = f'"{address}" names a file on the host "{parts.netloc}": only files of this machine can be opened'
            raise InvalidArgumentError(msg)
        # A `?` or `#` in a file URL is part of a name that was not encoded, not a query.
        path = re.sub(r"^file:(//(localhost)?)?", "", address, flags=re.IGNORECASE)
        return Place(self.kind, "", str(Path(unquote(path)).absolute()))

    def open(self, place: Place, opening: Opening) -> Opened:  # noqa: ARG002
        raise InvalidArgumentError(f"{place.path} is a file of this machine, which has no store")

    def remedy(self, said: str) -> str:  # noqa: ARG002
        return "Check the permissions of the file."


def _of_url(root: str) -> str:
    if "?" in root:
        return "signed by the query string of its address"
    if "@" in root.split("/", 3)[2]:
        return "sent with user and password of its address"
    return "sent without credentials"


def _login(root: str) -> dict[str, str]:
    """User and password of a URL, which stores do not send by themselves, as the header that they belong in."""
    parts = urlsplit(root)
    if not parts.username:
        return {}
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
