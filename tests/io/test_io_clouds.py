"""What every provider says of itself, and what one that sends headers sends."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import rasteret_sql
from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.connection import session_for
from rasteret_sql.errors import AccessDeniedError, InvalidArgumentError
from rasteret_sql.io.clouds.registry import CLOUDS, OF_SECRET, PROVIDERS, cloud_name, route
from rasteret_sql.io.fetch import RetryPolicy, fetch
from rasteret_sql.io.loop import run
from tests.cli.processes import environment
from tests.servers.one_answer import PART, serve

TOKEN = "token-of-the-tests-of-headers-0000"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "x-api-key": "k"}
QUICK = RetryPolicy(retries=0)


def test_no_two_providers_claim_the_same():
    for said in (
        [cloud.kind for cloud in CLOUDS],
        [provider.name for provider in PROVIDERS if provider.name],
        [provider.word for provider in PROVIDERS if provider.word],
        [name for provider in PROVIDERS for name in provider.arguments],
        [scheme for cloud in CLOUDS for scheme in cloud.schemes],
        [kind for cloud in CLOUDS for kind in cloud.secret_types],
        [name for cloud in CLOUDS for name in cloud.variables],
    ):
        assert said
        assert len(said) == len(set(said))
    assert OF_SECRET.keys() >= {"s3", "aws", "r2", "gcs", "azure", "http"}


CREDENTIALLED = [cloud for cloud in CLOUDS if cloud.name]


@pytest.mark.parametrize("cloud", CREDENTIALLED, ids=lambda cloud: cloud.name)
def test_a_provider_with_credentials_is_found_by_its_likely_address(cloud):
    assert cloud_name(cloud.likely) == cloud.name
    assert route(cloud.likely).kind == cloud.kind
    assert all(name.startswith(cloud.prefixes) for name in cloud.variables)
    assert cloud.remedy("")


def only_signed_in(connection: socket.socket) -> None:
    """Gives the file to who sends the headers."""
    asked = connection.recv(4096).decode().lower()
    signed_in = all(f"{name}: {value}".lower() in asked for name, value in HEADERS.items())
    connection.sendall(PART + b"x" * 100 if signed_in else b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")


def read(backend: object, address: str) -> bytes:
    return bytes(run(fetch(backend, address, ByteRange(0, 100), QUICK)))  # type: ignore[arg-type]


def test_a_backend_made_with_headers_sends_them():
    backend = rasteret_sql.create_backend(headers=HEADERS)
    assert backend is rasteret_sql.create_backend(headers=dict(HEADERS))
    assert TOKEN not in repr(backend)
    with serve(only_signed_in) as port:
        address = f"http://127.0.0.1:{port}/a.tif"
        assert read(backend, address) == b"x" * 100
        assert backend.headers_of(address) == HEADERS
        assert backend.headers_of("s3://bucket/a.tif") == {}
        with pytest.raises(AccessDeniedError, match="sent without credentials"):
            read(rasteret_sql.create_backend(), address)
        wrong = rasteret_sql.create_backend(headers={"Authorization": f"Basic {TOKEN}"})
        with pytest.raises(AccessDeniedError, match="sent with the headers of this backend") as refused:
            read(wrong, address)
    assert TOKEN not in str(refused.value)


def test_sql_makes_the_same_backend_of_headers(tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path) as con:
        made = con.execute(
            f"FROM rasteret_create_backend('web', headers := {{'Authorization': 'Bearer {TOKEN}', 'x-api-key': 'k'}})"
        ).fetchall()
        assert TOKEN not in str(made)
        assert "headers" in str(made)
        assert session_for(con).through("web").backend is rasteret_sql.create_backend(headers=HEADERS)


def test_headers_that_http_does_not_take():
    with pytest.raises(InvalidArgumentError, match="names with values") as caught:
        rasteret_sql.create_backend(headers=f"Bearer {TOKEN}")
    assert TOKEN not in str(caught.value)


NEW_FILE = """
from obstore.store import MemoryStore

from rasteret_sql.io.clouds.cloud import Cloud, Opened, bucket_place, words
from rasteret_sql.io.credentials import Provider

STORE = MemoryStore()


class MadeUp(Cloud):
    kind = name = word = "made-up"
    schemes = ("made",)
    example = "made://"
    variables = ("MADE_UP_KEY",)
    prefixes = whereabouts = ("MADE_UP_HOME",)
    likely = "made://bucket/key"

    def route(self, address):
        return bucket_place(self.kind, address)

    def open(self, place, opening):
        credentials = opening.access.credentials
        signing, said = self.signing(
            opening, credentials and credentials.of(self.name), machine="the machine", anonymous="no key is set"
        )
        return Opened(STORE, words(said))

    def credentials(self, word, given):
        return Provider(self._key, self.name)

    def _key(self):
        return {"key": "k"}
"""
ASKED = """
import json
import obstore
import rasteret_sql
from rasteret_sql.cli.main import main
from rasteret_sql.connection import session_for
from rasteret_sql.io.clouds.made_up import STORE
from rasteret_sql.io.loop import run

obstore.put(STORE, "a.tif", b"bytes")
address = "made://bucket/a.tif"
con = rasteret_sql.connect()
row = con.execute("SELECT kind FROM rasteret_create_backend('mine', credential_provider := 'made-up')").fetchone()
con.execute("FROM rasteret_cloud_config('of/mine', provider := 'made-up', requester_pays := true)").fetchall()
mine = session_for(con).through("mine").backend
plain = rasteret_sql.create_backend()
paid = rasteret_sql.create_backend(cloud_config=rasteret_sql.CloudConfig("made-up", requester_pays=True))
print(json.dumps({
    "read": [bytes(run(one.get_range(address, 0, 5))).decode() for one in (mine, plain, paid)],
    "requests": [one.credential(address) for one in (mine, plain, paid)],
    "kind": row[0],
}))
main(["doctor", "--json"])
"""


@pytest.mark.exhaustive
def test_a_new_provider_is_one_file_and_its_word_in_the_registry(tmp_path):
    """Routing, the doctor, configs of datasets and both create_backend find it; no other file is touched."""
    root = Path(rasteret_sql.__file__).parents[1]
    shutil.copytree(root / "rasteret_sql", tmp_path / "rasteret_sql", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(root / "sql", tmp_path / "sql")
    clouds = tmp_path / "rasteret_sql" / "io" / "clouds"
    (clouds / "made_up.py").write_text(NEW_FILE)
    registry, first = (clouds / "registry.py").read_text(), "from rasteret_sql.io.clouds.azure"
    added = registry.replace(first, f"from rasteret_sql.io.clouds.made_up import MadeUp\n{first}")
    added = re.sub(r"^(PROVIDERS.* = \()", r"\1MadeUp(), ", added, flags=re.MULTILINE)
    assert len(added.splitlines()) == len(registry.splitlines()) + 1
    assert added.count("MadeUp") == 2
    (clouds / "registry.py").write_text(added)
    variables = {**environment(tmp_path), "PYTHONPATH": str(tmp_path), "MADE_UP_HOME": "here"}
    done = subprocess.run(
        [sys.executable, "-c", ASKED], env=variables, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    asked, _, report = done.stdout.partition("\n")
    gave = "signed with what _key gave"
    assert json.loads(asked) == {
        "read": ["bytes"] * 3,
        "requests": [gave, "anonymous: no key is set", "signed with the machine"],
        "kind": "made-up",
    }
    doctor = json.loads(report)
    assert doctor["environment"]["MADE_UP_HOME"] == "here"
    (found,) = (one for one in doctor["credentials"] if one["provider"] == "made-up")
    assert found == {
        "provider": "made-up",
        "found": False,
        "source": "no key is set",
        "effect": "requests are anonymous",
    }
