"""One name, one collection: what it means in every process, from SQL, Python and the command line."""

import json
import os
import shutil
import subprocess
import sys
import threading
import warnings
from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from index_catalog import item, request, write_catalog

import rasteret_sql
from rasteret_sql.cli.main import main
from rasteret_sql.errors import MissingObjectError, UnknownCollectionError
from rasteret_sql.index.change.append import append
from rasteret_sql.index.change.build import build
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.index.place.name_files import meaning_of
from rasteret_sql.index.place.workspace import collection_names, find_collection, list_collections
from rasteret_sql.library.remembered_search import changed_source
from rasteret_sql.session.session import new_session
from tests.cli.processes import without_bars

REPLACED = "from now on, in every process: it was built with other arguments"

LOADED = "from now on, in every process: it was loaded under that name. What it meant before is kept at"


@pytest.fixture
def catalog(tmp_path):
    return write_catalog(tmp_path / "catalog")


@pytest.fixture
def workspace(tmp_path):
    return tmp_path / "ws"


def sql(catalog, name="bay", dates="NULL", **more):
    named = "".join(f", {key} := {value}" for key, value in more.items())
    return (
        f"FROM rasteret_build_from_stac('{name}', '{catalog}', date_range := {dates}, "
        f"band_map := {{'B04': 'red'}}{named})"
    )


FIRST, TWO = "['2024-01-01', '2024-01-31']", "['2024-01-01', '2024-02-28']"
"""Of the three scenes the first one, and the first two."""


def count(con, name="bay"):
    return con.execute(f'SELECT count(*) FROM rasteret."{name}"').fetchone()[0]


def in_another_process(workspace, statement):
    """Rows of a statement in a process of its own."""
    code = (
        "import json, sys, warnings, rasteret_sql\n"
        "warnings.simplefilter('ignore')\n"
        "con = rasteret_sql.connect(workspace_dir=sys.argv[1])\n"
        "print(json.dumps(con.execute(sys.argv[2]).fetchall(), default=str))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(workspace), statement], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(without_bars(done.stdout))


COUNT = "SELECT count(*) FROM rasteret.bay"


def test_a_name_means_what_was_built_last_under_it_everywhere(catalog, workspace):
    with rasteret_sql.connect(workspace_dir=workspace) as con, rasteret_sql.connect(workspace_dir=workspace) as other:
        con.execute(sql(catalog)).fetchall()
        assert count(con) == 3
        assert other.execute("SELECT count(*) FROM rasteret_load('bay')").fetchone() == (3,)
        with pytest.warns(RuntimeWarning, match=f'"bay" means .* {REPLACED}.* What it meant before is kept at'):
            con.execute(sql(catalog, dates=FIRST)).fetchall()
        assert (count(con), count(other), in_another_process(workspace, COUNT)) == (1, 1, [[1]])
        # The earlier call again: its cache serves, without the network, and the name means it again.
        shutil.move(catalog, catalog.with_name("away"))
        with pytest.warns(RuntimeWarning, match=REPLACED):
            con.execute(sql(catalog)).fetchall()
        assert (count(con), count(other)) == (3, 3)


@pytest.mark.exhaustive
def test_another_process_that_builds_is_seen_by_open_connections(catalog, workspace):
    with rasteret_sql.connect(workspace_dir=workspace) as con:
        con.execute(sql(catalog)).fetchall()
        mine = con.execute("SELECT id FROM rasteret.bay ORDER BY id").fetchall()
        assert in_another_process(workspace, f"SELECT count(*) FROM ({sql(catalog, dates=TWO)})") == [[2]]
        assert con.execute("SELECT id FROM rasteret.bay ORDER BY id").fetchall() == mine[:2]
        read = f"SELECT sample_point('{mine[0][0]}', 'B04', 'POINT (0 0)', collection := 'bay', on_error := 'null')"
        assert con.execute(read).fetchall()  # by the collection that the name means now


def test_a_collection_in_python_stays_what_it_was_made_as(catalog, workspace):
    build_it = {"name": "bay", "stac_api": catalog, "workspace_dir": workspace, "band_map": {"B04": "red"}}
    old = rasteret_sql.build_from_stac(**build_it)
    with pytest.warns(RuntimeWarning, match=REPLACED):
        new = rasteret_sql.build_from_stac(**build_it, date_range=("2024-01-01", "2024-01-31"))
    assert (len(old), old.sql("SELECT count(*) FROM scenes").fetchall(), len(new)) == (3, [(3,)], 1)
    assert len(rasteret_sql.load("bay", workspace_dir=workspace)) == 1


def test_the_same_build_again_says_nothing_and_writes_nothing(catalog, workspace):
    build(request(catalog, workspace))
    with pytest.warns(RuntimeWarning, match=REPLACED):
        build(request(catalog, workspace, search={"max_items": 1}))
    before = {path: path.stat().st_mtime_ns for path in workspace.rglob("*")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(request(catalog, workspace, search={"max_items": 1}))
    assert {path: path.stat().st_mtime_ns for path in workspace.rglob("*")} == before


def test_a_forced_build_and_a_table_that_grew_replace_without_a_word(catalog, workspace, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(request(catalog, workspace))
        build(request(catalog, workspace, search={"max_items": 1}, force=True))
        assert find_collection("bay", workspace).count_rows() == 1
        options = {"name": "rows", "href_column": "path", "enrich_cog": False, "workspace_dir": workspace}
        times = [datetime(2024, 1, day) for day in (1, 2)]
        places = [shapely.box(9, 48, 10, 49).wkb] * 2
        for rows in (1, 2):
            columns = {"id": ["a", "b"], "path": ["a.tif", "b.tif"], "datetime": times, "geometry": places}
            pq.write_table(pa.table(columns).slice(0, rows), tmp_path / "t.parquet")
            assert len(rasteret_sql.build_from_table(tmp_path / "t.parquet", **options)) == rows
        assert find_collection("rows", workspace).count_rows() == 2


def test_the_only_collection_of_a_name_needs_no_file_that_says_so(catalog, workspace):
    path = build(request(catalog, workspace))
    assert [entry.name for entry in workspace.iterdir()] == [path.name]


@pytest.mark.exhaustive
def test_listings_show_a_name_once(catalog, workspace, capsys):
    build(request(catalog, workspace))
    build(request(catalog, workspace, "Bay", search={"max_items": 2}))
    newest = build(request(catalog, workspace, "BAY", search={"max_items": 1}))
    assert collection_names(workspace) == {"BAY": newest}
    assert [(entry["name"], entry["size"]) for entry in list_collections(workspace)] == [("BAY", 1)]
    with rasteret_sql.connect(workspace_dir=workspace) as con:
        listed = "SELECT name, size, open FROM rasteret_collections()"
        assert con.execute(listed).fetchall() == [("BAY", 1, False)]
        con.execute("FROM rasteret.bay").fetchall()
        assert con.execute(listed).fetchall() == [("BAY", 1, True)]
        views = "SELECT view_name FROM duckdb_views() WHERE database_name = 'rasteret' AND NOT internal"
        assert con.execute(views).fetchall() == [("BAY",)]
    assert [entry["name"] for entry in rasteret_sql.Collection.list_collections(workspace)] == ["BAY"]
    capsys.readouterr()
    assert main(["collections", "list", "--json", "-w", str(workspace)]) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == ["BAY"]


def test_a_drop_removes_all_that_is_under_the_name(catalog, workspace):
    build(request(catalog, workspace, "other"))
    for most in (1, 2, 3):
        build(request(catalog, workspace, search={"max_items": most}))
    with rasteret_sql.connect(workspace_dir=workspace) as con, rasteret_sql.connect(workspace_dir=workspace) as second:
        assert count(second) == 3
        assert con.execute("SELECT name, scenes FROM rasteret_drop('BAY')").fetchall() == [("bay", 3)]
        for one in (con, second):
            with pytest.raises(duckdb.Error, match="bay"):
                count(one)
    assert {name: path.parent for name, path in collection_names(workspace).items()} == {"other": workspace}
    assert len([entry for entry in workspace.iterdir() if entry.name != "_names"]) == 1
    assert meaning_of(workspace, "bay") is None


def test_a_drop_by_the_name_of_a_directory_removes_that_one(catalog, workspace):
    old = build(request(catalog, workspace))
    new = build(request(catalog, workspace, search={"max_items": 1}))
    with rasteret_sql.connect(workspace_dir=workspace) as con:
        con.execute(f"FROM rasteret_drop('{old.name}')").fetchall()
        assert (old.exists(), new.exists(), count(con)) == (False, True, 1)


def test_a_workspace_of_the_version_before_means_the_newest(catalog, workspace):
    old = build(request(catalog, workspace))
    new = build(request(catalog, workspace, search={"max_items": 1}))
    shutil.rmtree(workspace / "_names")
    for path, when in ((old, 1_000_000), (new, 2_000_000)):
        os.utime(path, (when, when))
    assert find_collection("bay", workspace).path == new
    with pytest.warns(RuntimeWarning, match=REPLACED):
        build(request(catalog, workspace))  # cached, and older: from now on the name means it
    assert find_collection("bay", workspace).path == old


@pytest.mark.exhaustive
def test_what_was_loaded_from_elsewhere_has_the_name_in_every_process(catalog, workspace, tmp_path):
    build(request(catalog, workspace))
    build(request(catalog, tmp_path / "far", "there", search={"max_items": 1}))
    far = find_collection("there", tmp_path / "far").path
    with rasteret_sql.connect(workspace_dir=workspace) as con:
        with pytest.warns(RuntimeWarning, match=LOADED):
            con.execute(f"FROM rasteret_load('{far}', name := 'bay')").fetchall()
        assert (count(con), in_another_process(workspace, COUNT)) == (1, [[1]])
        assert in_another_process(workspace, "SELECT name, size, path FROM rasteret_collections()") == [
            ["bay", 1, str(far)]
        ]
        # Dropping leaves what is elsewhere alone.
        con.execute("FROM rasteret_drop('bay')").fetchall()
    assert far.is_dir()
    with pytest.raises(UnknownCollectionError):
        find_collection("bay", workspace)


@pytest.mark.exhaustive
def test_a_load_in_python_keeps_the_name_in_the_default_workspace_too(catalog, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    default = tmp_path / "rasteret_workspace"
    build(request(catalog, default, search={"max_items": 2}))
    build(request(catalog, tmp_path / "far"))
    far = find_collection("bay", tmp_path / "far").path
    with pytest.warns(RuntimeWarning, match=LOADED):
        rasteret_sql.load(far)
    assert (len(rasteret_sql.load("bay")), in_another_process(default, COUNT)) == (3, [[3]])
    rasteret_sql.Collection.from_parquet(find_collection("bay", default).path, "other")
    assert list(collection_names(default)) == ["bay"]


@pytest.mark.exhaustive
def test_an_append_to_what_was_loaded_gives_it_the_name_again(catalog, workspace, tmp_path):
    build(request(catalog, tmp_path / "far", search={"max_items": 2}))
    loaded = rasteret_sql.load(find_collection("bay", tmp_path / "far").path, workspace_dir=workspace)
    with pytest.warns(RuntimeWarning, match=REPLACED):
        build(request(catalog, workspace, search={"max_items": 1}))
    items = json.loads(catalog.read_text())["features"]
    items.insert(0, item("added", "2024-01-01T00:00:00Z", {"red": "./s0_B04.tif", "nir": "./s0_B08.tif"}))
    catalog.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    with pytest.warns(RuntimeWarning, match="scenes were appended to the collection that it meant at another time"):
        loaded.append()
    assert in_another_process(workspace, COUNT) == [[3]]


def test_what_was_loaded_and_is_gone_is_an_error_that_says_so(catalog, workspace, tmp_path):
    build(request(catalog, workspace))
    build(request(catalog, tmp_path / "far"))
    moved = (tmp_path / "far").rename(tmp_path / "gone")
    far = find_collection("bay", moved).path
    with pytest.warns(RuntimeWarning, match=LOADED):
        rasteret_sql.load(far, "bay", workspace_dir=workspace)
    shutil.rmtree(moved)
    with pytest.raises(MissingObjectError, match=rf'"bay" means the collection at {far}, and there is none any more'):
        rasteret_sql.load("bay", workspace_dir=workspace)
    with rasteret_sql.connect(workspace_dir=workspace) as con:
        with pytest.raises(duckdb.Error, match="there is none any more; build or load it again, or drop the name"):
            count(con)
        assert con.execute("SELECT name FROM rasteret_collections()").fetchall() == []
        con.execute("FROM rasteret_drop('bay')").fetchall()
    assert list(workspace.iterdir()) == []


def test_a_collection_that_was_removed_by_hand_does_not_bring_an_older_one_back(catalog, workspace):
    build(request(catalog, workspace))
    newest = build(request(catalog, workspace, search={"max_items": 1}))
    shutil.rmtree(newest)
    with pytest.raises(MissingObjectError, match="there is none any more"):
        find_collection("bay", workspace)
    shutil.rmtree(next(path for path in workspace.iterdir() if path.name.endswith("_stac")))
    with pytest.raises(UnknownCollectionError):
        find_collection("bay", workspace)


@pytest.mark.exhaustive
def test_an_append_goes_to_what_the_name_means(catalog, workspace):
    build(request(catalog, workspace))
    new = build(request(catalog, workspace, search={"max_items": 2}))
    items = json.loads(catalog.read_text())["features"]
    items.insert(0, item("added", "2024-01-01T00:00:00Z", {"red": "./s0_B04.tif", "nir": "./s0_B08.tif"}))
    catalog.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    with rasteret_sql.connect(workspace_dir=workspace) as con:
        done = con.execute("SELECT path, added FROM rasteret_append('bay')").fetchall()
        assert done == [(str(new), 1)]
        assert (count(con), in_another_process(workspace, COUNT)) == (3, [[3]])


@pytest.mark.exhaustive
def test_an_append_in_a_workspace_that_is_given_relative_says_nothing(catalog, workspace, monkeypatch):
    with rasteret_sql.connect(workspace_dir=workspace) as con:
        con.execute(sql(catalog)).fetchall()
    monkeypatch.chdir(workspace.parent)
    with rasteret_sql.connect(workspace_dir=workspace.name) as con, warnings.catch_warnings():
        warnings.simplefilter("error")
        con.execute("FROM rasteret.bay LIMIT 1").fetchall()
        con.execute("FROM rasteret_append('bay')").fetchall()
        con.execute(sql(catalog)).fetchall()


def test_an_append_to_a_collection_from_before_lets_the_name_mean_it(catalog, workspace):
    options = {"name": "bay", "stac_api": catalog, "workspace_dir": workspace, "band_map": {"B04": "red"}}
    old = rasteret_sql.build_from_stac(**options)
    rasteret_sql.build_from_stac(**options, date_range=("2024-01-01", "2024-01-31"))
    with pytest.warns(RuntimeWarning, match="scenes were appended to the collection that it meant at another time"):
        old.append()
    assert len(rasteret_sql.load("bay", workspace_dir=workspace)) == 3


def test_a_workspace_of_another_call_keeps_its_names(catalog, workspace, tmp_path):
    build(request(catalog, workspace))
    there = build(request(catalog, tmp_path / "other", search={"max_items": 1}))
    with rasteret_sql.connect(workspace_dir=workspace) as con:
        assert count(con) == 3
        done = con.execute(
            f"SELECT path, scenes FROM rasteret_drop('bay', workspace_dir := '{there.parent}')"
        ).fetchall()
        assert done == [(str(there), 1)]
        assert (there.exists(), count(con)) == (False, 3)


def test_the_order_of_load_is_path_then_name(catalog, workspace, tmp_path, monkeypatch):
    build(request(catalog, workspace))
    build(request(catalog, tmp_path / "far", search={"max_items": 1}))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert len(rasteret_sql.load("bay", workspace_dir=workspace)) == 3
    find_collection("bay", tmp_path / "far").path.rename("bay")
    assert len(rasteret_sql.load("bay", workspace_dir=tmp_path / "none")) == 1
    with pytest.raises(
        FileNotFoundError, match=r'no such file or directory; and .*no collection "boy".*did you mean "bay"'
    ):
        rasteret_sql.load("boy", workspace_dir=workspace)


def test_a_moved_workspace_keeps_what_its_names_mean(catalog, workspace, tmp_path):
    build(request(catalog, workspace, search={"max_items": 1}))
    build(request(catalog, workspace))
    build(request(catalog, workspace, search={"max_items": 1}))
    moved = workspace.rename(tmp_path / "moved")
    assert find_collection("bay", moved).count_rows() == 1


def test_a_damaged_file_of_a_name_counts_for_nothing(catalog, workspace):
    build(request(catalog, workspace))
    newest = build(request(catalog, workspace, search={"max_items": 1}))
    (file,) = (workspace / "_names").glob("*.json")
    for text in ("", "[]", '{"name": 1}', "{"):
        file.write_text(text)
        assert find_collection("bay", workspace).path == newest
        assert list(collection_names(workspace)) == ["bay"]


def test_of_many_that_give_a_name_at_a_time_one_has_it_everywhere(catalog, workspace):
    threads = [
        threading.Thread(target=build, args=(request(catalog, workspace, search={"max_items": most}),))
        for most in (1, 2, 3) * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    meant = meaning_of(workspace, "bay")
    assert meant is not None
    sessions = [new_session(workspace) for _ in range(2)]
    assert {session.open("bay").place for session in sessions} == {meant.place}
    assert sorted(entry.name for entry in (workspace / "_names").iterdir()) == [
        next((workspace / "_names").glob("*.json")).name
    ]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser writes everywhere")
def test_a_workspace_that_cannot_be_written_is_read(catalog, workspace):
    build(request(catalog, workspace))
    build(request(catalog, workspace, search={"max_items": 1}))
    shutil.rmtree(workspace / "_names")
    workspace.chmod(0o555)
    try:
        with pytest.warns(RuntimeWarning, match="in this process alone: the workspace .* cannot be written"):
            build(request(catalog, workspace))
    finally:
        workspace.chmod(0o755)


def test_appends_below_sql_leave_names_alone(catalog, workspace):
    path = build(request(catalog, workspace))
    append(open_collection(path), changed_source(open_collection(path), {}))
    assert [entry.name for entry in workspace.iterdir()] == [path.name]
