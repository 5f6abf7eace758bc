"""Passes requests of Tornado to the service of tiles, and gives pages to those who come with the token."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from typing import Any
from urllib.parse import urlencode

from bokeh.util.token import generate_session_id
from tornado.web import RequestHandler

from rasteret_sql.hosts.view.tile_service import Answer, Asked, TileService
from rasteret_sql.receipt import Receipt

_OPTIONS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "Authorization, If-None-Match",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Max-Age": "86400",
}


class _Plain(RequestHandler):  # type: ignore[misc]
    """Answers what it is told to, and adds nothing."""

    def compute_etag(self) -> None:
        """Add none: the answer has its own."""

    def set_default_headers(self) -> None:
        self.clear_header("Server")

    def asked(self) -> Asked:
        """The request in plain values."""
        request = self.request
        names = {name: self.get_query_arguments(name) for name in request.query_arguments}
        headers = {name.lower(): value for name, value in request.headers.items()}
        return Asked(request.path, names, headers, f"{request.protocol}://{request.host}")

    def send(self, answer: Answer) -> None:
        """Send an answer."""
        self.set_status(answer.status)
        self.clear_header("Content-Type")
        for name, value in answer.headers.items():
            self.set_header(name, value)
        self.finish(answer.body or None)


class TileHandler(_Plain):
    """Makes tiles on threads; a client that goes stops its own."""

    def initialize(self, service: TileService, pool: Executor) -> None:
        self._service = service
        self._pool = pool
        self._receipt = Receipt()

    async def get(self) -> None:
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._pool, self._service.answer, self.asked(), self._receipt)
        if not self._receipt.is_stopped:
            self.send(answer)

    head = get

    def options(self) -> None:
        """Tell pages elsewhere that they may ask."""
        self.send(Answer(204, headers=_OPTIONS))

    def on_connection_close(self) -> None:
        self._receipt.stop()


class EntryHandler(_Plain):
    """Sends who has the token on to a page that is signed for him alone."""

    def initialize(self, service: TileService, page: str, key: bytes) -> None:
        self._service = service
        self._page = page
        self._key = key

    def get(self) -> None:
        asked = self.asked()
        if not self._service.token.is_in(asked):
            self.send(self._service.answer(asked))
            return
        session = generate_session_id(secret_key=self._key, signed=True)
        given: dict[str, Any] = {name: texts[-1] for name, texts in asked.arguments.items() if name != "token"}
        headers = {
            "Location": f"{self._page}?{urlencode({**given, 'bokeh-session-id': session})}",
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
        }
        self.send(Answer(302, headers=headers))
