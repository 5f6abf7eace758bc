"""Signing in to a STAC server by headers: on every call that searches, to that server alone, and never kept."""

from __future__ import annotations

import io
import json
from pathlib import Path

import duckdb
import pytest
from obstore.store import HTTPStore

import rasteret_sql
from rasteret_sql.cli.history import holds_credential
from rasteret_sql.cli.main import main
from rasteret_sql.errors import AccessDeniedError, InvalidArgumentError, RasteretError
from rasteret_sql.io.backend import ObstoreBackend
from rasteret_sql.stac import redirects
from rasteret_sql.stac.http_json import connect
from rasteret_sql.stac.search import StacSource
from tests.sampling import some
from tests.secrets.searching import Search
from tests.servers.secrets import planted
from tests.servers.stac_api import Faults, StacApiServer, load_catalog
from tests.stac.stac_items import make_asset, make_item, search_items

CATALOG = Path(__file__).resolve().parents[2] / "examples" / "data" / "catalog" / "catalog.json"
TOKEN = "stac-signing-in-7f1c2e"
API_KEY = "stac-signing-in-key-55a0"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "x-api-key": API_KEY, "X-Tenant": "stac-signing-in-tenant"}
NAIP = "earthsearch/naip"
WHERE = {"bbox": (-130, 20, -60, 50), "date_range": ("2011-01-01", "2020-12-31")}


@pytest.fixture(scope="module")
def archive():
    return load_catalog(CATALOG)


@pytest.fixture
def api(archive):
    with StacApiServer(*archive, required=HEADERS) as server:
        yield server


def kept_nowhere(folder):
    assert Search({TOKEN, API_KEY, HEADERS["X-Tenant"]}).folder(folder) == []


def test_python(api, tmp_path):
    shared = {"workspace_dir": tmp_path, "stac_api": api.url}
    for headers in ({}, {"headers": {"x-api-key": API_KEY}}):
        with pytest.raises(AccessDeniedError, match=r"401: access.*headers := .*--header-env.*append or a") as caught:
            rasteret_sql.build_from_stac(name="n", collection="naip", **shared, **headers)
        assert API_KEY not in str(caught.value)
    built = rasteret_sql.build_from_stac(name="n", collection="naip", **shared, headers=HEADERS)
    assert len(rasteret_sql.build(NAIP, name="d", **WHERE, **shared, headers=HEADERS)) > 0
    count = len(built)
    # Found again without any request, so nobody has to sign in.
    assert len(rasteret_sql.build_from_stac(name="n", collection="naip", **shared)) == count
    for call in (built.append, built.refresh):
        with pytest.raises(AccessDeniedError, match="headers := "):
            call()
        assert len(call(headers=HEADERS)) == count
    kept_nowhere(tmp_path)


@pytest.mark.parametrize(
    "given",
    some(
        [
            "MAP {'Authorization': $a, 'x-api-key': $k, 'X-Tenant': $t}",
            "{'Authorization': $a, 'x-api-key': $k, 'X-Tenant': $t}",
            "json_object('Authorization', $a, 'x-api-key', $k, 'X-Tenant', $t)",
        ],
        3,
    ),
)
def test_sql(api, tmp_path, given):
    values = {"a": HEADERS["Authorization"], "k": API_KEY, "t": HEADERS["X-Tenant"]}
    with rasteret_sql.connect(workspace_dir=tmp_path) as con:

        def count(call):
            return con.execute(f"SELECT count(*) FROM {call}", values).fetchone()[0]

        assert count(f"rasteret_stac_search('{api.url}', 'naip', headers := {given})") > 0
        assert count(f"rasteret_build_from_stac('n', '{api.url}', 'naip', headers := {given})") > 0
        assert count(
            f"rasteret_build('{NAIP}', name := 'd', stac_api := '{api.url}', bbox := [-130, 20, -60, 50], "
            f"date_range := ['2011-01-01', '2020-12-31'], headers := {given})"
        )
        assert count(f"rasteret_append('n', headers := {given})") == 1
        assert count(f"rasteret_refresh('n', headers := {given})") == 1
        for call in ("rasteret_append('n')", "rasteret_refresh('n')", f"rasteret_stac_search('{api.url}')"):
            with pytest.raises(duckdb.Error, match=r"access denied.*headers := "):
                con.execute(f"FROM {call}").fetchall()
        shown = [con.execute(f"FROM {call}").fetchall() for call in ("rasteret_collections()", "rasteret_settings()")]
        assert not any(secret in str(shown) for secret in (TOKEN, API_KEY))
    kept_nowhere(tmp_path)


@pytest.mark.exhaustive
def test_a_backend_with_headers_signs_in(api, tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws", config={"allow_unredacted_secrets": "true"}) as con:
        others = ", ".join(f"'{name}': '{value}'" for name, value in list(HEADERS.items())[1:])
        con.execute(
            f"CREATE SECRET site (TYPE http, BEARER_TOKEN '{TOKEN}', EXTRA_HTTP_HEADERS MAP {{{others}}}, "
            f"SCOPE '{api.url}')"
        )
        con.execute(
            f"CREATE SECRET elsewhere (TYPE http, BEARER_TOKEN '{TOKEN}', EXTRA_HTTP_HEADERS MAP {{{others}}}, "
            "SCOPE 'http://other.invalid')"
        )
        calls = [
            f"rasteret_stac_search('{api.url}', 'naip', backend := '{{}}')",
            f"rasteret_build_from_stac('n', '{api.url}', 'naip', backend := '{{}}')",
            "rasteret_append('n', backend := '{}')",
            "rasteret_refresh('n', backend := '{}')",
        ]
        for call in calls:
            assert len(con.execute(f"FROM {call.format('site')}").fetchall()) > 0
            if "build" not in call:
                with pytest.raises(duckdb.Error, match="access denied"):
                    con.execute(f"FROM {call.format('elsewhere')}").fetchall()
        con.execute("DROP SECRET site")
        con.execute("DROP SECRET elsewhere")
    kept_nowhere(tmp_path)


@pytest.mark.exhaustive
@pytest.mark.parametrize("ready", some([False, True], 2))
def test_a_backend_of_obstore_with_headers_signs_in_below_its_address(api, ready, tmp_path):
    options = {"default_headers": HEADERS, "allow_http": True}

    def backend(address):
        if ready:
            return ObstoreBackend(HTTPStore.from_url(address, client_options=options))
        return ObstoreBackend(address, client_options=options)

    assert len(list(search_items(StacSource(api.url, "naip", backend=backend(api.url))))) > 0
    assert len(list(search_items(StacSource(f"{api.url}/", "naip", backend=backend(f"{api.url}/"))))) > 0
    for address in (f"{api.url}/other", "http://127.0.0.1:1", "http://other.invalid"):
        with pytest.raises(AccessDeniedError):
            list(search_items(StacSource(api.url, "naip", backend=backend(address))))
    with (
        rasteret_sql.connect(workspace_dir=tmp_path, backend=backend(api.url)) as con,
        rasteret_sql.connect(workspace_dir=tmp_path) as without,
    ):
        search = f"SELECT count(*) FROM rasteret_stac_search('{api.url}', 'naip')"
        assert con.execute(search).fetchone()[0] > 0
        with pytest.raises(duckdb.Error, match="access denied"):
            without.execute(search)


def test_plans_do_not_show_headers_that_are_parameters(api, tmp_path):
    call = f"rasteret_stac_search('{api.url}', headers := {{'x-api-key': $key}})"
    with rasteret_sql.connect(workspace_dir=tmp_path) as con:
        for how in ("EXPLAIN", "EXPLAIN (FORMAT json)"):
            assert API_KEY not in str(con.execute(f"{how} FROM {call}", {"key": API_KEY}).fetchall())


@pytest.mark.exhaustive
@pytest.mark.parametrize("form", some(["words", "file", "variables"], 3))
def test_command_line(api, tmp_path, monkeypatch, capsys, form):
    lines = [f"{name}: {value}" for name, value in HEADERS.items()]
    given = [word for line in lines for word in ("--header", line)]
    if form == "file":
        file = planted(tmp_path.parent / f"{tmp_path.name}-headers")
        file.write_text("# of the archive\n" + "\n".join(lines) + "\n")
        given = ["--header", f"@{file}"]
    elif form == "variables":
        for n, value in enumerate(HEADERS.values()):
            monkeypatch.setenv(f"STAC_HEADER_{n}", value)
        given = [word for n, name in enumerate(HEADERS) for word in ("--header-env", f"{name}=STAC_HEADER_{n}")]

    def run(*words):
        return main(["collections", *words, "--workspace-dir", str(tmp_path), "--no-progress"])

    build = ("build", "n", "--stac-api", api.url, "--collection", "naip")
    assert run(*build, *given) == 0
    assert run("append", "n", *given) == 0
    assert run("refresh", "n", *given) == 0
    said = capsys.readouterr()
    assert run("refresh", "n") != 0
    said_then = capsys.readouterr()
    assert "access denied" in said_then.err
    assert not any(secret in text for secret in (TOKEN, API_KEY) for text in (*said, *said_then))
    kept_nowhere(tmp_path)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--header", TOKEN), "a header is 'Name: value'"),
        (("--header", "@/no/such/file"), "cannot be read"),
        (("--header-env", "Authorization=NO_SUCH_VARIABLE"), "the variable NO_SUCH_VARIABLE is not set"),
        (("--header-env", TOKEN), "expected Name=VARIABLE"),
    ],
)
def test_headers_that_a_command_does_not_take(words, says, capsys):
    with pytest.raises(SystemExit):
        main(["collections", "refresh", "n", *words])
    said = capsys.readouterr().err
    assert says in said
    assert TOKEN not in said


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"x-api-key": None}, '"x-api-key": it is NULL'),
        ({"x-api-key": f"{TOKEN}\r\nHost: x"}, "of several lines"),
        ({"x-api-key": ""}, "is empty"),
        ({f"{TOKEN} y": "x"}, "a name that HTTP does not take"),
        ({"x-api-key": {"a": TOKEN}}, "no text"),
        ([TOKEN], "headers is of type list"),
        (TOKEN, "not JSON"),
    ],
)
def test_headers_that_cannot_be_sent_are_told_without_their_values(headers, says):
    with pytest.raises(InvalidArgumentError, match=says) as caught:
        StacSource("https://x/v1", headers=headers)
    assert TOKEN not in str(caught.value)


def test_headers_are_for_stac_servers(tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path) as con:
        con.execute(
            "CREATE TABLE t AS SELECT id, datetime, geometry, assets FROM rasteret_stac_search($1, 'naip')",
            [str(CATALOG)],
        )
        con.execute("COPY t TO $1 (FORMAT parquet)", [str(tmp_path / "t.parquet")])
        con.execute("SELECT count(*) FROM rasteret_build_from_table($1, name := 't')", [str(tmp_path / "t.parquet")])
        for call in ("append", "refresh"):
            with pytest.raises(duckdb.Error, match="headers are for a STAC server"):
                con.execute(f"FROM rasteret_{call}('t', headers := {{'x-api-key': 'x'}})").fetchall()


def test_headers_do_not_go_to_the_hosts_of_files(tmp_path):
    with StacApiServer([]) as files:
        asset = {"data": make_asset(f"{files.url}/a.tif")}
        items = [make_item("a", collection="demo", assets=asset)]
        with StacApiServer(items, required=HEADERS) as api, pytest.raises(RasteretError):
            rasteret_sql.build_from_stac(name="x", stac_api=api.url, headers=HEADERS, workspace_dir=tmp_path)
        assert len(files.seen) > 0
        assert not any(set(HEADERS) & set(one.headers) for one in files.seen)


def test_a_refresh_signs_in_at_the_server_of_the_build_alone(archive, tmp_path):
    items, collections = archive
    naip = [item for item in items if item["collection"] == "naip"]
    with StacApiServer(naip[:1], collections, required=HEADERS) as api, StacApiServer(naip, collections) as other:
        built = rasteret_sql.build_from_stac(
            name="n", stac_api=api.url, collection="naip", headers=HEADERS, workspace_dir=tmp_path
        )
        built.append(stac_api=other.url)
        other.reset()
        built.refresh(headers=HEADERS)
        assert other.count("/search") == 1
        assert not any(set(HEADERS) & set(one.headers) for one in other.seen)


def test_a_given_header_counts_more_than_a_login_of_netrc(api, tmp_path, monkeypatch):
    netrc = planted(tmp_path / "netrc")
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert len(list(search_items(StacSource(api.url, "naip", headers=HEADERS)))) > 0
    api.faults = Faults(redirect=307)
    assert len(list(search_items(StacSource(api.url, "naip", headers=HEADERS)))) > 0


class _Sent(redirects.requests.adapters.BaseAdapter):
    """Answers everything by an empty object, and keeps what was sent."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def send(self, request, **_):
        self.seen.append((request.url, request.headers.get("x-api-key")))
        answer = redirects.requests.Response()
        answer.status_code, answer.url, answer.request, answer.raw = 200, request.url, request, io.BytesIO(b"{}")
        return answer

    def close(self):
        pass


def test_no_header_goes_over_plain_http_where_the_server_was_reached_by_https():
    """Servers behind proxies write http in their links: the same server is asked by https."""
    session, adapter = connect("https://stac.invalid/v1", {"x-api-key": API_KEY}), _Sent()
    for scheme in ("http://", "https://"):
        session.session.mount(scheme, adapter)
    for address in ("http://stac.invalid/v1/search", "https://STAC.invalid/v1", "https://other.invalid/v1"):
        assert json.loads(session.request(address)) == {}
    assert adapter.seen == [
        ("https://stac.invalid/v1/search", API_KEY),
        ("https://stac.invalid/v1", API_KEY),
        ("https://other.invalid/v1", None),
    ]
    session.session.close()


def test_a_line_with_headers_is_not_kept_in_the_history_of_the_shell():
    assert holds_credential("FROM rasteret_stac_search('https://x', headers := {'X-Tenant': 'abc'})")
    assert not holds_credential("FROM rasteret_stac_search('https://x')")
