"""Reads tables and views of a database as Arrow, for functions that take one by its name."""

from __future__ import annotations

import duckdb
import pyarrow as pa
from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

# Off, else a name that no table has would be looked for among the Python variables of our own frames.
_NO_VARIABLES = "SET SESSION python_enable_replacements = false; SET SESSION python_scan_all_frames = false"


def read_relation(cursor: duckdb.DuckDBPyConnection, name: str) -> pa.Table | None:
    """Rows of the table or view of that name; None where the cursor sees none.

    Args:
        cursor: of the database, used up by this. It sees what is committed: no TEMP, registered or newer ones.
        name: as in SQL, also `schema.name` and with quotes.
    """
    query = _select(name)
    if query is None:
        return None
    try:
        cursor.execute(_NO_VARIABLES)
        return cursor.sql(query).to_arrow_table()
    except duckdb.CatalogException:
        return None
    finally:
        cursor.close()


def _select(name: str) -> str | None:
    """A query of the table; None where the text is no name of one."""
    try:
        table = parse_one(name, into=exp.Table, dialect="duckdb")
    except SqlglotError:
        return None
    if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier) or table.alias:
        return None
    if {key for key, value in table.args.items() if value} - {"this", "db", "catalog"}:
        return None
    named = exp.table_(table.name, db=table.db or None, catalog=table.catalog or None, quoted=True)
    return str(exp.select("*").from_(named).sql("duckdb"))
