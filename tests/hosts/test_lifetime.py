"""What an installation holds, and for how long: sessions, database files, and silence at the interpreter's end."""

from __future__ import annotations

import gc
import textwrap
import weakref

import duckdb
import pyarrow.parquet
import pytest

import rasteret_sql
from rasteret_sql.connection import session_for
from rasteret_sql.errors import InvalidArgumentError
from tests.hosts.hosting import SAHARA, SQUARE, build, output_of
from tests.sampling import some

CHIP = f"read_chip('{SAHARA}', 'B04', '{SQUARE}', collection := 'bay').width"


@pytest.mark.exhaustive
def test_a_dropped_connection_frees_its_session(cached):
    con = rasteret_sql.connect(workspace_dir=cached)
    con.execute(f"SELECT {CHIP}").fetchall()
    con.execute(build("bay")).fetchall()
    session = weakref.ref(session_for(con))
    del con
    gc.collect()
    assert session() is None


@pytest.mark.exhaustive
def test_twenty_connections_leave_nothing(cached):
    sessions = []
    for _ in range(20):
        con = rasteret_sql.connect(workspace_dir=cached)
        con.execute("SELECT id FROM rasteret.bay").fetchall()
        sessions.append(weakref.ref(session_for(con)))
        del con
    gc.collect()
    assert [session for session in sessions if session() is not None] == []


@pytest.mark.exhaustive
def test_each_database_has_its_session_and_its_connections_share_it(cached, tmp_path):
    one = rasteret_sql.connect(workspace_dir=cached)
    other = rasteret_sql.connect(workspace_dir=tmp_path)
    cursor = one.cursor()
    assert session_for(cursor) is session_for(one)
    assert session_for(other) is not session_for(one)
    rasteret_sql.install(cursor)
    session = session_for(one)
    del one
    gc.collect()
    assert session_for(cursor) is session
    assert cursor.execute(f"SELECT {CHIP}").fetchone()[0] > 10
    assert other.execute("FROM rasteret_collections()").fetchall() == []
    with pytest.raises(InvalidArgumentError, match="not installed in this connection"):
        session_for(duckdb.connect())


def test_a_relation_keeps_what_it_needs(cached):
    assert rasteret_sql.connect(workspace_dir=cached).sql(f"SELECT {CHIP}").fetchall()[0][0] > 10


def test_a_cursor_that_outlives_its_connection_says_what_to_do(cached):
    cursor = rasteret_sql.connect(workspace_dir=cached).cursor()
    gc.collect()
    with pytest.raises(duckdb.InvalidInputException, match=r"the connection .* is gone; keep it, or call rasteret_sql"):
        cursor.execute(f"SELECT {CHIP}").fetchall()
    rasteret_sql.install(cursor, workspace_dir=cached)
    assert cursor.execute(f"SELECT {CHIP}").fetchone()[0] > 10
    assert cursor.execute("SELECT id FROM rasteret.bay").fetchone() == (SAHARA,)
    cursor.execute(build("new")).fetchall()
    assert cursor.execute("SELECT id FROM rasteret.new").fetchone() == (SAHARA,)


@pytest.mark.exhaustive
def test_cached_collections_are_named_but_not_opened_at_connect(tmp_path, cached, monkeypatch):
    """Of one without a manifest, as rasteret writes them, a footer is read for its name; of others nothing."""
    full = tmp_path / "full"
    export = tmp_path / "export"
    rasteret_sql.load(next(path for path in cached.iterdir() if path.name.startswith("bay"))).export(export)
    source = next(export.rglob("*.parquet"))
    content = source.read_bytes()
    assert content.count(b"\x18\x03bay\0") == 1  # its name, as the file's metadata has it
    for number in range(40):
        directory = full / f"any_2020_x-{number}_stac" / "year=2020" / "month=2"
        directory.mkdir(parents=True)
        renamed = content.replace(b"\x18\x03bay\0", b"\x18\x03%03d\0" % number)
        (directory / source.name).write_bytes(renamed)
    read = []
    real = pyarrow.parquet.read_metadata

    def told(path):
        read.append(str(path))
        return real(path)

    monkeypatch.setattr(pyarrow.parquet, "read_metadata", told)
    built = len(rasteret_sql.Collection.list_collections(cached))  # other tests build there, too
    for workspace, names, footers in ((full, 40, 40), (cached, built, 0)):
        read.clear()
        with rasteret_sql.connect(workspace_dir=workspace) as con:
            query = "SELECT count(*) FROM duckdb_views() WHERE database_name = 'rasteret' AND NOT internal"
            views = con.execute(query).fetchone()[0]
            assert (views, len(read), len(set(read))) == (names, footers, footers)
            assert names >= 3
            assert len(session_for(con).collections) == 0
    with rasteret_sql.connect(workspace_dir=full) as con:
        assert con.execute('SELECT id FROM rasteret."007"').fetchone() == (SAHARA,)
        assert len(session_for(con).collections) == 1


PROGRAMS = {
    "an open connection": """
        con = rasteret_sql.connect(workspace_dir=sys.argv[1])
        con.execute(sys.argv[2]).fetchall()
    """,
    "an open cursor": """
        con = rasteret_sql.connect(workspace_dir=sys.argv[1])
        cursor = con.cursor()
        cursor.execute(sys.argv[2]).fetchall()
    """,
    "a cursor without its connection": """
        cursor = rasteret_sql.connect(workspace_dir=sys.argv[1]).cursor()
        cursor.execute("SELECT 42").fetchall()
    """,
    "an unfetched result": """
        con = rasteret_sql.connect(workspace_dir=sys.argv[1])
        con.execute(sys.argv[2] + " FROM range(5000)")
        other = con.cursor()
        other.execute("FROM range(5000)").fetchone()
    """,
    "a relation": """
        con = rasteret_sql.connect(workspace_dir=sys.argv[1])
        relation = con.sql(sys.argv[2])
    """,
    "the module's connection": """
        rasteret_sql.install(duckdb, workspace_dir=sys.argv[1])
        relation = duckdb.sql(sys.argv[2])
        relation.fetchall()
    """,
    "a collection": """
        from tests.hosts.hosting import CATALOG
        collection = rasteret_sql.build_from_stac(
            name="bay", stac_api=str(CATALOG), collection="sentinel-s2-l2a-cogs", workspace_dir=sys.argv[1])
        scenes = collection.sql("FROM scenes")
        scenes.fetchall()
    """,
    "an error": """
        con = rasteret_sql.connect(workspace_dir=sys.argv[1])
        try:
            con.execute("SELECT read_chip('no', 'B04')")
        except duckdb.Error as error:
            kept = error
    """,
    "many connections": """
        cons = [rasteret_sql.connect(workspace_dir=sys.argv[1]) for _ in range(3)]
        for con in cons:
            con.execute(sys.argv[2]).fetchall()
    """,
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("program", some(PROGRAMS.values(), 9), ids=PROGRAMS)
def test_no_noise_at_the_interpreter_end(program, cached):
    text = "import sys, duckdb, rasteret_sql\n" + textwrap.dedent(program)
    assert output_of(text, cached, f"SELECT {CHIP}") == ""
