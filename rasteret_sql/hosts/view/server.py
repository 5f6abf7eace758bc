"""`ViewServer`: serves the page and the tiles to this machine, on one port, to those who know the token."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

from bokeh.document import Document
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.hosts.view.request_handlers import EntryHandler, TileHandler
from rasteret_sql.hosts.view.tile_service import TileService

HOST = "127.0.0.1"
PAGE = "/map"
_TILES_AT_ONCE = 16
"""Tiles that are made at a time: most of them wait for bodies."""
_START_SECONDS = 60
_LAST_PORT = 65_535


class ViewServer:
    """A server in a thread of its own.

    Args:
        service: answers for tiles, and knows the token.
        show: makes the page in a document of Bokeh.
        port: of this machine; 0: any that is free.
        prefix: path before all addresses, where a proxy keeps one.

    Raises:
        InvalidArgumentError: the port is taken, or no port.
    """

    def __init__(
        self, service: TileService, show: Callable[[Document], None], *, port: int = 0, prefix: str = ""
    ) -> None:
        if not 0 <= port <= _LAST_PORT:
            raise InvalidArgumentError(f"port {port} is none: expected 1 to {_LAST_PORT}, or 0 for any that is free")
        self._service = service
        self._show = show
        self._prefix = prefix
        self._secret = secrets.token_bytes(32)
        self._pool = ThreadPoolExecutor(_TILES_AT_ONCE, "rasteret-tile")
        self._loop = asyncio.new_event_loop()
        self._server: BaseServer | None = None
        self._http: HTTPServer | None = None
        self.port = 0
        self._failure: OSError | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(port,), name="rasteret-view", daemon=True)
        self._thread.start()
        if not self._started.wait(_START_SECONDS):
            raise InvalidArgumentError(f"the server did not start within {_START_SECONDS} s")
        if self._failure is not None:
            raise InvalidArgumentError(
                f"port {port} of {HOST} cannot be served: {self._failure}; give another one"
            ) from self._failure

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://{HOST}:{self.port}"

    def address(self, **arguments: str) -> str:
        """The address of the page, with the token."""
        return f"{self.origin}{self._prefix}/?{urlencode({**arguments, 'token': self._service.token.value})}"

    def stop(self) -> None:
        """End it; pages and tiles that are being made are dropped."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, port: int) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            try:
                self._server = self._made(port)
            except OSError as error:
                self._failure = error
                return
            finally:
                self._started.set()
            self._loop.run_forever()
            self._server.stop(wait=False)
            if self._http is not None:  # connections that clients keep for later, too
                self._loop.run_until_complete(self._http.close_all_connections())
            self._loop.run_until_complete(asyncio.sleep(0))
        finally:
            self._loop.close()

    def _made(self, port: int) -> BaseServer:
        _keep_secrets_out_of_logs()
        # Not by tornado, which leaves the socket of a port that is taken open.
        listening = socket.create_server((HOST, port), backlog=128)
        listening.setblocking(False)
        self.port = listening.getsockname()[1]
        application = BokehTornado(
            {PAGE: self._show},
            prefix=self._prefix,
            use_index=False,
            # Of any port: the page may be looked at through a tunnel.
            extra_websocket_origins=[f"{HOST}:*", "localhost:*"],
            # A page is given to who comes with the token, by way of the entry.
            sign_sessions=True,
            generate_session_ids=False,
            secret_key=self._secret,
            compress_response=True,
            extra_patterns=[
                (r"/tiles/.*", TileHandler, {"service": self._service, "pool": self._pool}),
                (r"/", EntryHandler, {"service": self._service, "page": f"{self._prefix}{PAGE}", "key": self._secret}),
            ],
        )
        self._http = HTTPServer(application)
        self._http.add_sockets([listening])
        server = BaseServer(IOLoop.current(), application, self._http)
        server.start()
        return server


class _NoQuery(logging.Filter):
    """Takes what follows ? out of addresses that are logged: it has tokens."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _without_query(record.getMessage()), ()
        return True


def _without_query(text: str) -> str:
    return " ".join(word.partition("?")[0] for word in text.split(" "))


def _keep_secrets_out_of_logs() -> None:
    for name in ("tornado.access", "tornado.general", "tornado.application", "bokeh.server.views.ws"):
        logger = logging.getLogger(name)
        if not any(isinstance(one, _NoQuery) for one in logger.filters):
            logger.addFilter(_NoQuery())
