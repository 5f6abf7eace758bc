"""`backend := 'name'` and what is set in SQL, in calls that read, build, load and export: promises A4, B16."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

import rasteret_sql
from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.connection import session_for
from rasteret_sql.engine.scheduler import shared_engine
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.settings import IoSettings, change_io_settings, io_settings
from rasteret_sql.reading.context import FailedRow
from rasteret_sql.session.failures import Failures
from tests.sampling import some
from tests.servers.range_server import RangeServer
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY
from tests.servers.s3_gate import Bucket, S3Gate

DATA = Path(__file__).resolve().parents[1] / "sql" / "data"
SIGNED_URL_TOKEN = "token-in-an-address-of-a-failure"


@pytest.fixture
def con(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with rasteret_sql.connect(workspace_dir=tmp_path / "workspace") as con:
        yield con


@pytest.fixture
def process_settings() -> Iterator[None]:
    """Settings of the process are left as they were."""
    yield
    change_io_settings(**{name: getattr(IoSettings(), name) for name in IoSettings.__dataclass_fields__})


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """What servers of S3 serve: a bucket `scenes`."""
    shutil.copytree(DATA, tmp_path / "served" / "scenes")
    return tmp_path / "served"


CONFIG = "default_s3_config := {{'endpoint': '{}', 'region': 'us-east-1', 'skip_signature': true}}"
REWRITE = "cloud_config := {{'provider': 'aws', 'url_patterns': {{'{}/': 's3://scenes/'}}}}"


@pytest.mark.exhaustive
def test_rows_of_one_call_read_by_different_backends(con, bucket: Path):
    """Two stores that have a bucket of the same name; tiles of one are not given for those of the other."""
    with RangeServer(bucket) as one, RangeServer(bucket) as two:
        for name, server in (("one", one), ("two", two)):
            made = f"{CONFIG.format(server.url)}, {REWRITE.format(DATA)}"
            con.execute(f"FROM rasteret_create_backend('{name}', {made})").fetchall()
        con.execute("FROM rasteret_build_from_stac('tiny', ?, backend := 'one')", [str(DATA / "tiny.json")]).fetchall()
        assert one.counts()["requests"] > 0
        assert two.counts()["requests"] == 0
        before = one.counts()["requests"]
        rows = con.execute(
            "SELECT b, read_chip(id, 'b', backend := b).width, zonal_stat(id, 'b', NULL, 'mean', backend := b) IS NULL "
            "FROM (VALUES ('plain', 'one'), ('plain', 'two'), ('plain', NULL)) t(id, b) ORDER BY b"
        ).fetchall()
        assert rows == [("one", 4, True), ("two", 4, True), (None, 4, True)]
        assert one.counts()["requests"] - before == 1
        assert two.counts()["requests"] == 1


@pytest.mark.parametrize("order", some(["", " DESC"], 2))
def test_two_datasets_on_one_host_are_each_read_as_registered(con, bucket: Path, order: str):
    """Rows of one call: a look-up in one collection says nothing of who reads the files of another."""
    with RangeServer(bucket) as home, RangeServer(bucket) as elsewhere:
        for name in ("plainly", "moved"):
            build = (
                f"FROM rasteret_build_from_stac('{name}', '{home.url}/scenes/tiny.json', data_source := 'of/{name}')"
            )
            con.execute(build).fetchall()
        CloudConfig.register("of/moved", CloudConfig("aws", url_patterns={f"{home.url}/": f"{elsewhere.url}/"}))
        home.reset()
        read = (
            "SELECT read_chip('plain', 'b', collection := c).width FROM (VALUES ('plainly'), ('moved')) t(c) ORDER BY c"
        )
        assert con.execute(read + order).fetchall() == [(4,), (4,)]
        assert [server.counts()["requests"] for server in (home, elsewhere)] == [1, 1]
        shared_engine().cache.clear()
        one = "SELECT read_chip('plain', 'b', collection := '{}').width"
        for name, counts in (("moved", [1, 2]), ("plainly", [2, 2])):
            assert con.execute(one.format(name)).fetchall() == [(4,)]
            assert [server.counts()["requests"] for server in (home, elsewhere)] == counts


def test_b16_a_backend_is_for_the_database_and_for_its_calls_alone(con, bucket: Path):
    with RangeServer(bucket) as behind, S3Gate(behind.url) as gate:
        gate.buckets["scenes"] = Bucket("us-west-2")
        keys = f"'access_key_id': '{ACCESS_KEY}', 'secret_access_key': '{SECRET_KEY}'"
        make = (
            f"FROM rasteret_create_backend('mine', region := 'us-west-2', {REWRITE.format(DATA)}, "
            f"default_s3_config := {{'endpoint': '{gate.url}', {keys}}})"
        )
        made = con.cursor().execute(make.replace("rasteret_", "rasteret.rasteret_")).fetchall()
        con.execute("FROM rasteret_build_from_stac('tiny', ?, backend := 'mine')", [str(DATA / "tiny.json")]).fetchall()
        rows = con.execute(
            "SELECT zonal_stats('plain', 'b', bbox, backend := 'mine').count FROM rasteret.tiny"
        ).fetchall()
        assert rows
        assert {(seen.access_key, seen.status) for seen in gate.log} == {(ACCESS_KEY, 206)}
        refused = len(gate.log)
        told = [made, con.execute("FROM rasteret_settings()").fetchall(), con.execute(f"EXPLAIN {make}").fetchall()]
        told.append(con.execute("SELECT * FROM duckdb_functions()").fetchall())
        told.append(con.execute("SELECT sql FROM duckdb_views()").fetchall())
        wrong = make.replace("'mine'", "'wrong'").replace("'endpoint'", "'end_point'")
        with pytest.raises(duckdb.Error, match='no setting "end_point"') as caught:
            con.execute(wrong)
        told.append(str(caught.value))
        assert SECRET_KEY not in str(told)
        assert ACCESS_KEY not in str(told)
        assert len(gate.log) == refused


@pytest.mark.exhaustive
def test_a_catalog_in_a_bucket_is_read_by_the_backend(con, bucket: Path):
    """A build, an append, a refresh and a search of a static catalog whose documents nobody else may read."""
    with RangeServer(bucket) as behind, S3Gate(behind.url) as gate:
        gate.buckets["scenes"] = Bucket("us-west-2")
        keys = f"'access_key_id': '{ACCESS_KEY}', 'secret_access_key': '{SECRET_KEY}'"
        con.execute(
            "FROM rasteret_create_backend('mine', region := 'us-west-2', "
            f"default_s3_config := {{'endpoint': '{gate.url}', {keys}}})"
        ).fetchall()
        search = "SELECT count(*) FROM rasteret_stac_search('s3://scenes/tiny.json'{})"
        scenes = con.execute(search.format(", backend := 'mine'")).fetchall()
        assert scenes[0][0] > 3
        build = "SELECT count(*) FROM rasteret_build_from_stac('tiny', 's3://scenes/tiny.json', backend := 'mine')"
        assert con.execute(build).fetchall() == scenes
        assert con.execute("SELECT added FROM rasteret_append('tiny', backend := 'mine')").fetchall() == [(0,)]
        assert con.execute("SELECT gone FROM rasteret_refresh('tiny', backend := 'mine')").fetchall() == [(0,)]
        # A table of files, in the bucket like the files.
        (bucket / "scenes" / "table").mkdir()
        con.execute(
            "COPY (SELECT 'plain' AS id, TIMESTAMP '2024-06-01' AS datetime, 's3://scenes/plain.tif' AS href, "
            f"ST_AsWKB('POLYGON ((0 0, 1 0, 1 1, 0 0))'::GEOMETRY) AS geometry) TO '{bucket}/scenes/table/t.parquet'"
        )
        table = "SELECT id, status FROM rasteret_build_from_table('s3://scenes/table/t.parquet', name := 'tabled', {})"
        arguments = "href_column := 'href', band_index_map := {'b': 0}, backend := 'mine'"
        assert con.execute(table.format(arguments)).fetchall() == [("plain", "ok")]
        assert {(seen.access_key, seen.status // 100) for seen in gate.log} == {(ACCESS_KEY, 2)}


@pytest.mark.usefixtures("process_settings")
def test_settings_of_the_process(con):
    given = {
        "max_requests": 7,
        "max_requests_per_host": 3,
        "connect_timeout": 1.5,
        "request_timeout": 2.0,
        "retries": 0,
        "retry_window": 4.0,
        "whole_file_bytes": 1024,
    }
    arguments = ", ".join(f"{name} := {value}" for name, value in given.items())
    con.execute(f"FROM rasteret_settings({arguments})").fetchall()
    assert io_settings() == IoSettings(**given)
    cache = session_for(con).engine.cache
    try:
        con.execute("FROM rasteret_settings(cache_bytes := '1 MB')").fetchall()
        assert cache.max_bytes == 1_000_000
    finally:
        con.execute("FROM rasteret_settings(cache_bytes := 'default')").fetchall()
    with rasteret_sql.connect() as other:
        rows = dict(other.execute("SELECT name, value FROM rasteret_settings()").fetchall())
    assert rows["retries"] == "0"
    con.execute(f"FROM rasteret_settings({', '.join(f'{name} := $d' for name in given)})", {"d": "default"}).fetchall()
    assert io_settings() == IoSettings()


def test_settings_of_a_session_are_of_all_its_connections(con):
    con.execute("FROM rasteret_settings(on_error := 'null', on_change := 'refresh', max_call_bytes := 4096)").fetchall()
    rows = dict(con.cursor().execute("SELECT name, value FROM rasteret.rasteret_settings()").fetchall())
    assert (rows["on_error"], rows["on_change"], rows["max_call_bytes"]) == ("null", "refresh", "4096")
    with rasteret_sql.connect() as other:
        rows = dict(other.execute("SELECT name, value FROM rasteret_settings()").fetchall())
    assert (rows["on_error"], rows["on_change"]) == ("raise", "raise")


@pytest.mark.exhaustive
def test_failures_are_bounded_and_hold_no_error():
    failures = Failures()
    for number in range(10_050):
        error = InvalidArgumentError(f"https://u:{SIGNED_URL_TOKEN}@x.example/a.tif?sig={SIGNED_URL_TOKEN} is gone")
        failures.add("read_chip", FailedRow(None, f"scene {number}", "B1", error))
    kept = failures.listed()
    assert (len(kept), kept[0].scene_id, kept[-1].scene_id) == (10_000, "scene 50", "scene 10049")
    assert kept[0].message == "https://x.example/a.tif is gone"
    assert failures.listed(clear=True) == kept
    assert failures.listed() == []


def test_requests_that_fail_are_reported_by_scene(con, tmp_path: Path):
    shutil.copytree(DATA, tmp_path / "served")
    with RangeServer(tmp_path / "served") as server:
        rewrite = f"cloud_config := {{'provider': 'aws', 'url_patterns': {{'{DATA}/': '{server.url}/'}}}}"
        con.execute(f"FROM rasteret_create_backend('web', {rewrite})").fetchall()
        con.execute("FROM rasteret_build_from_stac('tiny', ?, backend := 'web')", [str(DATA / "tiny.json")]).fetchall()
        (tmp_path / "served" / "plain.tif").unlink()
        rows = con.execute(
            "SELECT id, read_chip(id, 'b', backend := 'web', on_error := 'null').width FROM rasteret.tiny "
            "WHERE id IN ('plain', 'nodata') ORDER BY id"
        ).fetchall()
    assert rows == [("nodata", 4), ("plain", None)]
    failures = con.execute("SELECT function, scene_id, band, error, message FROM rasteret_failures()").fetchall()
    assert [failure[:4] for failure in failures] == [("read_chip", "plain", "b", "MissingObjectError")]
    assert "plain.tif" in failures[0][4]
