"""Follows redirects of a STAC server: a search stays a search, and what signs in stays with its server."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

import requests

from rasteret_sql.errors import StacError
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.receipt import current_receipt
from rasteret_sql.stac.address import same_server

_GZIP = b"\x1f\x8b"


class RedirectedSearchError(StacError):
    """A search by POST is sent on to another server."""


class RedirectSession(requests.Session):  # type: ignore[misc]  # it has no types
    """A session of requests that keeps method and body of a POST, and sends given headers to one server alone.

    requests makes a GET without a body of a POST that is answered by 301 or 302, as browsers do: a search would lose
    all that it asks for.

    Args:
        address: A URL of the server that the headers are for.
        headers: Sent to that server with every request.
        most: Bytes of a document that is sent compressed as it is kept, `items.ndjson.gz` say.
    """

    def __init__(self, address: str, headers: Mapping[str, str] | None = None, most: int = 2**28) -> None:
        super().__init__()
        self._most = most
        self._home = address
        self._given = dict(headers or {})
        self._last = threading.local()

    @property
    def last_address(self) -> str:
        """The address that the last answer in this thread came from, after redirects."""
        return str(self._last.address)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        # Here, where also each redirect comes by: after a login of ~/.netrc was put in, and after pystac-client has
        # logged what it sends.
        self._sign_in(request, is_redirect=not options.get("allow_redirects", True))
        receipt = current_receipt()
        receipt.sent(again=False)
        with receipt.fetch:
            response = super().send(request, **options)
        # Of redirects that were followed, each came by here and counted its own.
        own = response.history[0] if response.history else response
        receipt.received(own.raw.tell() if own.raw is not None else len(own.content))
        self._last.address = response.url
        if response.content.startswith(_GZIP):
            # pystac-client takes what it gets for text.
            response._content = unpacked(response.content, str(response.url), self._most)  # noqa: SLF001
        return response

    def _sign_in(self, request: requests.PreparedRequest, *, is_redirect: bool) -> None:
        if not self._given:
            return
        url = str(request.url)
        is_plain = url.lower().startswith("http:") and self._home.lower().startswith("https:")
        is_home = self._is_home(url)
        if is_home and is_plain and not is_redirect:
            # Behind some proxies a server writes http in its links although it is reached by https.
            request.url = f"https{url[4:]}"
            is_plain = False
        for name in self._given:
            request.headers.pop(name, None)
        if is_home and not is_plain:
            request.headers.update(self._given)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target: str | None = super().get_redirect_target(resp)
        if target is None or resp.request.method != "POST" or resp.status_code == 303:
            return target
        new = urljoin(str(resp.url), target)
        if self.should_strip_auth(str(resp.url), new):
            resp.close()
            raise RedirectedSearchError(
                f"{safe_address(str(resp.url))} answers a search with a redirect to another server, "
                f"{safe_address(new)}, which is not followed; give an address there as stac_api if it is meant"
            )
        # These two keep method and body, in requests as by RFC 9110.
        resp.status_code = {301: 308, 302: 307}.get(resp.status_code, resp.status_code)
        return target

    def _is_home(self, url: str) -> bool:
        return same_server(url, self._home) or not self.should_strip_auth(self._home, url)


def unpacked(data: bytes, address: str, most: int) -> bytes:
    """Unpack what gzip packed; data that does not begin as it does stays as it is.

    Raises:
        StacError: It is damaged, or larger than `most` bytes.
    """
    if not data.startswith(_GZIP):
        return data
    parts, size = [], 0
    while data:
        unpack = zlib.decompressobj(wbits=31)
        try:
            parts.append(unpack.decompress(data, most + 1 - size))
        except zlib.error as error:
            raise StacError(f"{safe_address(address)} is damaged gzip ({error})") from None
        size += len(parts[-1])
        if size > most:
            raise StacError(f"{safe_address(address)} is longer than {most >> 20} MiB, too long for a STAC document")
        if not unpack.eof:
            raise StacError(f"{safe_address(address)} is damaged gzip (it ends too soon)")
        data = unpack.unused_data.lstrip(b"\0")
    return b"".join(parts)
