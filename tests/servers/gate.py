"""A server in front of another one, which refuses what the emulator behind it would let pass, and notes what came."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

_HOP = ("connection", "host", "keep-alive", "proxy-connection", "transfer-encoding", "content-length")


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came."""

    method: str
    target: str
    """Path and query, as sent."""
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes = b""

    @property
    def raw_path(self) -> str:
        return urlsplit(self.target).path

    @property
    def path(self) -> str:
        return unquote(self.raw_path)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def host(self) -> str:
        """Host name without port."""
        return self.headers.get("host", "").partition(":")[0]

    @property
    def range(self) -> str:
        return self.headers.get("range", "")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gate says by itself."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    media: str = "application/xml"


@dataclass(frozen=True, slots=True)
class Onward:
    """What is asked of the server behind."""

    target: str
    headers: Mapping[str, str]
    host: str = ""
    """Name by which it is asked; by default its address."""


class Server(ThreadingHTTPServer):
    """Takes as many connections at once as clients open."""

    daemon_threads = True
    request_queue_size = 128


class Gate:
    """Serves on a free port while the context is open; `decide` says what becomes of each request."""

    def __init__(self, behind: str) -> None:
        """Stand in front of `behind`, an address without a path."""
        self._behind = urlsplit(behind)
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            behind: http.client.HTTPConnection | None = None

            def log_message(self, *args: Any) -> None:
                pass

            def finish(self) -> None:
                super().finish()
                if self.behind is not None:
                    self.behind.close()

            def do_GET(self) -> None:
                gate._serve(self)

            def do_HEAD(self) -> None:
                gate._serve(self)

            def do_POST(self) -> None:
                gate._serve(self)

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def decide(self, request: Request) -> Answer | Onward:
        """Refuse, or pass on."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_args: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        body = handler.rfile.read(int(headers.get("content-length", 0)))
        request = Request(handler.command, handler.path, headers, body)
        decided = self.decide(request)
        if isinstance(decided, Answer):
            body = decided.body.encode()
            said = {"Content-Type": decided.media, **decided.headers}
            self._reply(handler, decided.status, said, body)
            return
        # Reads only: what is behind gets no bodies.
        self._reply(handler, *self._ask(handler, decided))

    @staticmethod
    def _reply(handler: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str], body: bytes) -> None:
        try:
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name, value)
            if "content-length" not in {name.lower() for name in headers}:
                handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            if handler.command != "HEAD":
                handler.wfile.write(body)
        except ConnectionError:
            handler.close_connection = True  # the client has gone

    def _ask(self, handler: Any, onward: Onward) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the server behind; one connection for each of a client."""
        if handler.behind is None:
            handler.behind = http.client.HTTPConnection(self._behind.netloc, timeout=30)
        headers = {name: value for name, value in onward.headers.items() if name.lower() not in _HOP}
        if onward.host:
            headers["Host"] = onward.host
        try:
            answer = self._answer(handler, onward.target, headers)
        except (OSError, http.client.HTTPException):  # it had closed the connection
            handler.behind.close()
            answer = self._answer(handler, onward.target, headers)
        with answer:
            body = answer.read()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
            if handler.command == "HEAD" and answer.getheader("Content-Length"):
                kept["Content-Length"] = answer.headers["Content-Length"]
            return answer.status, kept, body

    @staticmethod
    def _answer(handler: Any, target: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        handler.behind.request(handler.command, target, headers=headers)
        answer: http.client.HTTPResponse = handler.behind.getresponse()
        return answer
