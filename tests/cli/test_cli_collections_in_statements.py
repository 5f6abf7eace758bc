"""Collections that statements of the shell make, and those that they name although they are not there."""

from __future__ import annotations

import re

import pytest

import rasteret_sql
from rasteret_sql.cli.main import report
from rasteret_sql.cli.open_runner import open_runner
from rasteret_sql.cli.output import Output
from rasteret_sql.cli.runner import Runner, StatementError
from rasteret_sql.cli.statements import split_statements
from tests.hosts.hosting import CATALOG

BUILD = f"FROM rasteret_build_from_stac('meadows', '{CATALOG}', 'sentinel2-eopatch-slovenia')"


@pytest.fixture
def runner(tmp_path):
    with open_runner(Output(), workspace=tmp_path / "workspace", progress=False) as runner:
        yield runner


def said(runner: Runner, capsys, sql: str) -> str:
    """The error of a statement as the shell shows it."""
    with pytest.raises(StatementError) as failed:
        runner.run_all(split_statements(sql))
    report(failed.value)
    return capsys.readouterr().err


@pytest.mark.parametrize("name", ["nope", '"nope"', "main.nope", 'main . "Nope"'])
def test_a_collection_that_is_not_there_is_said_with_those_that_are(runner, capsys, name):
    runner.run_all(split_statements(f"{BUILD} SELECT count(*)"))
    shown = said(runner, capsys, f"SELECT 1; SELECT id\nFROM rasteret.{name} WHERE id = 'a'")
    assert shown.casefold().startswith('error: no collection "nope" is open or cached in')
    assert "Known: meadows. Make it with rasteret_build" in shown
    assert "pg_" not in shown


@pytest.mark.parametrize("name", ["rasteret.nope", '"rasteret".nope', 'RASTERET . main."nope"'])
def test_without_collections_no_table_is_suggested(runner, capsys, name):
    assert "There are none. Make it with" in said(runner, capsys, f"FROM {name}")


@pytest.mark.parametrize(
    "sql",
    [
        "FROM nope",
        "SELECT rasteret.nope FROM nope2",
        "SELECT 'rasteret.nope' FROM nope",
        "FROM rasteret.nope()",
        "FROM main.nope",
    ],
)
def test_other_errors_stay_duckdbs_own(runner, capsys, sql):
    assert "Catalog Error:" in said(runner, capsys, sql)


def test_what_another_process_has_built_is_there_when_asked_again(runner, capsys, tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path / "workspace") as other:
        other.execute(BUILD).fetchall()
    query = "SELECT count(*) AS n FROM rasteret.meadows"
    assert "run the statement again" in said(runner, capsys, query)
    runner.run_all(split_statements(query))
    assert "68" in capsys.readouterr().out


def test_a_damaged_collection_is_an_error_and_the_shell_goes_on(runner, capsys, tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path / "workspace") as other:
        other.execute(BUILD).fetchall()
    (manifest,) = (tmp_path / "workspace").rglob("_manifest.json")
    manifest.write_text("{")
    assert "meadows" in said(runner, capsys, "SELECT count(*) FROM rasteret.meadows")
    runner.run_all(split_statements("SELECT 42 AS answer"))
    assert "42" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        (BUILD, 4),
        (f"-- a comment\n{BUILD.replace('FROM', 'select * from rasteret.')}", 4),
        ("FROM rasteret_load('meadows', name := 'again (2)')", 4),
        (f"{BUILD} LIMIT 60", 40),
        (f"SELECT * FROM {BUILD[5:]}, range(1)", 40),
        ("FROM rasteret.meadows", 40),
    ],
)
def test_a_call_that_makes_a_collection_shows_few_of_its_scenes(runner, capsys, sql, shown):
    runner.run_all(split_statements(f"{BUILD} SELECT count(*)"))
    capsys.readouterr()
    runner.run_all(split_statements(sql))
    printed = capsys.readouterr().out
    assert re.search(rf"6[08] rows \({shown} shown\)", printed)
    assert len(re.findall(r"│ S2_L1C_EOPATCH", printed)) == shown


def test_other_forms_have_every_scene(runner, capsys):
    runner.output.use("csv")
    runner.run_all(split_statements(BUILD))
    assert len(capsys.readouterr().out.splitlines()) == 69
