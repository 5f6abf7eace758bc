"""A credentials service in the manner of NASA Earthdata: login redirect, cookie, JSON; and a SAS token endpoint."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Self
from urllib.parse import parse_qs, urlsplit

from tests.servers.gate import Server

USER, PASSWORD = "someone", "password-for-tests-only"
BEARER_TOKEN = "bearer-token-of-an-earthdata-user-for-tests"
HOST = "urs.earthdata.nasa.gov"
SESSION_TOKEN = "session-token-for-tests"
Issue = Callable[[timedelta], tuple[str, str, str]]
"""Makes a temporary key that lives so long: its id, secret and token."""


class Login:
    """Served on two host names: credentials at 127.0.0.1, the login at localhost.

    Named as NASA's hosts are (see `internet`), the login is at urs.earthdata.nasa.gov, and credentials at all others.

    Attributes:
        keys: accessKeyId and secretAccessKey that are handed out, or what makes them.
        lifetime: of what is handed out.
        granted: lifetime that it is said to have, where that is another one.
        given: how often credentials or tokens were handed out.
        logins: hosts that were given user and password.
    """

    def __init__(self, keys: tuple[str, str] | Issue, lifetime: timedelta = timedelta(hours=1)) -> None:
        self.keys, self.lifetime, self.given = keys, lifetime, 0
        self.granted: timedelta | None = None
        self.logins: list[str] = []
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
                expiry = (datetime.now(UTC) + (outer.granted or outer.lifetime)).isoformat()
                host, authorization = self.headers.get("Host", ""), self.headers.get("Authorization", "")
                is_local = host.startswith(("127.0.0.1", "localhost"))
                if authorization.startswith("Basic "):
                    outer.logins.append(host)
                if path == "/s3credentials":
                    is_known = "session=yes" in self.headers.get("Cookie", "")
                    if not is_known and authorization != f"Bearer {BEARER_TOKEN}":
                        login = f"http://localhost:{port}" if is_local else f"https://{HOST}"
                        self.reply(307, Location=f"{login}/oauth/authorize?state={host}")
                        return
                    outer.given += 1
                    key = outer.keys(outer.lifetime) if callable(outer.keys) else (*outer.keys, SESSION_TOKEN)
                    names = ("accessKeyId", "secretAccessKey", "sessionToken", "expiration")
                    self.reply(200, json.dumps(dict(zip(names, (*key, expiry), strict=True))).encode())
                elif path == "/oauth/authorize":
                    wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
                    if authorization != wanted or not (is_local or host == HOST):
                        self.reply(401)
                        return
                    back = parse_qs(urlsplit(self.path).query)["state"][0]
                    credentials = f"http://127.0.0.1:{port}" if is_local else f"https://{back}"
                    self.reply(302, Location=f"{credentials}/redirect?code=y")
                elif path == "/redirect":
                    self.reply(302, Location="/s3credentials", Set_Cookie="session=yes; Path=/")
                elif path.startswith("/token/"):
                    outer.given += 1
                    self.reply(200, json.dumps({"token": "sig=abc&se=x", "msft:expiry": expiry}).encode())
                else:
                    self.reply(404)

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self.server.shutdown()
        self.server.server_close()
