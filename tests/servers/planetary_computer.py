"""The token endpoint of the Planetary Computer, which gives SAS tokens of the Azure server of the tests."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import urlsplit

from tests.servers.azure import ACCOUNT, container_sas
from tests.servers.gate import Server

SUBSCRIPTION_KEY = "planetary-computer-subscription-key-for-tests"


class TokenEndpoint:
    """`GET /api/sas/v1/token/<account>/<container>` gives a SAS token of Azurite.

    Attributes:
        lifetime: of the tokens that are given.
        granted: lifetime of which they say that they have it, where that is another one.
        asked: account and container of each request.
        keys: subscription keys that came along.
        status: answered in place of a token.
    """

    def __init__(self, lifetime: timedelta = timedelta(hours=1)) -> None:
        self.lifetime, self.granted, self.status = lifetime, None, 200
        self.asked: list[tuple[str, str]] = []
        self.keys: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                parts = urlsplit(self.path).path.strip("/").split("/")
                if parts[:4] != ["api", "sas", "v1", "token"] or len(parts) != 6:
                    return self.reply(404, {"detail": "Not Found"})
                outer.asked.append((parts[4], parts[5]))
                outer.keys += [self.headers["Ocp-Apim-Subscription-Key"]] * (
                    "Ocp-Apim-Subscription-Key" in self.headers
                )
                if outer.status != 200 or parts[4] != ACCOUNT:
                    return self.reply(404 if outer.status == 200 else outer.status, {"detail": "no token"})
                said = datetime.now(UTC) + (outer.granted or outer.lifetime)
                token = container_sas(parts[5], outer.lifetime)
                return self.reply(200, {"msft:expiry": f"{said:%Y-%m-%dT%H:%M:%SZ}", "token": token})

            def reply(self, status: int, document: dict[str, str]) -> None:
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = Server(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.origin}/api/sas/v1/token"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_args: object) -> None:
        self._server.shutdown()
        self._server.server_close()
