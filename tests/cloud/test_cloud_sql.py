"""Backends and access settings made in SQL, from fresh processes: promises A4, A5, B7, B9, B12, B16, B19, B20, B30."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

import rasteret_sql
from tests.cloud.conftest import BUCKETS
from tests.cloud.world import Users
from tests.sampling import some
from tests.servers.earthdata import PASSWORD, USER, Login
from tests.servers.internet import Internet
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY, S3Server
from tests.servers.s3_gate import S3Gate
from tests.servers.secrets import planted
from tests.servers.stac_api import StacApiServer

KEYS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
SIGNED = {(ACCESS_KEY, "us-west-2", 206)}
DATA = Path(__file__).resolve().parents[1] / "sql" / "data"
LOGIN_AT = "https://data.lpdaac.earthdatacloud.nasa.gov/s3credentials"


@pytest.fixture(autouse=True)
def hosts(internet: Internet, amazon: S3Gate) -> None:
    internet.routes = {"*.amazonaws.com": amazon.url}


def came(amazon: S3Gate) -> set[tuple[str | None, str | None, int]]:
    return {(seen.access_key, seen.region, seen.status) for seen in amazon.log}


@pytest.mark.exhaustive
def test_b16_keys_of_a_named_backend_sign(users: Users, amazon: S3Gate) -> None:
    make = (
        "FROM rasteret_create_backend('mine', region := 'us-west-2', default_s3_config := {"
        f"'aws_access_key_id': '{ACCESS_KEY}', 'aws_secret_access_key': '{SECRET_KEY}'}})"
    )
    items = users.item_file(users.world.items("s3://private-scenes/a b/"))
    users.see("sql", users.run("sql", items, sql_setup=[make]))
    assert came(amazon) == SIGNED


@pytest.mark.exhaustive
def test_b12_a_profile_through_botos_chain(users: Users, amazon: S3Gate) -> None:
    pytest.importorskip("boto3")
    (users.directory / "home" / ".aws").mkdir(parents=True)
    file = planted(users.directory / "home" / ".aws" / "credentials")
    file.write_text(f"[project]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n")
    (users.directory / "home" / ".aws" / "config").write_text("[profile project]\nregion = us-west-2\n")
    make = "FROM rasteret_create_backend('mine', credential_provider := 'aws', profile := 'project')"
    items = users.item_file(users.world.items("s3://private-scenes/a b/"))
    users.see("sql", users.run("sql", items, sql_setup=[make]))
    assert came(amazon) == SIGNED


@pytest.mark.exhaustive
@pytest.mark.parametrize("how", some(["backend", "registered", "registered dataset"], 3))
def test_a4_a5_b9_b19_b20_requester_pays(users: Users, amazon: S3Gate, how: str) -> None:
    """Who pays, the region and the rewriting of addresses: of a backend, or registered for a collection or dataset."""
    patterns = "{'https://scenes.example.com/': 's3://paid-scenes/a b/'}"
    said = f"'provider': 'aws', 'requester_pays': true, 'region': 'us-west-2', 'url_patterns': {patterns}"
    named = f"FROM rasteret_create_backend('mine', cloud_config := {{{said}}})"
    arguments = said.replace("'provider':", "provider :=").replace("'requester_pays':", "requester_pays :=")
    arguments = arguments.replace("'region':", "region :=").replace("'url_patterns':", "url_patterns :=")
    known_as = "my-org/scenes" if how == "registered dataset" else "scenes"
    registered = f"FROM rasteret_cloud_config('{known_as}', {arguments})"
    with StacApiServer(users.world.items("https://scenes.example.com/", collection="scenes")) as api:
        register = (
            f"FROM rasteret_register({{'id': 'my-org/scenes', 'stac_api': '{api.url}', 'stac_collection': 'scenes', "
            "'band_map': {'B1': 'B1', 'B2': 'B2'}})"
        )
        setup = [named if how == "backend" else registered, register]
        users.see("sql", users.run("sql", None, KEYS, sql_setup=setup, dataset="my-org/scenes"))
    assert came(amazon) == SIGNED
    assert {seen.payer for seen in amazon.log} == {"requester"}


def test_b7_b30_earthdata(users: Users, amazon: S3Gate, internet: Internet) -> None:
    readers: set[str] = set()

    def issue(lifetime: timedelta) -> tuple[str, str, str]:
        made = amazon.issue(lifetime)
        readers.add(made[0])
        return made

    BUCKETS["lp-prod-protected"].readers = readers
    make = (
        "FROM rasteret_create_backend('mine', credential_provider := 'earthdata', "
        f"credentials_url := '{LOGIN_AT}', region := 'us-west-2')"
    )
    items = users.item_file(users.world.items("s3://lp-prod-protected/a b/"))
    with Login(issue) as login:
        internet.routes = {"*.amazonaws.com": amazon.url, "*.nasa.gov": login.url}
        account = {"EARTHDATA_USERNAME": USER, "EARTHDATA_PASSWORD": PASSWORD}
        try:
            users.see("sql", users.run("sql", items, account, sql_setup=[make]))
        finally:
            BUCKETS["lp-prod-protected"].readers = None
    assert {seen.access_key for seen in amazon.log} == readers


@pytest.mark.exhaustive
def test_a_backend_that_no_call_names_is_not_used(users: Users, amazon: S3Gate) -> None:
    make = (
        "FROM rasteret_create_backend('other', region := 'us-west-2', default_s3_config := {"
        f"'access_key_id': '{ACCESS_KEY}', 'secret_access_key': '{SECRET_KEY}'}})"
    )
    report = users.run("sql", users.item_file(users.world.items("s3://private-scenes/a b/")), sql_setup=[make])
    assert report.did == "nothing"
    assert report.errors
    assert {seen.access_key for seen in amazon.log} == {None}


def test_a_collection_in_a_private_store(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exported, loaded, appended to, refreshed, built and dropped where only the named backend leads."""
    s3_server.store("named-backends")
    monkeypatch.setenv("RASTERET_SQL_CACHE", str(tmp_path / "cache"))
    keys = f"'access_key_id': '{ACCESS_KEY}', 'secret_access_key': '{SECRET_KEY}'"
    with rasteret_sql.connect(workspace_dir=tmp_path / "workspace") as con:
        con.execute(
            "FROM rasteret_create_backend('store', region := 'us-east-1', "
            f"default_s3_config := {{'endpoint': '{s3_server.endpoint}', {keys}}})"
        ).fetchall()
        catalog = str(DATA / "tiny.json")
        con.execute("FROM rasteret_build_from_stac('tiny', ?)", [catalog]).fetchall()
        scenes = con.execute("SELECT count(*) FROM rasteret.tiny").fetchall()
        exported = con.execute("FROM rasteret_export('tiny', 's3://named-backends/out', backend := 'store')").fetchall()
        assert exported == [("tiny", "s3://named-backends/out", scenes[0][0])]
        load = "SELECT count(*) FROM rasteret_load('s3://named-backends/out', name := 'loaded', backend := 'store')"
        assert con.execute(load).fetchall() == scenes
        build = (
            "SELECT count(*) FROM rasteret_build_from_stac('far', ?, workspace_dir := 's3://named-backends/w', "
            "backend := 'store')"
        )
        assert con.execute(build, [catalog]).fetchall() == scenes
        there = "SELECT name FROM rasteret_collections(workspace_dir := 's3://named-backends/w', backend := 'store')"
        assert con.execute(there).fetchall() == [("far",)]
        for call in ("rasteret_append('far'", "rasteret_refresh('far'", "rasteret_drop('far'"):
            done = f"FROM {call}, workspace_dir := 's3://named-backends/w', backend := 'store')"
            assert con.execute(done).fetchall(), call
