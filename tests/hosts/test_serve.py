"""`rasteret-sql serve`: clients over Quack, what they may run and read, and the statement of one stopped alone."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time

import duckdb
import pytest

import rasteret_sql
from rasteret_sql.cli.serve import read_token
from rasteret_sql.errors import AccessDeniedError, InvalidArgumentError
from rasteret_sql.hosts.quack_guard import READABLE, Guard
from rasteret_sql.io.allowed_addresses import AllowedAddresses
from tests.cli.processes import SHELL, environment
from tests.hosts.hosting import DATA, SAHARA, SQUARE, build
from tests.hosts.test_quack import EXTENSIONS, extension_file
from tests.sampling import some

TIF = DATA / "sentinel-s2-l2a-cogs" / SAHARA / "B04.tif"


@pytest.fixture(scope="module")
def guard():
    return Guard(is_read_only=True)


@pytest.mark.parametrize(
    "statement",
    [
        "FROM rasteret.bay",
        "\n SELECT catalog_name FROM information_schema.schemata",
        "SELECT 'rasteret_drop(1); DROP TABLE t' -- rasteret_drop(2)",
        "SELECT zonal_stats(id, 'B04', geometry).mean FROM rasteret.bay",
        "WITH a AS (FROM rasteret_collections()) FROM a",
        "EXPLAIN ANALYZE SELECT 1",
        "FROM query('SELECT 1')",
        "SELECT rasteret_stop(began_at) FROM rasteret_running()",
        "DESCRIBE rasteret.bay",
        "SELEC 1",  # DuckDB says what is wrong with it
    ],
)
def test_what_a_read_only_server_runs(guard, statement):
    assert guard.answer("client", statement) == statement


@pytest.mark.parametrize(
    ("statement", "says"),
    some(
        [
            ("DROP VIEW bay", "DROP is refused: this server is read-only"),
            ("SELECT 1; CREATE TABLE t AS SELECT 1", "CREATE is refused"),
            ("WITH a AS (SELECT 1) INSERT INTO t FROM a", "INSERT is refused"),
            ("EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1", "CREATE is refused"),
            ("SET threads = 1", "SET is refused"),
            ("COPY (SELECT 1) TO '/tmp/a.csv'", "COPY is refused"),
            ("ATTACH '/tmp/a.db'", "ATTACH is refused"),
            ("FROM rasteret_drop('bay')", "rasteret_drop is refused, since it changes something"),
            ('SELECT 1 WHERE EXISTS (FROM "rasteret".main."RASTERET_DROP"(\'bay\'))', "rasteret_drop is refused"),
            (
                "FROM rasteret_build_from_stac('a', 'http://169.254.169.254/', 'c')",
                "rasteret_build_from_stac is refused",
            ),
            ("FROM rasteret_export('bay', '/tmp/x')", "rasteret_export is refused"),
            ("SELECT __rasteret_drop('{}')", "__rasteret_drop is refused: call the public functions"),
            ("FROM query('FROM query(''FROM rasteret_drop(''''bay'''')'')')", "rasteret_drop is refused"),
            ("FROM query('FROM rasteret_' || 'drop(1)')", "query() is allowed of a text alone"),
            ("FROM quack_stop('quack:localhost:1')", "quack_stop is refused"),
        ],
        3,
    ),
)
def test_what_a_read_only_server_refuses(guard, statement, says):
    with duckdb.connect() as con, pytest.raises(duckdb.Error) as raised:
        con.execute(guard.answer("client", statement))
    assert says in str(raised.value)


def test_a_server_that_is_not_read_only_refuses_to_be_stopped_alone():
    guard = Guard(is_read_only=False)
    for statement in ("DROP VIEW bay", "FROM rasteret_drop('bay')", "SELECT 1; CREATE TABLE t AS SELECT 1"):
        assert guard.answer("client", statement) == statement
    assert "quack_stop is refused" in guard.answer("client", "FROM quack_stop('quack:localhost:1')")


def test_every_function_that_changes_something_is_refused():
    changing = (
        "append",
        "build",
        "create",
        "drop",
        "export",
        "load",
        "refresh",
        "register",
        "settings",
        "write",
        "source",
    )
    assert [name for name in READABLE if any(word in name for word in changing)] == []


@pytest.mark.parametrize(
    ("allowed", "address", "is_allowed"),
    [
        ("{tmp}/a", "{tmp}/a/x.tif", True),
        ("{tmp}/a", "{tmp}/a/../b/x.tif", False),
        ("{tmp}/a", "{tmp}/ab/x.tif", False),
        ("{tmp}/a", "file://{tmp}/a/x.tif", True),
        ("{tmp}/a", "{tmp}/a/link/x.tif", False),
        ("s3://bucket/k/", "s3://bucket/k/x.tif", True),
        ("s3://bucket/k/", "https://bucket.s3.amazonaws.com/k/x.tif", True),
        ("s3://bucket/k/", "s3://bucket/kk/x.tif", False),
        ("s3://bucket", "s3://other/x.tif", False),
        ("https://host/a/", "https://host/a/x.tif?sig=1", True),
        ("https://host/a/", "https://host/a/%2e%2e/x.tif", False),
        ("https://host/", "http://host/x.tif", False),
        ("https://host/", "https://host@evil/x.tif", False),
        ("https://host/", "{tmp}/x.tif", False),
    ],
)
def test_addresses_that_clients_may_name(tmp_path, allowed, address, is_allowed):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "link").symlink_to(tmp_path / "b")
    addresses = AllowedAddresses()
    addresses.require("/anything/before/restrict")
    addresses.restrict([allowed.format(tmp=tmp_path)])
    if is_allowed:
        addresses.require(address.format(tmp=tmp_path))
        return
    with pytest.raises(AccessDeniedError, match=r"clients of this server may not name .*, only what lies in"):
        addresses.require(address.format(tmp=tmp_path))


def test_paths_in_rows_are_checked_too(tmp_path):
    con = rasteret_sql.connect(workspace_dir=tmp_path)
    con.execute(build("bay")).fetchall()
    from rasteret_sql.connection import session_for

    session_for(con).allowed.restrict([str(tmp_path)])
    assert con.execute(f"SELECT read_chip(id, 'B04', '{SQUARE}').width > 0 FROM rasteret.bay").fetchall() == [(True,)]
    for statement in (
        f"SELECT read_chip(p, 1).width FROM (VALUES ('{TIF}')) t(p)",
        f"FROM rasteret_files('{TIF}')",
        f"FROM rasteret_features('{DATA}/zones/fields.geojson')",
        f"FROM zonal_stats_table(rasteret.bay, '{DATA}/zones/fields.geojson', 'B04')",
        f"FROM rasteret_build_from_files('{TIF}', name := 'x')",
        build("other"),
        f"FROM rasteret_build_from_table('{DATA}/aef/aef_index.parquet')",
        f"FROM rasteret_load('{DATA}')",
        f"FROM rasteret_export('bay', '{tmp_path}x')",
        f"WITH w AS (SELECT 'x'::BLOB AS file) FROM rasteret_write(w, '{tmp_path}x/a.bin')",
        f"FROM rasteret_collections(workspace_dir := '{DATA}')",
    ):
        with pytest.raises(duckdb.Error, match="clients of this server may not name"):
            con.execute(statement).fetchall()


@pytest.mark.exhaustive
def test_one_statement_is_stopped_and_others_go_on(tmp_path):
    con = rasteret_sql.connect(workspace_dir=tmp_path)
    con.execute(build("m", "sentinel2-eopatch-slovenia")).fetchall()
    ended = {}

    def run(name, repeats):
        heavy = f"SELECT sum(zonal_stats(id, 'ndvi', geometry).mean + n) FROM rasteret.m, range({repeats}) t(n)"
        try:
            ended[name] = con.cursor().execute(heavy).fetchall()
        except duckdb.Error as error:
            ended[name] = str(error)

    threads = [threading.Thread(target=run, args=given) for given in (("long", 1_000_000), ("short", 10))]
    threads[0].start()
    deadline = time.monotonic() + 60
    while not (began := con.execute("SELECT began_at FROM rasteret_running()").fetchall()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    threads[1].start()
    assert con.execute("SELECT rasteret_stop($1)", began[0]).fetchall() == [(True,)]
    for thread in threads:
        thread.join(60)
    assert "the query was interrupted" in ended["long"]
    assert len(ended["short"]) == 1
    assert con.execute("SELECT rasteret_stop('2000-01-01'), rasteret_stop(NULL)").fetchall() == [(False, None)]


@pytest.mark.parametrize(
    ("text", "says"), [("short", "has 5 characters; expected 16 at least"), (b"\xff" * 20, "cannot be read")]
)
def test_tokens_that_cannot_be_used(tmp_path, text, says):
    (tmp_path / "token").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidArgumentError, match=says):
        read_token(tmp_path / "token")


def test_a_token_file_is_made_for_its_owner_alone(tmp_path):
    token = read_token(tmp_path / "token")
    assert len(token) > 30
    assert read_token(tmp_path / "token") == token
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


@pytest.mark.exhaustive
def test_clients_of_a_served_process(tmp_path):
    files = {name: extension_file(name) for name in EXTENSIONS}
    workspace = tmp_path / "workspace"
    rasteret_sql.connect(workspace_dir=workspace).execute(build("m", "sentinel2-eopatch-slovenia")).fetchall()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = ["serve", "--read-only", "--port", port, "-w", str(workspace), "--token-file", str(tmp_path / "token")]
    served = subprocess.Popen(
        [*SHELL, *command, "--max-seconds", "20"], env=environment(tmp_path), stdout=subprocess.PIPE, text=True
    )
    try:
        assert f"quack:localhost:{port}" in served.stdout.readline()

        def client(token=None):
            con = duckdb.connect(config={"extension_directory": str(tmp_path / "client")})
            for name, file in files.items():
                con.execute(f"INSTALL '{file}'; LOAD {name}")
            said = token or (tmp_path / "token").read_text().strip()
            con.execute(f"CREATE SECRET (TYPE quack, TOKEN '{said}'); ATTACH 'quack:localhost:{port}' AS remote")
            return con

        with pytest.raises(duckdb.Error, match="Authentication failed"):
            client("0" * 20)
        con = client()
        assert con.execute("SELECT count(*) FROM remote.m").fetchall() == [(68,)]
        asked = "FROM remote.query($1)"
        mean = "SELECT avg(zonal_stat(id, 'ndvi', geometry, 'mean')) FROM rasteret.m"
        assert 0 < con.execute(asked, [mean]).fetchall()[0][0] < 1
        for statement, says in (
            ("FROM rasteret_drop('m')", "rasteret_drop is refused"),
            ("FROM read_text('/etc/passwd')", "disabled by configuration"),
            (f"SELECT read_chip('{TIF}', 1).width", "may not name"),
        ):
            with pytest.raises(duckdb.Error, match=says):
                con.execute(asked, [statement]).fetchall()

        # Of two heavy statements one is stopped, by another client; the other one goes on to its end.
        ended = {}

        def run(name, repeats):
            heavy = f"SELECT sum(zonal_stats(id, 'ndvi', geometry).mean + n) FROM rasteret.m, range({repeats}) t(n)"
            try:
                ended[name] = client().execute(asked, [heavy]).fetchall()
            except duckdb.Error as error:
                ended[name] = str(error)

        long = threading.Thread(target=run, args=("long", 10_000_000))
        long.start()
        running = "SELECT began_at FROM rasteret_running()"
        deadline = time.monotonic() + 60
        while not (began := con.execute(asked, [running]).fetchall()):
            assert time.monotonic() < deadline
        short = threading.Thread(target=run, args=("short", 10))
        short.start()
        stop = f"SELECT rasteret_stop('{began[0][0].isoformat()}')"
        assert con.execute(asked, [stop]).fetchall() == [(True,)]
        for thread in (long, short):
            thread.join(60)
        assert "the query was interrupted" in ended["long"]
        assert len(ended["short"]) == 1
        con.execute("DETACH remote")
    finally:
        served.send_signal(signal.SIGTERM)
        assert served.wait(30) == 0
        served.stdout.close()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--max-seconds", "0"], "--max-seconds is 0.0; expected a number above 0"),
        (["--format", "csv"], "unrecognized"),
    ],
)
def test_bad_arguments(words, says, capsys):
    from rasteret_sql.cli.main import main

    try:
        assert main(["serve", *words]) == 1
    except SystemExit as left:
        assert left.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.skipif(duckdb.__version__ < "2", reason="there is a package of Quack for it")
def test_without_quack_it_says_what_to_install(tmp_path):
    from rasteret_sql.hosts.quack import load_quack

    con = duckdb.connect(config={"extension_directory": str(tmp_path), "custom_extension_repository": str(tmp_path)})
    with pytest.raises(
        InvalidArgumentError, match=r"has no extension httpfs here: pip install 'rasteret-sql\[quack\]'"
    ):
        load_quack(con)
