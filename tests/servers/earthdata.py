"""A credentials service in the manner of NASA Earthdata: login redirect, cookie, JSON; and a SAS token endpoint."""

from __future__ import annotations

import base64
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

USER, PASSWORD = "someone", "password-for-tests-only"


class Login:
    """Served on two host names: credentials at 127.0.0.1, the login at localhost.

    Attributes:
        keys: accessKeyId and secretAccessKey that are handed out.
        lifetime: of what is handed out.
        given: how often credentials or tokens were handed out.
    """

    def __init__(self, keys: tuple[str, str], lifetime: timedelta = timedelta(hours=1)) -> None:
        self.keys, self.lifetime, self.given = keys, lifetime, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                path, port = urlsplit(self.path).path, outer.server.server_port
                expiry = (datetime.now(UTC) + outer.lifetime).isoformat()
                if path == "/s3credentials":
                    if "session=yes" not in self.headers.get("Cookie", ""):
                        self.reply(307, Location=f"http://localhost:{port}/oauth/authorize?state=x")
                        return
                    outer.given += 1
                    names = ("accessKeyId", "secretAccessKey", "sessionToken", "expiration")
                    values = (*outer.keys, "session-token-for-tests", expiry)
                    self.reply(200, json.dumps(dict(zip(names, values, strict=True))).encode())
                elif path == "/oauth/authorize":
                    wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
                    if self.headers.get("Authorization") != wanted:
                        self.reply(401)
                        return
                    self.reply(302, Location=f"http://127.0.0.1:{port}/redirect?code=y")
                elif path == "/redirect":
                    self.reply(302, Location="/s3credentials", Set_Cookie="session=yes; Path=/")
                elif path.startswith("/token/"):
                    outer.given += 1
                    self.reply(200, json.dumps({"token": "sig=abc&se=x", "msft:expiry": expiry}).encode())
                else:
                    self.reply(404)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self.server.shutdown()
        self.server.server_close()
