"""What a start imports: nothing that reads, builds, searches or draws, until that is asked for."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import duckdb
import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st

import rasteret_sql
from rasteret_sql.functions.registry import FUNCTIONS
from rasteret_sql.quoting import quote_name, quote_text, quote_value
from tests.cli.processes import environment

HEAVY = (
    *(
        "asyncio",
        "concurrent.futures",
        "imagecodecs",
        "jsonschema",
        "lark",
        "obstore",
        "prompt_toolkit",
        "pyproj",
        "pystac",
    ),
    *("pystac_client", "requests", "rich", "shapely", "sqlglot", "urllib3"),
    *("pyarrow.compute", "pyarrow.dataset", "pyarrow.parquet"),
)
OWN = ("rasteret_sql.stac", "rasteret_sql.engine.scheduler", "rasteret_sql.session.session", "rasteret_sql.reading")
"""Ours, which are as good as those: who imports one of them imports a dozen."""


def imported_by(program, tmp_path, *arguments):
    """Which of the heavy modules a program has imported at its end, in a fresh interpreter."""
    code = f"{program}\nimport json, sys\nprint(json.dumps([m for m in {(*HEAVY, *OWN)} if m in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_imports_none_of_them(tmp_path):
    assert imported_by("import rasteret_sql", tmp_path) == set()


def test_opening_a_connection_imports_none_of_them(tmp_path):
    assert imported_by("import rasteret_sql; con = rasteret_sql.connect()", tmp_path) == set()
    assert imported_by("import duckdb, rasteret_sql; rasteret_sql.install(duckdb)", tmp_path) == set()


@pytest.mark.exhaustive
def test_a_statement_of_the_shell_imports_none_of_them(tmp_path):
    program = "from rasteret_sql.cli.main import main; assert main(['-c', 'SELECT 1']) == 0"
    assert imported_by(program, tmp_path) == set()


@pytest.mark.exhaustive
def test_a_call_imports_what_it_runs(tmp_path):
    program = "import rasteret_sql; rasteret_sql.connect().sql('FROM rasteret_collections()').fetchall()"
    imported = imported_by(program, tmp_path)
    assert imported >= {"rasteret_sql.session.session", "pyarrow.parquet"}
    assert imported.isdisjoint({"pystac", "pystac_client", "requests", "jsonschema", "rich", "prompt_toolkit"})


def test_the_names_of_the_package_are_those_that_type_checkers_see():
    tree = ast.parse(Path(rasteret_sql.__file__).read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name for node in block.body for alias in node.names}
    assert seen == set(rasteret_sql.__all__) <= set(dir(rasteret_sql))
    for node in block.body:
        module = import_module(node.module)
        for alias in node.names:
            assert getattr(rasteret_sql, alias.name) is getattr(module, alias.name)


def test_a_name_that_the_package_has_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'rasteret_sql' has no attribute 'conect'"):
        rasteret_sql.conect  # noqa: B018


@pytest.mark.exhaustive
def test_a_session_is_made_once_for_calls_from_many_threads(tmp_path):
    program = """
import threading, rasteret_sql
from rasteret_sql.session import session
made = []
make = session.new_session
session.new_session = lambda *given: made.append(threading.current_thread().name) or make(*given)
con = rasteret_sql.connect()
ask = lambda: con.cursor().execute("FROM rasteret.rasteret_failures()").fetchall()
threads = [threading.Thread(target=ask) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(made) == 1 and made[0].startswith("rasteret-session"), made
"""
    assert "rasteret_sql.session.session" in imported_by(program, tmp_path)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(TEXTS, TEXTS)
def test_names_and_texts_come_back_from_sql_as_they_were(name, text):
    relation = duckdb.sql(f"SELECT {quote_text(text)} AS {quote_name(name)}")
    assert (relation.columns, relation.fetchall()) == ([name], [(text,)])
    assert sqlglot.exp.to_identifier(name, quoted=True).sql("duckdb") == quote_name(name)


def test_duckdb_has_no_function_of_a_name_of_ours():
    """A new database is not asked whether the names are free."""
    names = {name for (name,) in duckdb.connect().execute("SELECT function_name FROM duckdb_functions()").fetchall()}
    assert "list_contains" in names
    assert names.isdisjoint(function.name for function in FUNCTIONS)


@pytest.mark.parametrize(
    "value",
    [None, True, -3, 1.5, "it's", [], ["a", None], {"a b": {"c": [True, 2]}, "d": "'"}],
)
def test_values_are_written_as_duckdb_reads_them(value):
    [(text,)] = duckdb.sql(f"SELECT to_json([{quote_value(value)}])").fetchall()
    assert json.loads(text) == [value]
