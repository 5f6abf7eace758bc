"""DuckDB's own secrets as backends: only of a database that was opened to show them, and only in their scope."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

import rasteret_sql
from tests.servers.gate import Answer, Gate, Onward, Request
from tests.servers.range_server import RangeServer
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY
from tests.servers.s3_gate import Bucket, S3Gate

BEARER_TOKEN = "bearer-token-of-a-duckdb-secret"
HEADER_KEY = "header-key; of a secret, quoted"
DATA = Path(__file__).resolve().parents[1] / "sql" / "data"
SHOWN = {"allow_unredacted_secrets": "true"}


class HeaderGate(Gate):
    """Gives files to requests that carry the right headers."""

    def __init__(self, behind: str) -> None:
        super().__init__(behind)
        self.refused = self.passed = 0

    def decide(self, request: Request) -> Answer | Onward:
        right = request.headers.get("authorization") == f"Bearer {BEARER_TOKEN}"
        if not right or request.headers.get("x-api-key") != HEADER_KEY:
            self.refused += 1
            return Answer(403, "no")
        self.passed += 1
        return Onward(request.target, {"Range": request.range} if request.range else {})


@pytest.fixture(scope="module")
def behind() -> Iterator[str]:
    with RangeServer(DATA) as server:
        yield server.url


@pytest.fixture
def gate(behind: str) -> Iterator[HeaderGate]:
    with HeaderGate(behind) as gate:
        yield gate


def catalog(tmp_path: Path, prefix: str) -> str:
    """Path of an item file whose one scene is `<prefix>plain.tif`."""
    item = next(one for one in json.loads((DATA / "tiny.json").read_text())["features"] if one["id"] == "plain")
    for asset in item["assets"].values():
        asset["href"] = f"{prefix}plain.tif"
    item["links"] = []
    file = tmp_path / "items.json"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    return str(file)


def make_secret(con: duckdb.DuckDBPyConnection, scope: str) -> None:
    con.execute(
        f"CREATE SECRET Mine (TYPE http, BEARER_TOKEN '{BEARER_TOKEN}', "
        f"EXTRA_HTTP_HEADERS MAP {{'X-Api-Key': '{HEADER_KEY}'}}, SCOPE '{scope}')"
    )


BUILD = "FROM rasteret_build_from_stac('tiny', ?, backend := ?)"


def test_a_secret_builds_and_reads(gate: HeaderGate, tmp_path: Path) -> None:
    with rasteret_sql.connect(workspace_dir=tmp_path / "w", config=SHOWN) as con:
        make_secret(con, gate.url)
        con.execute(BUILD, [catalog(tmp_path, f"{gate.url}/"), "mine"]).fetchall()
        read = "SELECT read_chip(id, 'b', backend := 'MINE').width FROM rasteret.tiny"
        assert con.execute(read).fetchall() == [(4,)]
        assert gate.passed >= 2
        assert gate.refused == 0
        # The same through a name of our own, which outlives the secret.
        made = con.execute("FROM rasteret_create_backend('kept', secret := 'mine')").fetchall()
        con.execute("DROP SECRET mine")
        assert made[0][:2] == ("kept", "secret")
        assert {name for name, value in made[0][2].items() if value == "***"} == {"bearer_token", "extra_http_headers"}
        assert con.cursor().execute("SELECT rasteret.read_chip('plain', 'b', backend := 'kept').width").fetchall() == [
            (4,)
        ]
        told = [
            made,
            con.execute("FROM rasteret_settings()").fetchall(),
            con.execute(f"EXPLAIN {read.replace('MINE', 'kept')}").fetchall(),
            con.execute("SELECT macro_definition FROM duckdb_functions()").fetchall(),
            con.execute("SELECT sql FROM duckdb_views()").fetchall(),
        ]
        assert BEARER_TOKEN not in str(told)
        assert HEADER_KEY not in str(told)


def test_outside_of_its_scope_a_secret_is_not_sent(gate: HeaderGate, tmp_path: Path) -> None:
    with rasteret_sql.connect(workspace_dir=tmp_path / "w", config=SHOWN) as con:
        # A host that begins with the same letters, and another path.
        for scope in (gate.url[:-1], f"{gate.url}/other/"):
            make_secret(con, scope)
            with pytest.raises(duckdb.Error, match=r"403|denied"):
                con.execute(BUILD, [catalog(tmp_path, f"{gate.url}/"), "mine"]).fetchall()
            con.execute("DROP SECRET mine")
    assert gate.passed == 0
    assert gate.refused >= 2


def test_a_replaced_secret_counts_at_once(gate: HeaderGate, tmp_path: Path) -> None:
    with rasteret_sql.connect(workspace_dir=tmp_path / "w", config=SHOWN) as con:
        con.execute(f"CREATE SECRET mine (TYPE http, BEARER_TOKEN 'expired', SCOPE '{gate.url}')")
        with pytest.raises(duckdb.Error, match='the headers of the secret "mine"'):
            con.execute(BUILD, [catalog(tmp_path, f"{gate.url}/"), "mine"]).fetchall()
        con.execute("DROP SECRET mine")
        make_secret(con, gate.url)
        con.execute(BUILD, [catalog(tmp_path, f"{gate.url}/"), "mine"]).fetchall()
    assert gate.passed


def test_a_database_that_does_not_show_secrets(tmp_path: Path) -> None:
    with rasteret_sql.connect(workspace_dir=tmp_path / "w") as con:
        make_secret(con, "https://example.com/")
        for call in (
            "SELECT read_chip('plain', 'b', backend := 'mine')",
            "FROM rasteret_create_backend('kept', secret := 'mine')",
            "FROM rasteret_load('s3://bucket/x', backend := 'mine')",
        ):
            con.execute("FROM rasteret_build_from_stac('tiny', ?)", [str(DATA / "tiny.json")]).fetchall()
            with pytest.raises(duckdb.Error, match=r"allow_unredacted_secrets.*rasteret_create_backend") as caught:
                con.execute(call).fetchall()
            assert BEARER_TOKEN not in str(caught.value)
        assert con.execute("SELECT current_setting('allow_unredacted_secrets')").fetchall() == [(False,)]


def test_an_unknown_name_lists_the_backends(tmp_path: Path) -> None:
    with rasteret_sql.connect(workspace_dir=tmp_path / "w") as con:
        con.execute("FROM rasteret_build_from_stac('tiny', ?)", [str(DATA / "tiny.json")]).fetchall()
        with pytest.raises(duckdb.Error, match=r'no backend "wset".*rasteret_create_backend'):
            con.execute("SELECT read_chip('plain', 'b', backend := 'wset')").fetchall()
        con.execute("FROM rasteret_create_backend('West')").fetchall()
        with pytest.raises(duckdb.Error, match=r'no backend "wset".*did you mean "West"'):
            con.execute("SELECT read_chip('plain', 'b', backend := 'wset')").fetchall()
        with pytest.raises(duckdb.Error, match='no DuckDB secret "west"'):
            con.execute("FROM rasteret_create_backend('x', secret := 'west')").fetchall()


@pytest.fixture
def amazon(tmp_path: Path) -> Iterator[S3Gate]:
    (tmp_path / "s3" / "secret-scenes" / "a").mkdir(parents=True)
    (tmp_path / "s3" / "secret-scenes" / "a" / "plain.tif").write_bytes((DATA / "plain.tif").read_bytes())
    with RangeServer(tmp_path / "s3") as behind, S3Gate(behind.url) as gate:
        gate.buckets["secret-scenes"] = Bucket("us-west-2", requester_pays=True)
        yield gate


def test_secrets_of_the_extension_for_s3(amazon: S3Gate, tmp_path: Path) -> None:
    extensions = pytest.importorskip("duckdb_extensions", reason="needs duckdb-extension-httpfs of DuckDB's version")
    with rasteret_sql.connect(workspace_dir=tmp_path / "w", config=SHOWN) as con:
        extensions.import_extension("httpfs", con=con)
        con.load_extension("httpfs")
        con.execute(
            f"CREATE SECRET mine (TYPE s3, KEY_ID '{ACCESS_KEY}', SECRET '{SECRET_KEY}', REGION 'us-west-2', "
            f"ENDPOINT '{amazon.url.removeprefix('http://')}', USE_SSL false, URL_STYLE 'path', "
            "REQUESTER_PAYS true, SCOPE 's3://secret-scenes')"
        )
        con.execute(BUILD, [catalog(tmp_path, "s3://secret-scenes/a/"), "mine"]).fetchall()
        read = "SELECT read_chip(id, 'b', backend := 'mine').width FROM rasteret.tiny"
        assert con.execute(read).fetchall() == [(4,)]
    assert {(seen.access_key, seen.payer, seen.status) for seen in amazon.log} == {(ACCESS_KEY, "requester", 206)}
