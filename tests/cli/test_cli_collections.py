"""`rasteret-sql collections`: what it makes, shows and refuses. E29 to E36 on the command line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

import rasteret_sql
from rasteret_sql.cli.main import main

DATA = Path(__file__).resolve().parents[2] / "examples" / "data"
CATALOG = DATA / "catalog" / "catalog.json"
NY = ("--stac-api", CATALOG, "--collection", "landsat8-ny-2018")


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Runs `rasteret-sql collections ...` in a workspace of its own; gives the exit code, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        try:
            code = main(["collections", *map(str, words), "--workspace-dir", str(tmp_path / "ws")])
        except SystemExit as left:
            code = left.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def answer(result):
    code, out, err = result
    assert (code, err) == (0, ""), err
    return json.loads(out)


def test_the_life_of_a_collection(call, tmp_path):
    made = answer(call("build", "ny", *NY, "--date-range", "2018-01-01,2018-05-01", "--json"))
    assert (made["name"], made["scene_count"], made["has_split_column"]) == ("ny", 7, False)
    assert "eo:cloud_cover" in made["columns"]
    assert (made["date_start"], made["date_end"]) == ("2018-01-06", "2018-04-28")
    added = answer(call("append", "ny", "--date-range", "2018-05-01,2018-12-31", "--json"))
    assert (added["found"], added["added"], added["scenes"]) == (12, 12, 19)
    assert answer(call("append", "ny", "--date-range", "2018-05-01,2018-12-31", "--json"))["added"] == 0
    checked = answer(call("refresh", "ny", "--json"))
    assert [checked[name] for name in ("checked", "changed", "added", "gone")] == [19, 0, 0, 0]
    written = answer(call("export", "ny", tmp_path / "export", "--json"))
    assert len(rasteret_sql.load(written["path"])) == 19
    assert answer(call("info", "ny", "--json"))["scene_count"] == 19
    assert [(entry["name"], entry["size"]) for entry in answer(call("list", "--json"))] == [("ny", 19)]
    assert answer(call("drop", "ny", "--yes", "--json"))["scenes"] == 19
    assert answer(call("list", "--json")) == []
    assert list((tmp_path / "ws").iterdir()) == []
    assert len(rasteret_sql.load(written["path"])) == 19


def test_texts_for_people(call):
    assert call("list")[1].startswith("no collection is cached in")
    code, out, _ = call("build", "dunes", "--stac-api", CATALOG, "--collection", "sentinel-s2-l2a-cogs")
    assert (code, out.startswith("dunes: 1 scenes at ")) == (0, True)
    assert "│ dunes " in call("list")[1]
    assert "scene_count       1\n" in call("info", "dunes")[1]
    assert call("append", "dunes")[1] == "dunes: 0 of 1 scenes were new; it has 1 now\n"
    assert call("refresh", "dunes")[1] == "dunes: 1 scenes checked, 0 read again, 0 added, 0 gone\n"
    assert call("drop", "dunes", "-y")[1] == "removed dunes, 1 scenes\n"


@pytest.mark.exhaustive
def test_a_dataset_and_a_table_are_sources_too(call, tmp_path):
    made = answer(
        call("build", "fields", "--dataset", "earthsearch/naip", "--stac-api", CATALOG, "--bbox=-90,40,-80,45",
             "--date-range", "2010-01-01,2022-12-31", "--json")
    )  # fmt: skip
    assert made["data_source"] == "earthsearch/naip"
    scenes = rasteret_sql.build_from_stac(
        name="ny", stac_api=CATALOG, collection="landsat8-ny-2018", workspace_dir=tmp_path / "other"
    )
    scenes.sql(f"COPY (FROM scenes) TO '{tmp_path / 'items.parquet'}'")
    table = answer(
        call("build", "rows", "--table", tmp_path / "items.parquet", "--query", '"eo:cloud_cover" < 20', "--json")
    )
    assert table["kind"] == "records"
    assert 0 < table["scene_count"] < 19


@pytest.mark.exhaustive
def test_the_same_build_again_is_cached_and_force_is_not(call):
    first = answer(call("build", "ny", *NY, "--json"))
    assert answer(call("build", "ny", *NY, "--json"))["created"] == first["created"]
    assert answer(call("build", "ny", *NY, "--force", "--json"))["created"] > first["created"]


@pytest.mark.exhaustive
def test_names_may_be_shortened_while_they_are_clear(call):
    answer(call("build", "bay-north", *NY, "--json"))
    answer(call("build", "bay-south", *NY, "--json"))
    assert answer(call("info", "bay-n", "--json"))["name"] == "bay-north"
    code, _, err = call("info", "bay", "--json")
    assert code == 1
    assert "bay-north, bay-south" in err or '"bay-north"' in err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("build", "x"), 1, "a build has one source, and none was given"),
        (("build", "x", "--table", "t.parquet", "--dataset", "a"), 1, "not --dataset and --table"),
        (("build", "x", "--bbox", "1,2"), 2, "is not west,south,east,north"),
        (("build", "x", "--date-range", "2024"), 2, "is not from,to"),
        (("build", "x", "--band-map", "[1]"), 2, "is no JSON object"),
        (("build", "x", "--dataset", "nope"), 1, "nope"),
        (("build", "x", "--stac-api", "missing.json"), 1, "missing.json"),
        (("build", "x", *NY, "--max-concurrent", "0"), 1, "max_concurrent"),
        (("info", "nope"), 1, 'no collection "nope"'),
        (("drop", "nope", "--yes"), 1, 'no collection "nope"'),
        (("nonsense",), 2, "invalid choice"),
    ],
)
def test_what_cannot_be_done_is_said(call, words, code, says):
    got, out, err = call(*words)
    assert (got, out) == (code, "")
    assert says in err
    assert "Traceback" not in err


def test_dropping_asks_first(call, monkeypatch):
    answer(call("build", "ny", *NY, "--json"))
    code, _, err = call("drop", "ny")
    assert code == 1
    assert "add --yes" in err

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert call("drop", "ny")[:2] == (0, "nothing was removed\n")
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert call("drop", "ny")[:2] == (0, "removed ny, 19 scenes\n")


@pytest.mark.exhaustive
def test_a_query_as_json_and_as_sql(call):
    json_form = answer(call("build", "a", *NY, "--query", '{"eo:cloud_cover": {"lt": 20}}', "--json"))
    sql_form = answer(call("build", "b", *NY, "--query", '"eo:cloud_cover" < 20', "--json"))
    assert 0 < json_form["scene_count"] == sql_form["scene_count"] < 19
