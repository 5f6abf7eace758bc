"""connect() and install(): which names are seen where, and that a user's own things stay as they are."""

from __future__ import annotations

import json

import duckdb
import pytest

import rasteret_sql
from rasteret_sql.errors import InvalidArgumentError, NameTakenError
from tests.hosts.hosting import SAHARA, SQUARE, build, output_of
from tests.sampling import some

CHIP = f"read_chip('{SAHARA}', 'B04', '{SQUARE}', collection := 'bay').width"


def inventory(con: duckdb.DuckDBPyConnection) -> list[tuple]:
    """Everything by name that a user could see in a database."""
    return con.execute(
        "SELECT 'database', database_name, '' FROM duckdb_databases() "
        "UNION ALL SELECT 'schema', database_name, schema_name FROM duckdb_schemas() "
        "UNION ALL SELECT DISTINCT 'function', database_name, function_name FROM duckdb_functions() "
        "UNION ALL SELECT 'view', database_name, view_name FROM duckdb_views() "
        "UNION ALL SELECT 'table', database_name, table_name FROM duckdb_tables() ORDER BY ALL"
    ).fetchall()


def test_connect_gives_bare_and_qualified_names_to_every_cursor(cached):
    con = rasteret_sql.connect(workspace_dir=cached)
    expected = con.execute(f"SELECT {CHIP}").fetchone()
    assert expected[0] > 10
    cursor = con.cursor()
    assert cursor.execute(f"SELECT {CHIP}").fetchone() == expected
    assert cursor.execute(f"SELECT rasteret.{CHIP}").fetchone() == expected
    assert cursor.execute("SELECT count(*) FROM rasteret.bay").fetchone() == (1,)


def test_install_into_a_plain_connection(cached):
    con = duckdb.connect()
    assert rasteret_sql.install(con, workspace_dir=cached) is con
    assert con.sql(f"SELECT {CHIP}").fetchall()[0][0] > 10


@pytest.mark.exhaustive
def test_install_into_the_module_serves_duckdb_sql(cached):
    text = """
        import sys, duckdb, rasteret_sql
        rasteret_sql.install(duckdb, workspace_dir=sys.argv[1])
        rasteret_sql.install(duckdb)
        duckdb.sql("SET threads = 2")
        print(duckdb.sql("SELECT " + sys.argv[2]).fetchall())
        duckdb.sql("FROM rasteret.year").show()
    """
    assert "LC08_" in output_of(text, cached, CHIP)


def test_installing_again_changes_nothing(cached):
    con = rasteret_sql.connect(workspace_dir=cached)
    con.execute(build("later")).fetchall()
    before = inventory(con)
    rasteret_sql.install(con)
    rasteret_sql.install(con.cursor())
    rasteret_sql.install(con, workspace_dir="/nowhere")
    assert inventory(con) == before
    assert con.execute("SELECT count(*) FROM rasteret.later").fetchone() == (1,)


def test_install_takes_connections_only():
    with pytest.raises(InvalidArgumentError, match="takes a DuckDB connection or the module duckdb, not str"):
        rasteret_sql.install("a.duckdb")


# A user's own file


def test_nothing_is_left_in_a_database_file(file_database, cached):
    con = rasteret_sql.connect(file_database, workspace_dir=cached)
    con.execute(build("bay")).fetchall()
    con.execute(f"CREATE TABLE chips AS SELECT {CHIP} AS width FROM rasteret.bay")
    con.execute("CREATE TABLE scenes AS SELECT id FROM rasteret.bay")
    con.close()
    text = """
        import json, sys, duckdb
        con = duckdb.connect(sys.argv[1])
        ours = "WHERE database_name NOT IN ('system', 'temp') AND NOT internal"
        print(json.dumps([
            con.execute(f"SELECT function_name FROM duckdb_functions() {ours}").fetchall(),
            con.execute(f"SELECT view_name FROM duckdb_views() {ours}").fetchall(),
            con.execute("SELECT database_name FROM duckdb_databases() WHERE NOT internal").fetchall(),
            con.execute("SELECT schema_name FROM duckdb_schemas() WHERE database_name = 'user'").fetchall(),
            con.execute("SELECT table_name FROM duckdb_tables() ORDER BY ALL").fetchall(),
            con.execute("FROM scenes").fetchall(),
        ]))
    """
    functions, views, databases, schemas, tables, scenes = json.loads(output_of(text, file_database))
    assert (functions, views, databases) == ([], [], [["user"]])
    assert schemas == [["main"]]
    assert tables == [["chips"], ["scenes"], ["t"]]
    assert scenes == [[SAHARA]]


def test_a_database_file_gets_temporary_bare_names_on_the_connection_alone(file_database, cached):
    con = rasteret_sql.connect(file_database, workspace_dir=cached)
    assert con.execute(f"SELECT {CHIP}").fetchone()[0] > 10
    where = con.execute("SELECT DISTINCT database_name FROM duckdb_functions() WHERE function_name = 'read_chip'")
    assert sorted(where.fetchall()) == [("rasteret",), ("temp",)]
    cursor = con.cursor()
    assert cursor.execute(f"SELECT rasteret.{CHIP}").fetchone()[0] > 10
    with pytest.raises(duckdb.CatalogException, match="read_chip"):
        cursor.execute(f"SELECT {CHIP}")
    rasteret_sql.install(cursor)
    assert cursor.execute(f"SELECT {CHIP}").fetchone()[0] > 10


def test_a_read_only_file(file_database, cached):
    con = rasteret_sql.connect(file_database, workspace_dir=cached, read_only=True)
    assert con.execute(f"SELECT {CHIP}, i FROM t").fetchone()[1] == 42
    con.execute(build("bay")).fetchall()
    assert con.execute("SELECT id FROM rasteret.bay").fetchone() == (SAHARA,)


@pytest.mark.exhaustive
def test_a_closed_connection_lets_go_of_the_file(file_database, cached):
    con = rasteret_sql.connect(file_database, workspace_dir=cached)
    con.execute(build("bay")).fetchall()
    con.close()
    duckdb.connect(str(file_database), config={"threads": 1}).close()  # refused while it is open otherwise
    con = rasteret_sql.connect(file_database, workspace_dir=cached)
    del con
    duckdb.connect(str(file_database), config={"threads": 1}).close()


# Another catalog, taken names


@pytest.mark.exhaustive
def test_another_catalog_has_its_macros_and_views(cached):
    con = duckdb.connect()
    rasteret_sql.install(con, catalog="other", workspace_dir=cached)
    assert con.execute('SELECT id FROM other."bay"').fetchone() == (SAHARA,)
    assert con.execute(f"SELECT other.{CHIP}").fetchone()[0] > 10
    con.execute(build("new")).fetchall()
    assert con.execute("SELECT id FROM other.new").fetchone() == (SAHARA,)
    before = inventory(con)
    rasteret_sql.install(con, catalog="other")
    assert inventory(con) == before
    rasteret_sql.install(con)
    assert con.execute("SELECT id FROM rasteret.new").fetchone() == (SAHARA,)
    con.execute(build("newer")).fetchall()
    assert con.execute("SELECT count(*) FROM rasteret.newer JOIN other.newer USING (id)").fetchone() == (1,)


@pytest.mark.parametrize("catalog", some(['my "catalog"; DROP', "Grün 2024", "select", "a.b", "it's"], 5))
def test_a_catalog_of_a_strange_name(catalog, cached):
    con = rasteret_sql.connect(workspace_dir=cached, catalog=catalog)
    quoted = '"' + catalog.replace('"', '""') + '"'
    assert con.execute(f"SELECT id FROM {quoted}.bay").fetchone() == (SAHARA,)
    assert con.execute(f"SELECT {quoted}.{CHIP}").fetchone()[0] > 10
    rasteret_sql.install(con, catalog=catalog)


@pytest.mark.parametrize("catalog", some(["", "main", "temp", "SYSTEM"], 3))
def test_a_name_that_cannot_be_a_catalog(catalog):
    con = duckdb.connect()
    before = inventory(con)
    with pytest.raises(InvalidArgumentError, match="cannot name a catalog"):
        rasteret_sql.install(con, catalog=catalog)
    assert inventory(con) == before


@pytest.mark.parametrize(
    ("taken_by", "named"),
    some(
        [
            ("ATTACH ':memory:' AS rasteret", 'catalog "rasteret" is attached already'),
            ("ATTACH ':memory:' AS Rasteret", 'catalog "rasteret" is attached already'),
            ("CREATE SCHEMA rasteret", 'schema "rasteret"'),
            ("CREATE MACRO read_chip(x) AS x", '"read_chip" is a function of memory.main already'),
            ("CREATE TEMP MACRO zonal_stats(x) AS x", '"zonal_stats" is a function of temp.main already'),
            (
                "CREATE MACRO rasteret_build(x) AS TABLE SELECT x",
                '"rasteret_build" is a function of memory.main already',
            ),
        ],
        9,
    ),
)
def test_a_taken_name_is_an_error_before_anything_changes(taken_by, named):
    con = duckdb.connect()
    con.execute(taken_by)
    before = inventory(con)
    with pytest.raises(NameTakenError, match=named):
        rasteret_sql.install(con)
    assert inventory(con) == before


def test_a_taken_python_function_is_an_error_before_anything_changes():
    con = duckdb.connect()
    con.create_function("sample_point", lambda x: x, ["BIGINT"], "BIGINT")
    before = inventory(con)
    with pytest.raises(NameTakenError, match=r'"sample_point" is a function of system\.main already'):
        rasteret_sql.install(con)
    assert inventory(con) == before


def test_a_taken_catalog_proposes_a_free_one(cached):
    con = duckdb.connect()
    con.execute("ATTACH ':memory:' AS rasteret")
    with pytest.raises(NameTakenError, match=r'install\(con, catalog="rasteret_sql"\)'):
        rasteret_sql.install(con)
    rasteret_sql.install(con, catalog="rasteret_sql", workspace_dir=cached)
    assert con.execute("SELECT id FROM rasteret_sql.bay").fetchone() == (SAHARA,)


def test_names_elsewhere_are_not_in_the_way(cached):
    con = duckdb.connect()
    con.execute("ATTACH ':memory:' AS mine")
    con.execute("CREATE MACRO mine.main.read_chip(x) AS x")
    rasteret_sql.install(con, workspace_dir=cached)
    assert con.execute("SELECT mine.read_chip(1)").fetchone() == (1,)
    assert con.execute(f"SELECT {CHIP}").fetchone()[0] > 10


def test_a_detached_catalog_comes_back(cached):
    con = rasteret_sql.connect(workspace_dir=cached)
    con.execute("DETACH rasteret")
    rasteret_sql.install(con)
    assert con.execute("SELECT id FROM rasteret.bay").fetchone() == (SAHARA,)


# Transactions


def test_a_view_made_in_a_transaction_is_seen_after_it(tmp_path):
    con = rasteret_sql.connect(workspace_dir=tmp_path)
    con.execute("BEGIN")
    con.execute("SELECT rasteret.chip_values(NULL)").fetchall()  # from here the transaction sees the catalog as it is
    assert con.execute(build("bay")).fetchall()[0][0] == SAHARA
    assert con.execute(f"SELECT {CHIP}").fetchone()[0] > 10
    con.execute("COMMIT")
    assert con.execute("SELECT id FROM rasteret.bay").fetchone() == (SAHARA,)


def test_a_first_install_inside_a_transaction_is_refused():
    con = duckdb.connect()
    con.execute("CREATE TABLE t AS SELECT 1 AS i")
    con.execute("BEGIN")
    con.execute("INSERT INTO t VALUES (2)")
    before = inventory(con)
    with pytest.raises(InvalidArgumentError, match=r"open transaction.*COMMIT or ROLLBACK"):
        rasteret_sql.install(con)
    assert inventory(con) == before
    con.execute("COMMIT")
    assert con.execute("SELECT count(*) FROM t").fetchone() == (2,)
    rasteret_sql.install(con)


@pytest.mark.parametrize("end", some(["COMMIT", "ROLLBACK"], 2))
def test_installing_again_inside_a_transaction(end, file_database, cached):
    con = rasteret_sql.connect(file_database, workspace_dir=cached)
    cursor = con.cursor()
    cursor.execute("BEGIN")
    cursor.execute("INSERT INTO t VALUES (43)")
    rasteret_sql.install(cursor)
    assert cursor.execute(f"SELECT {CHIP}").fetchone()[0] > 10
    cursor.execute(end)
    rasteret_sql.install(cursor)
    assert cursor.execute(f"SELECT {CHIP}").fetchone()[0] > 10
    assert cursor.execute("SELECT count(*) FROM t").fetchone() == (2 if end == "COMMIT" else 1,)


# Cached collections


def test_cached_collections_are_views_from_the_first_statement(cached):
    con = rasteret_sql.connect(workspace_dir=cached)
    assert con.execute("SELECT count(*) FROM rasteret.year").fetchone() == (19,)
    again = rasteret_sql.connect(workspace_dir=cached)
    assert again.execute('SELECT "eo:cloud_cover" FROM rasteret.year LIMIT 1').fetchone() is not None
    names = {
        row[0]
        for row in again.execute("SELECT view_name FROM duckdb_views() WHERE database_name = 'rasteret'").fetchall()
    }
    assert {"bay", "year", 'my site "2024"; DROP'} <= names
    assert again.execute('SELECT id FROM rasteret."my site ""2024""; DROP"').fetchone() == (SAHARA,)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "statement",
    some(
        [
            "FROM rasteret.year",
            "DESCRIBE rasteret.year",
            'SELECT a.id, b."eo:cloud_cover" FROM rasteret.year a JOIN rasteret.year b USING (id)',
            "SELECT * FROM rasteret.year WHERE datetime > '2018-06-01' ORDER BY id",
            "SUMMARIZE SELECT id FROM rasteret.year",
        ],
        9,
    ),
)
def test_the_first_use_of_a_cached_view_has_the_true_columns(statement, cached):
    fresh = rasteret_sql.connect(workspace_dir=cached)
    used = rasteret_sql.connect(workspace_dir=cached)
    used.execute("FROM rasteret.year").fetchall()
    first = fresh.execute(statement)
    expected = used.execute(statement)
    assert [column[:2] for column in first.description] == [column[:2] for column in expected.description]
    assert len(first.fetchall()) == len(expected.fetchall()) > 0


def test_a_user_view_over_a_cached_one(cached):
    con = rasteret_sql.connect(workspace_dir=cached)
    con.execute('CREATE VIEW clear AS SELECT id FROM rasteret.year WHERE "eo:cloud_cover" < 20')
    assert 0 < len(con.execute("FROM clear").fetchall()) < 19
    con.execute("CREATE TABLE kept AS FROM rasteret.year")
    assert con.execute("SELECT count(*) FROM kept").fetchone() == (19,)


def test_merely_cached_collections_are_not_searched_for_scenes(cached):
    con = rasteret_sql.connect(workspace_dir=cached)
    with pytest.raises(duckdb.InvalidInputException, match="no collection is open in this session"):
        con.execute(f"SELECT read_chip('{SAHARA}', 'B04').width").fetchall()
    con.execute("FROM rasteret.bay").fetchall()
    assert con.execute(f"SELECT read_chip('{SAHARA}', 'B04').width").fetchone()[0] > 10


def test_what_another_process_builds_later_is_found_by_name(tmp_path):
    con = rasteret_sql.connect(workspace_dir=tmp_path)
    other = rasteret_sql.connect(workspace_dir=tmp_path)  # as good as another process: they share the directory alone
    other.execute(build("bay")).fetchall()
    assert con.execute(f"SELECT {CHIP}").fetchone()[0] > 10
    assert con.execute("SELECT name FROM rasteret_collections()").fetchall() == [("bay",)]


@pytest.mark.exhaustive
def test_names_that_differ_in_case_alone_are_one_view(tmp_path):
    con = rasteret_sql.connect(workspace_dir=tmp_path)
    con.execute(build("Bay")).fetchall()
    con.execute(build("bay", "landsat8-ny-2018")).fetchall()
    assert con.execute("SELECT count(*) FROM rasteret.bay").fetchone() == (19,)
    views = con.execute(
        "SELECT view_name FROM duckdb_views() WHERE database_name = 'rasteret' AND NOT internal"
    ).fetchall()
    assert len(views) == 1


# Python's relation replacement


def test_python_variables_do_not_stand_for_collections(tmp_path):
    con = rasteret_sql.connect(workspace_dir=tmp_path)
    bay = duckdb.sql("SELECT 1 AS wrong")  # noqa: F841  found by DuckDB's replacement scans
    con.execute(build("bay")).fetchall()
    assert con.execute("SELECT id FROM rasteret.bay").fetchone() == (SAHARA,)
