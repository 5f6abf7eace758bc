"""Azure Blob Storage: Azurite in a process of its own, a gate that answers as Azure does, and SAS tokens."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import shutil
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from obstore.store import AzureStore

from tests.servers.gate import Answer, Gate, Onward, Request
from tests.servers.process import free_port, running
from tests.servers.secrets import secret
from tests.servers.wanted import installing, unavailable

AZURITE = "azurite@3.35.0"
ACCOUNT = "sentinel2l2atests"
ACCOUNT_KEY = "a2V5LW9mLWFuLWF6dXJlLWFjY291bnQtZm9yLXRlc3RzLW9ubHktMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMA=="
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
    start, end = _stamp(now - timedelta(minutes=5)), _stamp(now + lifetime)
    resource = f"/blob/{ACCOUNT}/{container}"
    # permissions, start, expiry, resource, identifier, IP, protocol, version, resource kind, snapshot, encryption
    # scope, and five headers of the answer
    fields = ["rl", start, end, resource, "", "", "", _VERSION, "c", "", "", "", "", "", "", ""]
    values = {"sp": "rl", "st": start, "se": end, "sv": _VERSION, "sr": "c", "sig": secret(_signed("\n".join(fields)))}
    return urlencode(values)


def _account_sas() -> dict[str, str]:
    end = _stamp(datetime.now(UTC) + timedelta(hours=1))
    # account, permissions, services, resource types, start, expiry, IP, protocol, version, encryption scope
    fields = [ACCOUNT, "rwdlc", "b", "sco", "", end, "", "", _VERSION, "", ""]
    signature = _signed("\n".join(fields))
    return {"sv": _VERSION, "ss": "b", "srt": "sco", "sp": "rwdlc", "se": end, "sig": signature}


def _stamp(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def _signed(text: str) -> str:
    return base64.b64encode(hmac.digest(base64.b64decode(ACCOUNT_KEY), text.encode(), hashlib.sha256)).decode()


@dataclass(frozen=True, slots=True)
class Seen:
    """One request, and what was answered."""

    account: str
    container: str
    blob: str
    signed: str
    """`SAS`, `key`, or empty."""
    range: str
    status: int


class AzureGate(Gate):
    """`<account>.blob.core.windows.net`.

    Unsigned and expired requests are answered as Azure's accounts without public access do it, which Azurite does in
    other words.

    Attributes:
        log: what came, in order.
        public: containers that everybody may read.
        revoked: signatures that do not count any more.
    """

    def __init__(self, behind: str) -> None:
        super().__init__(behind)
        self.log: list[Seen] = []
        self.public: set[str] = set()
        self.revoked: set[str] = set()
        self._lock = threading.Lock()

    def decide(self, request: Request) -> Answer | Onward:
        """Refuse, or let Azurite verify the signature and give the blob."""
        is_named = request.host.endswith(".core.windows.net")
        account, _, path = (request.host.partition(".")[0], "", request.raw_path) if is_named else _parts(request)
        container, _, blob = path.lstrip("/").partition("/")
        query = request.query
        signed = "SAS" if "sig" in query else "key" if "authorization" in request.headers else ""
        code = ""
        if not signed and container not in self.public:
            status, code, message = 409, "PublicAccessNotPermitted", "Public access is not permitted on this account."
        elif "sig" in query and (query["se"] <= _stamp(datetime.now(UTC)) or query["sig"] in self.revoked):
            status, code = 403, "AuthenticationFailed"
            message = (
                "Server failed to authenticate the request. Make sure the value of Authorization header is formed "
                "correctly including the signature."
            )
        else:
            status = 206 if request.range else 200
        with self._lock:
            self.log.append(Seen(account, container, blob, signed, request.range, status))
        if code:
            detail = f"<AuthenticationErrorDetail>Expiry [{query.get('se')}]</AuthenticationErrorDetail>"
            inner = f"<Code>{code}</Code><Message>{message}\nRequestId:0\nTime:0</Message>{detail}"
            return Answer(status, f'<?xml version="1.0" encoding="utf-8"?><Error>{inner}</Error>')
        target = request.target if signed else f"{request.target}?{container_sas(container, timedelta(minutes=5))}"
        return Onward(target, request.headers, request.host if is_named else "")


def _parts(request: Request) -> tuple[str, str, str]:
    return request.raw_path.lstrip("/").partition("/")


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
    port = free_port()
    options = ["--blobPort", str(port), "--blobHost", "127.0.0.1", "--location", directory]
    options += ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    environment = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{ACCOUNT_KEY}"}
    command = [shutil.which("node") or "node", str(program), *options]
    try:
        with running("Azurite", command, port, environment=environment):
            yield AzureServer(f"http://127.0.0.1:{port}")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def azure_server() -> Iterator[AzureServer]:
    """One server for the tests of a worker."""
    with serve_azure() as server:
        yield server
