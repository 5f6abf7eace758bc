"""What is wrong with the arguments of a call that DuckDB's binder refuses: its own messages, explained."""

import re
from pathlib import Path

import duckdb
import pytest

import rasteret_sql
from rasteret_sql.functions.misspelt import explained
from tests.sampling import some

TINY = Path(__file__).resolve().parents[1] / "sql" / "data" / "tiny.json"


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    with rasteret_sql.connect(workspace_dir=tmp_path_factory.mktemp("ws")) as connection:
        yield connection


def refused(con, sql):
    with pytest.raises(duckdb.Error) as caught:
        con.execute(sql)
    return str(caught.value)


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        (
            "SELECT zonal_stats('s', 'b', 'x', all_touch := true)",
            'no argument "all_touch"; did you mean "all_touched"?',
        ),
        ("SELECT rasteret.zonal_stats('s', 'b', 'x', all_touch => true)", 'did you mean "all_touched"?'),
        ("SELECT READ_CHIP('s', 'b', \"Clipp\" := true)", 'read_chip has no argument "Clipp"; did you mean "clip"?'),
        ("SELECT read_chip(scene := 's', band := 'b')", 'no argument "scene"; did you mean "scene_id"?'),
        (
            "SELECT zonal_stats('s', 'b', struct_pack(a := 1), over := [f(x, y := 2)])",
            'no argument "over"; did you mean',
        ),
        (
            "SELECT zonal_stats(1, 2, 'x'), -- zonal_stats(n := 1)\nzonal_stats('s', ', n := (', 'x', wieghted := 1)",
            'no argument "wieghted"; did you mean "weighted"?',
        ),
        (
            "FROM rasteret_build('a/b', bboxx := [1, 2, 3, 4])",
            'rasteret_build has no argument "bboxx"; did you mean "bbox"?',
        ),
        ("FROM rasteret_scenes('tiny', 'x', daterange := 'y')", 'did you mean "date_range"?'),
        ("SELECT zonal_stats('s', 'b')", "zonal_stats misses geom"),
        ("SELECT zonal_stat('s', geom := 'x')", "zonal_stat misses band, stat"),
        ("FROM rasteret_datasets(1)", "rasteret_datasets is given 1 arguments and takes none"),
    ],
)
def test_the_fault_is_named(con, sql, says):
    message = refused(con, sql)
    assert "Candidate macros" in message
    text = explained(sql, message)
    assert text.startswith("Binder Error: ")
    assert says in text
    assert "Candidate macros" not in text
    assert ("LINE" in text) == ("LINE" in message)


@pytest.mark.parametrize("sql", ["SELECT nothing(1)", "SELECT twice(1, a := 2)", "SELECT 1 +"])
def test_other_messages_stay(con, sql):
    con.execute("CREATE OR REPLACE MACRO twice(x) AS 2 * x")
    message = refused(con, sql)
    assert explained(sql, message) == message


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("SELECT zonal_stats('s', 'b', 'x', mask = 'c = 1')", "mask"),
        ("SELECT abs(1), rasteret.read_chip('s', ['b'], mask = 'clouds')", "mask"),
        ("FROM zonal_stats_table('a', 'b', 'c', stats = ['mean'])", "stats"),
        ("SELECT zonal_stats('s', 'b', 'x', true, resolution = 20)", "resolution"),
        ("SELECT zonal_stats('s', 'b', 'x') WHERE mask = 1", None),
        ("SELECT zonal_stats('s', 'b', 'x', (mask = 1))", None),
        ("SELECT zonal_stats('s', 'b', 'x', nothing = 1)", None),
    ],
)
def test_an_argument_that_is_compared_is_named(con, sql, name):
    message = refused(con, sql)
    told = f"{message}\nThe argument is written {name} := ...; {name} = ... compares" if name else message
    assert explained(sql, message) == told


def test_sql_of_a_collection_says_it(tmp_path):
    collection = rasteret_sql.build_from_stac(
        name="tiny", stac_api=TINY, data_source="demo/none", workspace_dir=tmp_path / "ws"
    )
    with pytest.raises(duckdb.BinderException, match='no argument "all_touch"; did you mean "all_touched"'):
        collection.sql("SELECT zonal_stats(id, 'b', 'POINT (1 1)', all_touch := true) FROM scenes")
    with pytest.raises(duckdb.BinderException, match='"nothing" not found'):
        collection.sql("SELECT nothing FROM scenes")


@pytest.mark.parametrize(
    ("call", "names"),
    some(
        [
            ("SELECT zonal_stats('s', 'b', 'x', all_touch := true)", ("scene_id", "geom", "all_touched", "weighted")),
            ("SELECT geo.read_chip('s', 'b', clipp := true)", ("scene_id", "band", "clip", "geom_crs")),
            ("FROM rasteret_build('a/b', bboxx := [1, 2, 3, 4])", ("dataset", "bbox", "date_range", "stac_api")),
        ],
        3,
    ),
)
def test_duckdbs_own_message_lists_the_arguments_where_ours_cannot_be_told(tmp_path, call, names):
    """On a user's connection and in dbt the binder refuses a call before any code of ours runs."""
    with duckdb.connect(tmp_path / "own.duckdb") as connection:
        rasteret_sql.install(connection, catalog="geo", workspace_dir=tmp_path / "ws")
        message = refused(connection, call)
    assert message.startswith("Binder Error: Macro ")
    listed = message.split("Candidate macros:")[1]
    for name in names:
        assert re.search(rf"[(\s]{name}( := NULL)?[,)]", listed), name
