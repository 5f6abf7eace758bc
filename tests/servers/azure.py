"""Azure Blob Storage (Azurite, in a process of its own), and a token endpoint as the Planetary Computer has it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import pytest
from obstore.store import AzureStore

from tests.servers.secrets import secret
from tests.servers.wanted import installing, unavailable

AZURITE = "azurite@3.35.0"
ACCOUNT = "sentinel2l2atests"
ACCOUNT_KEY = "a2V5LW9mLWFuLWF6dXJlLWFjY291bnQtZm9yLXRlc3RzLW9ubHktMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMA=="
SUBSCRIPTION_KEY = "planetary-computer-subscription-key-for-tests"
_VERSION = "2020-12-06"
"""Of the storage service, which says how a SAS token is signed."""


@dataclass(frozen=True, slots=True)
class AzureServer:
    """A running server."""

    url: str
    """Of the server, without account. It answers for `<account>.blob.core.windows.net`, too, when it is named so."""

    @property
    def endpoint(self) -> str:
        """Of the account, for AZURE_STORAGE_ENDPOINT."""
        return f"{self.url}/{ACCOUNT}"

    def store(self, container: str) -> Any:
        """An obstore store of a container, made where it does not exist, for putting test files."""
        query = urlencode({"restype": "container", **_account_sas()})
        request = urllib.request.Request(f"{self.endpoint}/{container}?{query}", method="PUT")
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30).close()
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 409:  # it is there
                    raise
        return AzureStore(
            container,
            account_name=ACCOUNT,
            account_key=ACCOUNT_KEY,
            endpoint=self.endpoint,
            client_options={"allow_http": True},
        )


def container_sas(container: str, lifetime: timedelta) -> str:
    """A SAS token to read and list a container, as a query string.

    After "Create a service SAS" of the storage service's REST reference.
    """
    now = datetime.now(UTC)
    start, end = (f"{when:%Y-%m-%dT%H:%M:%SZ}" for when in (now - timedelta(minutes=5), now + lifetime))
    resource = f"/blob/{ACCOUNT}/{container}"
    # permissions, start, expiry, resource, identifier, IP, protocol, version, resource kind, snapshot, encryption
    # scope, and five headers of the answer
    fields = ["rl", start, end, resource, "", "", "", _VERSION, "c", "", "", "", "", "", "", ""]
    values = {"sp": "rl", "st": start, "se": end, "sv": _VERSION, "sr": "c", "sig": secret(_signed("\n".join(fields)))}
    return urlencode(values)


def _account_sas() -> dict[str, str]:
    end = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    # account, permissions, services, resource types, start, expiry, IP, protocol, version, encryption scope
    fields = [ACCOUNT, "rwdlc", "b", "sco", "", end, "", "", _VERSION, "", ""]
    signature = _signed("\n".join(fields))
    return {"sv": _VERSION, "ss": "b", "srt": "sco", "sp": "rwdlc", "se": end, "sig": signature}


def _signed(text: str) -> str:
    return base64.b64encode(hmac.digest(base64.b64decode(ACCOUNT_KEY), text.encode(), hashlib.sha256)).decode()


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

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.origin}/api/sas/v1/token"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_args: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def azurite() -> Path:
    """The program, installed once for all runs; a test that needs it is skipped where it cannot be had."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        unavailable("Azurite needs Node.js with npm, which is not installed")
    with installing(AZURITE.replace("@", "-")) as directory:
        program = directory / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
        if not (directory / "complete").exists():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            command = [npm, "install", "--no-audit", "--no-fund", "--no-save", "--prefix", str(directory), AZURITE]
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=280)
            if done.returncode:
                unavailable(f"Azurite could not be installed: {done.stderr[-300:]}")
            (directory / "complete").touch()
    return program


@contextlib.contextmanager
def serve_azure() -> Iterator[AzureServer]:
    """Start Azurite on a free port and end it afterwards."""
    program = azurite()
    directory = tempfile.mkdtemp(prefix="azurite-")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--blobPort", str(port), "--blobHost", "127.0.0.1", "--location", directory]
    options += ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    environment = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{ACCOUNT_KEY}"}
    command = [shutil.which("node") or "node", str(program), *options]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Azurite did not start: {' '.join(command)}")
            time.sleep(0.05)
        yield AzureServer(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(timeout=10)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def azure_server() -> Iterator[AzureServer]:
    """One server for the tests of a worker."""
    with serve_azure() as server:
        yield server
