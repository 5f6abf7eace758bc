"""Files that are given only to addresses that are signed, as SAS tokens and pre-signed URLs are."""

from __future__ import annotations

import base64
import threading
import uuid
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.servers.secrets import secret

ACCOUNT, ACCOUNT_PASSWORD = "someone", "files-password-for-tests-only"


class SignedFiles:
    """Serves a directory.

    Attributes:
        url: without a slash at the end.
        asked: path and whether it was signed, of each request.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.asked: list[tuple[str, bool]] = []
        self._ends: dict[str, datetime] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                signed = outer.is_signed(parse_qs(parts.query), self.headers.get("Authorization", ""))
                outer.asked.append((parts.path + (f"?{parts.query}" if not signed and parts.query else ""), signed))
                file = outer.directory / parts.path.lstrip("/")
                if not signed or not file.is_file():
                    self.reply(404 if signed else 403, b"")
                    return
                data = file.read_bytes()
                asked = self.headers.get("Range")
                if asked is None:
                    self.reply(200, data)
                    return
                first, _, last = asked.removeprefix("bytes=").partition("-")
                start, end = int(first), min(int(last or len(data)), len(data) - 1)
                self.reply(206, data[start : end + 1], Content_Range=f"bytes {start}-{end}/{len(data)}")

            def reply(self, status: int, body: bytes, **headers: str) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def token(self, lifetime: timedelta = timedelta(hours=1)) -> str:
        """A SAS token for all files: the query string."""
        signature, end = secret(uuid.uuid4().hex), datetime.now(UTC) + lifetime
        self._ends[signature] = end
        return f"sv=2024-08-04&st=2024-01-01&se={end:%Y-%m-%dT%H%%3A%M%%3A%SZ}&sr=c&sp=r&sig={signature}"

    def revoke(self) -> None:
        """Let no token count that was given so far."""
        self._ends.clear()

    def is_signed(self, query: dict[str, list[str]], authorization: str) -> bool:
        if authorization == "Basic " + base64.b64encode(f"{ACCOUNT}:{ACCOUNT_PASSWORD}".encode()).decode():
            return True
        end = self._ends.get(query.get("sig", [""])[0])
        return end is not None and datetime.now(UTC) < end

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._server.server_close()
