"""Indexes hold plain addresses: how files were signed stays in the process that was told (issue of cloud access, 3)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rasteret_sql
from rasteret_sql.errors import AccessDeniedError, InterruptedQueryError
from rasteret_sql.index.change.build import build
from rasteret_sql.index.change.build_request import BuildRequest
from rasteret_sql.io import signed_addresses
from rasteret_sql.stac.search_request import StacSource
from rasteret_sql.stac.search_source import StacScenes
from tests.collection_world import feature, make_scenes
from tests.secrets.searching import Search
from tests.servers.secrets import planted
from tests.servers.signed_files import ACCOUNT, ACCOUNT_PASSWORD, SignedFiles

ROOT = Path(__file__).resolve().parents[2]
COUNT = 4


class World:
    """Files that want a signature, and a document of items that have one."""

    def __init__(self, directory: Path, files: SignedFiles) -> None:
        self.files, self.scenes = files, make_scenes(files.directory)[:COUNT]
        self.items = planted(directory / "items.json")
        self.workspace = directory / "ws"

    def sign(self, lifetime: timedelta = timedelta(hours=1)) -> str:
        """Write the items with a new token, which is given."""
        token = self.files.token(lifetime)
        features = [feature(scene) for scene in self.scenes]
        for one in features:
            href = f"{self.files.url}/{one['id']}.tif?version=3&{token}"
            one["assets"]["a"]["href"] = href
            one["properties"] |= {"download": href, "note": f"see {href} for more", "more": [{"token": href}]}
            one["links"] = [{"rel": "self", "href": f"{self.files.url}/{one['id']}.json?{token}"}]
        self.items.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        return token

    def build(self, **more):
        return rasteret_sql.build_from_stac(name="w", stac_api=self.items, workspace_dir=self.workspace, **more)

    def address(self, n: int) -> str:
        return f"{self.files.url}/s{n:02d}.tif?version=3"

    def read(self, collection) -> np.ndarray:
        return np.asarray(collection.subset(bbox=self.scenes[0].bounds).get_numpy(self.scenes[0].bounds, ["a"]))


@pytest.fixture
def world(tmp_path):
    signed_addresses.forget()
    (tmp_path / "files").mkdir()
    with SignedFiles(tmp_path / "files") as files:
        yield World(tmp_path, files)
    signed_addresses.forget()


def test_a_build_and_this_process_read_what_was_signed_and_nothing_of_it_is_written(world, tmp_path):
    """(A21) Headers and pixels, in both languages; index, views, export and search rows are plain."""
    token = world.sign()
    built = world.build()
    assert world.read(built).max() > 0
    assert world.files.asked
    assert all(was for _, was in world.files.asked)
    built.export(tmp_path / "export")
    with rasteret_sql.connect(workspace_dir=world.workspace) as con:
        rows = con.execute("SELECT assets.a.href, download, note, more FROM rasteret.w ORDER BY id").fetchall()
        assert con.execute("SELECT avg(zonal_stats(id, 'a', geometry).mean) > 0 FROM rasteret.w").fetchone() == (True,)
        con.execute(f"FROM rasteret_export('w', '{tmp_path / 'sql-export'}')").fetchall()
        found = con.execute("SELECT * FROM rasteret_stac_search(?)", [str(world.items)]).fetchall()
        listed = [
            con.execute(f"FROM {one}").fetchall()
            for one in ("rasteret_collections()", "duckdb_views()", "duckdb_columns()", "rasteret_datasets()")
        ]
    assert [row[0] for row in rows] == [world.address(n) for n in range(COUNT)]
    assert rows[0][1:3] == (world.address(0), f"see {world.address(0)} for more")
    assert json.loads(rows[0][3]) == [{"token": world.address(0)}]
    assert json.loads(found[0][6])["a"]["href"] == world.address(0)
    signature = token.rpartition("=")[2]
    assert signature not in str([rows, found, listed])
    searched = Search({signature, token, ACCOUNT_PASSWORD}, skip={str(world.items)})
    assert searched.folder(tmp_path) == []
    assert searched.files > COUNT


def test_the_signed_form_is_used_by_builds_of_what_was_searched(world, tmp_path):
    world.sign()
    with rasteret_sql.connect(workspace_dir=world.workspace) as con:
        con.execute(
            "CREATE TABLE found AS SELECT id, datetime, geometry, {'a': {'href': assets->'a'->>'href'}} AS assets "
            "FROM rasteret_stac_search(?)",
            [str(world.items)],
        )
        statuses = con.execute(
            "SELECT DISTINCT status FROM rasteret_build_from_table('found', name := 't', enrich_cog := true)"
        ).fetchall()
    assert statuses == [("ok",)]


def in_another_process(world, statement: str) -> str:
    """What a process that knows no signature prints."""
    script = (
        "import sys, rasteret_sql\n"
        "con = rasteret_sql.connect(workspace_dir=sys.argv[1])\n"
        "try:\n    print(con.execute(sys.argv[2]).fetchall())\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(world.workspace), statement],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.exhaustive
def test_b34_a_later_process_is_denied_and_told_why(world):
    signature = world.sign().rpartition("=")[2]
    world.build()
    said = in_another_process(world, "SELECT zonal_stats(id, 'a', geometry).mean FROM rasteret.w")
    assert "access was denied" in said
    assert f"{world.files.url}/s0" in said
    assert signature not in said
    # after a refresh it has signatures of its own
    said = in_another_process(world, "SELECT checked, changed FROM rasteret_refresh('w')")
    assert f"[({COUNT}, 0)]" in said


def test_a_refresh_signs_anew_what_is_over(world):
    world.sign()
    built = world.build()
    world.files.revoke()
    signed_addresses.forget()
    with rasteret_sql.connect(workspace_dir=world.workspace) as con:
        statement = "SELECT count(zonal_stats(id, 'a', geometry).mean) FROM rasteret.w"
        with pytest.raises(duckdb.Error, match="access was denied"):
            con.execute(statement).fetchall()
        world.sign()
        assert con.execute("SELECT checked, changed, gone FROM rasteret_refresh('w')").fetchone() == (COUNT, 0, 0)
        assert con.execute(statement).fetchone() == (COUNT,)
    assert built is not None


def test_the_hosts_that_signed_are_known_to_later_processes_after_build_append_and_export(world, tmp_path):
    world.sign()
    built = world.build()
    local = world.items.read_text().replace(world.files.url, str(world.files.directory)).replace("?version=3", "")
    items = json.loads(local)
    for number, one in enumerate(items["features"]):
        one["assets"]["a"]["href"] = f"{world.files.directory}/s{number:02d}.tif"
    planted(tmp_path / "local.json").write_text(json.dumps(items | {"features": items["features"][:1]}))
    other = rasteret_sql.build_from_stac(name="x", stac_api=tmp_path / "local.json", workspace_dir=tmp_path / "other")

    def known(path: Path) -> bool:
        signed_addresses.forget()
        rasteret_sql.load(path)
        return "signed when it was indexed" in signed_addresses.remedy(f"{world.files.url}/other.tif")

    assert known(built.path)
    assert not known(other.path)
    built.export(tmp_path / "export")
    assert known(tmp_path / "export")
    shutil.copy(world.items, planted(tmp_path / "copy.json"))
    with rasteret_sql.connect(workspace_dir=tmp_path / "other") as con:
        added = con.execute("SELECT added FROM rasteret_append('x', stac_api := ?)", [str(tmp_path / "copy.json")])
        assert added.fetchone() == (COUNT - 1,)
    assert known(other.path)


def test_a_build_that_was_stopped_asks_for_new_signatures_and_reads_no_header_twice(world):
    signature = world.sign().rpartition("=")[2]
    headers = 0

    def tell(done, total, what):
        nonlocal headers
        headers = done if what == "headers" else headers

    def request():
        source = StacScenes(StacSource(str(world.items)))
        return BuildRequest("w", source, workspace_dir=world.workspace, max_concurrent=1)

    with pytest.raises(InterruptedQueryError):
        build(request(), progress=tell, cancelled=lambda: headers >= 2)
    assert Search({signature}).folder(world.workspace) == []
    read = {path for path, was in world.files.asked if was}
    assert 2 <= len(read) <= COUNT
    world.files.revoke()
    signed_addresses.forget()  # as a later process
    world.sign()
    del world.files.asked[:]
    path = build(request())
    assert {path for path, was in world.files.asked if was} | read == {f"/s{n:02d}.tif" for n in range(COUNT)}
    assert len(world.files.asked) < COUNT
    rows = rasteret_sql.load(path).to_table(["status"])["status"].to_pylist()
    assert rows == ["ok"] * COUNT


def test_a_table_is_stored_without_its_signatures(world, tmp_path):
    """Assets, the address column that stays, nested columns and text."""
    token = world.sign()
    hrefs = [f"{world.files.url}/{scene.id}.tif?version=3&{token}" for scene in world.scenes]
    table = pa.table(
        {
            "id": [scene.id for scene in world.scenes],
            "datetime": pa.array([scene.at for scene in world.scenes], pa.timestamp("us")),
            "geometry": [_wkb(scene.bounds) for scene in world.scenes],
            "path": hrefs,
            "links": [[{"rel": "self", "href": href}] for href in hrefs],
            "words": [json.dumps({"at": href}) for href in hrefs],
            "coded": pa.array(hrefs).dictionary_encode(),
            "pairs": pa.array([[("a", href)] for href in hrefs], pa.map_(pa.string(), pa.string())),
            "n": list(range(COUNT)),
        }
    )
    pq.write_table(table, planted(tmp_path / "table.parquet"))
    built = rasteret_sql.build_from_table(
        tmp_path / "table.parquet", name="t", href_column="path", band_index_map={"a": 0}, enrich_cog=True,
        workspace_dir=world.workspace,
    )  # fmt: skip
    assert world.read(built).max() > 0
    kept = built.to_table(["path", "links", "words", "coded", "pairs", "n"]).to_pylist()[0]
    plain = world.address(0)
    assert kept == {
        "path": plain, "links": [{"rel": "self", "href": plain}], "words": json.dumps({"at": plain}), "coded": plain,
        "pairs": [("a", plain)], "n": 0,
    }  # fmt: skip
    assert Search({token.rpartition("=")[2]}).folder(world.workspace) == []


@pytest.mark.exhaustive
def test_exports_of_what_rasteret_wrote_and_tables_handed_in_are_plain(world, tmp_path):
    token = world.sign()
    built = world.build()
    rows = built.to_table(headers=True)
    assets = [{"a": {"href": f"{row['a']['href']}&{token}", "band_index": 0}} for row in rows["assets"].to_pylist()]
    given = rows.set_column(rows.column_names.index("assets"), "assets", pa.array(assets))
    signed_addresses.forget()
    handed = rasteret_sql.as_collection(given, name="handed")
    assert world.read(handed).max() > 0
    foreign = planted(tmp_path / "foreign.parquet")
    pq.write_table(given, foreign)
    loaded = rasteret_sql.load(foreign)
    assert world.read(loaded).max() > 0
    loaded.export(tmp_path / "export")
    searched = Search({token.rpartition("=")[2]})
    assert searched.folder(tmp_path / "export") == []
    assert searched.folder(handed.path) == []
    addresses = rasteret_sql.load(tmp_path / "export").to_table(["assets"])["assets"].to_pylist()
    assert [row["a"]["href"] for row in addresses] == [world.address(n) for n in range(COUNT)]


def test_user_info_is_taken_off(world):
    host = world.files.url.replace("http://", f"http://{ACCOUNT}:{ACCOUNT_PASSWORD}@")
    table = pa.table(
        {
            "id": [scene.id for scene in world.scenes],
            "datetime": pa.array([scene.at for scene in world.scenes], pa.timestamp("us")),
            "geometry": [_wkb(scene.bounds) for scene in world.scenes],
            "assets": [{"a": f"{host}/{scene.id}.tif"} for scene in world.scenes],
        }
    )
    built = rasteret_sql.build_from_table(table, name="u", workspace_dir=world.workspace)
    assert built.to_table(["assets"])["assets"][0].as_py()["a"]["href"] == f"{world.files.url}/s00.tif"
    assert Search({ACCOUNT_PASSWORD}).folder(world.workspace) == []
    assert signed_addresses.signed_form(f"{world.files.url}/s00.tif") == f"{host}/s00.tif"


def test_credentials_that_rewriting_adds_are_not_stored_either(world):
    """A pattern is kept for refreshs; without them."""
    features = [feature(scene) for scene in world.scenes]
    for one in features:
        one["assets"]["a"]["href"] = f"https://plain.example.com/{one['id']}.tif"
    world.items.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    token = world.files.token()
    patterns = {
        f"https://plain.example.com/{scene.id}.tif": f"{world.files.url}/{scene.id}.tif?{token}"
        for scene in world.scenes
    }
    built = world.build(cloud_config={"provider": "aws", "url_patterns": patterns})
    assert world.read(built).max() > 0
    assert Search({token.rpartition("=")[2]}).folder(world.workspace) == []


def test_a_signature_that_ended_is_not_sent(world):
    world.sign(timedelta(seconds=-5))
    with pytest.raises(AccessDeniedError, match="access was denied") as caught:
        world.build()
    assert "sig=" not in str(caught.value)
    assert {path for path, _ in world.files.asked} <= {f"/s{n:02d}.tif?version=3" for n in range(COUNT)}


def _wkb(bounds) -> bytes:
    import shapely

    return bytes(shapely.to_wkb(shapely.box(*bounds)))
