from __future__ import annotations

import duckdb
import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from rasteret_sql.cli.commands import run_command
from rasteret_sql.cli.completion import Names, SqlCompleter, SqlLexer, quoted
from rasteret_sql.cli.output import Output
from rasteret_sql.cli.progress import ProgressDisplay
from rasteret_sql.cli.prompt import Prompt, open_history, state_folder
from rasteret_sql.cli.runner import Runner
from tests.sampling import some


@pytest.fixture
def connection():
    with duckdb.connect() as opened:
        opened.execute("SET python_enable_replacements = false")
        # What an installed connection has, as far as completion asks.
        opened.execute(
            "CREATE MACRO rasteret_functions() AS TABLE SELECT unnest(['read_chip', 'rasteret_build']) AS name"
        )
        opened.execute(
            "CREATE MACRO rasteret_collections() AS TABLE SELECT unnest(['bay', 'my-site 2024', 'a''b']) AS name, "
            "unnest([['B04', 'SCL'], ['red', 'it''s'], []]) AS bands"
        )
        opened.execute("CREATE MACRO rasteret_indices() AS TABLE SELECT 'NDVI' AS name")
        opened.execute("CREATE MACRO rasteret_datasets() AS TABLE SELECT 'earthsearch/naip' AS id")
        opened.execute("ATTACH ':memory:' AS rasteret")
        opened.execute('CREATE VIEW rasteret.bay AS SELECT 1 AS id, 2 AS "eo:cloud_cover"')
        opened.execute('CREATE VIEW rasteret."my-site 2024" AS SELECT 1 AS id')
        opened.execute("CREATE TABLE fields (name VARCHAR, geom VARCHAR)")
        yield opened


@pytest.fixture
def complete(connection):
    completer = SqlCompleter(Names(connection))

    def texts(text):
        return [c.text for c in completer.get_completions(Document(text), CompleteEvent())]

    return texts


@pytest.mark.parametrize(
    ("text", "expected"),
    some(
        [
            ("SELECT read_c", "read_chip"),
            ("FROM ba", "rasteret.bay"),
            ("FROM rasteret_b", "rasteret_build"),
            ("FROM rasteret.", '"my-site 2024"'),
            ("FROM fie", "fields"),
            ("SELECT x FROM bay JOIN my", 'rasteret."my-site 2024"'),
            ("SELECT cloud", '"eo:cloud_cover"'),
            ('SELECT "eo', '"eo:cloud_cover"'),
            ("SELECT bay.eo", '"eo:cloud_cover"'),
            ("SELECT fields.ge", "geom"),
            ("sel", "select"),
            ("SEL", "SELECT"),
            ("SELECT array_agg", "array_agg"),
            ("SELECT read_chip(id, 'B04', geom, collection := 'ba", "bay"),
            ("SELECT read_chip(id, 'B04', geom, collection := '", "a''b"),
            ("SELECT read_chip(id, 'B04', ov", "overview := "),
            ("SELECT read_chip(id, 'POINT (1 2)', geom, all_touched := true, on_", "on_error := "),
            ("FROM rasteret_build('a/b', bbox := [1, 2, 3, 4], ", "date_range := "),
            ("SELECT read_chip(id, 'b", "B04"),
            ("SELECT read_chip(id, 're", "red"),
            ("SELECT read_chip(id, ['B04', '", "SCL"),
            ("SELECT read_chip(id, 'it", "it''s"),
            ("SELECT zonal_stats(id, 'ND", "NDVI"),
            ("SELECT read_chip(id, band := 'B", "B04"),
            ("SELECT zonal_stat(id, 'B04', geom, 'med", "median"),
            ("FROM zonal_stats_table(bay, fields, 'B04', stats := ['mean', 'ma", "max"),
            ("SELECT read_chip(id, 'B04', resampling := 'bil", "bilinear"),
            ("SELECT read_chip(id, 'B04', mask := 'cl", "clouds"),
            ("FROM rasteret_build('nai", "earthsearch/naip"),
            ("SELECT zonal_stats(id, 'B04', 'POINT (1 2)').me", "mean"),
            ("SELECT zonal_stats(id, 'B04', geom).", "valid_percent"),
            ("SELECT read_chip(id, 'B04').wi", "width"),
            (".mo", ".mode"),
            (".mode c", "csv"),
        ],
        3,
    ),
)
def test_completion(complete, text, expected):
    assert expected in complete(text)


def test_bands_are_those_of_the_collections_in_the_statement(complete):
    assert complete("FROM rasteret.bay SELECT read_chip(id, '")[:3] == ["B04", "SCL", "NDVI"]
    assert set(complete("SELECT read_chip(id, '")) == {"B04", "SCL", "red", "it''s", "NDVI"}
    assert complete("SELECT lower('B0") == []
    assert complete("SELECT lower('x').") == complete("SELECT lower('x').zz") == []
    assert "clip := " not in complete("SELECT read_chip(id, ['B04', ")


def test_the_likeliest_comes_first(complete):
    assert complete("SELECT read_c")[0] == "read_chip"
    assert complete("SELECT id, 'B0") == []
    assert complete("SELECT ") == []


def test_named_arguments_come_where_an_argument_begins(complete):
    named = complete("SELECT read_chip(id, 'B04', geom, fill := 0, ")
    assert "clip := " in named
    assert "fill := " not in named  # said already
    assert "band := " not in named  # goes by its place
    assert complete("SELECT read_chip(id, 'B04', geom, clip := o") != complete("SELECT read_chip(id, 'B04', geom, o")
    assert complete("SELECT lower(o")[:1] != ["overview := "]


def test_completion_sees_what_a_statement_made(connection):
    names = Names(connection)
    completer = SqlCompleter(names)
    ask = lambda: [c.text for c in completer.get_completions(Document("FROM new_t"), CompleteEvent())]  # noqa: E731
    assert ask() == []
    connection.execute("CREATE TABLE new_table (a INT)")
    names.refresh()
    assert ask() == ["new_table"]


def test_completion_is_quiet_in_a_broken_transaction(connection, complete):
    connection.execute("BEGIN")
    with pytest.raises(duckdb.Error):
        connection.execute("SELECT error('x')")
    assert isinstance(complete("FROM fie"), list)


def test_names_are_written_as_sql_needs_them():
    assert [quoted(n) for n in ("bay", "Bay", "my-site", 'a"b', "1a")] == [
        "bay",
        '"Bay"',
        '"my-site"',
        '"a""b"',
        '"1a"',
    ]


@pytest.mark.parametrize("text", ["SELECT 'é数', 1.5 -- c\nFROM t", "SELECT 'open", "", "\n\n", "SELECT $$"])
def test_colours_do_not_change_the_text(text):
    lines = SqlLexer().lex_document(Document(text))
    assert ["".join(piece for _, piece in lines(n)) for n in range(len(text.split("\n")))] == text.split("\n")


def test_colours():
    pieces = SqlLexer().lex_document(Document("SELECT 'é' FROM t"))(0)
    assert ("class:keyword", "SELECT ") in pieces
    assert any(style == "class:string" and "é" in piece for style, piece in pieces)
    assert any(style == "class:keyword" and piece.startswith("FROM") for style, piece in pieces)


def typed(connection, keys, capsys):
    errors = []
    with create_pipe_input() as keyboard, create_app_session(input=keyboard, output=DummyOutput()):
        keyboard.send_text(keys)
        runner = Runner(connection, Output("csv"), connection.interrupt, run_command, ProgressDisplay(wanted=False))
        Prompt(runner, errors.append, history=InMemoryHistory()).loop()
        runner.output.close()
    return capsys.readouterr().out, errors


def test_a_statement_is_asked_for_until_its_semicolon(connection, capsys):
    out, errors = typed(connection, "SELECT 1\rAS a;\rSELECT 2 AS b; SELECT 3 AS c;\r\x04", capsys)
    assert (out, errors) == ("a\n1\nb\n2\nc\n3\n", [])


def test_an_error_is_shown_and_the_prompt_comes_again(connection, capsys):
    out, errors = typed(connection, "SELECT nope();\rSELECT 2 AS b;\r.mode json\rSELECT 3 AS c;\r.quit\r", capsys)
    assert out == 'b\n2\n[\n\t{"c":3}\n]\n'
    assert "nope" in str(errors[0])


@pytest.mark.exhaustive
def test_ctrl_c_at_the_prompt_drops_what_was_typed(connection, capsys):
    out, errors = typed(connection, "SELECT broken\x03SELECT 2 AS b;\r\x04", capsys)
    assert (out, errors) == ("b\n2\n", [])


def test_history_is_kept_where_it_can_be(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert state_folder() == tmp_path / "state" / "rasteret_sql"
    assert isinstance(open_history(state_folder()), FileHistory)
    (tmp_path / "file").touch()
    assert isinstance(open_history(tmp_path / "file" / "below"), InMemoryHistory)
    assert isinstance(open_history(None), InMemoryHistory)
