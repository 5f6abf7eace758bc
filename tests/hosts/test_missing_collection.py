"""Errors of collections that are not there, of Collection.sql and in cells: those of DuckDB, and which there are."""

from __future__ import annotations

from types import SimpleNamespace

import duckdb
import pytest

import rasteret_sql
from tests.hosts.hosting import CATALOG


@pytest.fixture
def ny(tmp_path):
    return rasteret_sql.build_from_stac(
        name="ny", stac_api=str(CATALOG), collection="landsat8-ny-2018", workspace_dir=tmp_path
    )


def refused(work):
    with pytest.raises(duckdb.CatalogException) as caught:
        work()
    return caught.value


def test_the_error_of_a_collection_has_a_note(ny):
    error = refused(lambda: ny.sql("SELECT id\nFROM rasteret.nye WHERE id = $1", ["a"]))
    assert str(error).startswith("Catalog Error: Table with name nye does not exist!")
    (note,) = error.__notes__
    assert note.startswith('no collection "nye" is open or cached in')
    assert "Known: ny" in note
    assert not hasattr(refused(lambda: ny.sql("FROM nye")), "__notes__")


def test_a_collection_that_was_built_since_is_there_now(ny, tmp_path):
    assert ny.sql("SELECT count(*) FROM scenes").fetchall() == [(19,)]
    rasteret_sql.build_from_stac(
        name="later", stac_api=str(CATALOG), collection="landsat8-ny-2018", workspace_dir=tmp_path
    )
    with pytest.raises(duckdb.CatalogException) as caught:
        ny.sql("SELECT count(*) FROM rasteret.later")
    (note,) = caught.value.__notes__
    assert note == (
        '"later" was built since this session began. It is there now: run the statement again; in a transaction, '
        "after COMMIT or ROLLBACK"
    )
    assert ny.sql("SELECT count(*) FROM rasteret.later").fetchall() == [(19,)]


def test_below_the_error_of_a_cell_stands_which_collections_there_are(ny, tmp_path, monkeypatch, capsys):
    events = pytest.importorskip("IPython.core.events")
    formatters = pytest.importorskip("IPython.core.formatters")
    from rasteret_sql.hosts import ipython_session

    shell = SimpleNamespace(display_formatter=formatters.DisplayFormatter())
    shell.events = events.EventManager(shell, events.available_events)
    monkeypatch.setattr(ipython_session, "_running", lambda: shell)
    con = rasteret_sql.connect(workspace_dir=tmp_path)
    rasteret_sql.install(con)

    def said(work, cell):
        info = SimpleNamespace(raw_cell=cell)
        shell.events.trigger("post_run_cell", SimpleNamespace(error_in_exec=refused(work), info=info))
        return [line for line in capsys.readouterr().err.splitlines() if str(tmp_path) in line]

    cell = "con.sql('FROM rasteret.nye')"
    (text,) = said(lambda: con.sql("FROM rasteret.nye"), cell)
    assert text.startswith('no collection "nye" is open or cached in')
    assert "Known: ny" in text
    assert said(lambda: con.sql("FROM nye"), "con.sql('FROM nye')") == []
    assert said(lambda: con.sql("FROM nye"), "con.sql('FROM nye, rasteret.ny')") == []
    assert said(lambda: ny.sql("FROM rasteret.nye"), cell) == []  # its note has it
    ipython_session.unload_ipython_extension(shell)
    ipython_session.unload_ipython_extension(shell)
    assert said(lambda: con.sql("FROM rasteret.nye"), cell) == []
