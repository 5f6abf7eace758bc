"""Names in DuckDB: how they are written, and whether they are free."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
from sqlglot import exp

from rasteret_sql.errors import InvalidArgumentError, NameTakenError
from rasteret_sql.functions.registry import FUNCTIONS

_MARK = "__rasteret_"
"""In the text of every macro of ours."""


def quote(name: str) -> str:
    """A name as an identifier of SQL."""
    return str(exp.to_identifier(name, quoted=True).sql("duckdb"))


def quote_text(text: str) -> str:
    """A text as a literal of SQL."""
    return str(exp.Literal.string(text).sql("duckdb"))


@dataclass(frozen=True, slots=True)
class Present:
    """What of ours is there already."""

    catalog: bool
    bare: bool
    """All bare names, where this connection looks first."""


def is_in_memory(con: duckdb.DuckDBPyConnection) -> bool:
    """True where the connection's current database has no file."""
    # Fetched to the end: DuckDB 2.0 refuses other work on a connection with rows left.
    rows = con.execute(
        "SELECT path IS NULL AND type = 'duckdb' FROM duckdb_databases() WHERE database_name = current_database()"
    ).fetchall()
    return [bool(is_memory) for (is_memory,) in rows] == [True]


def check_names(con: duckdb.DuckDBPyConnection, catalog: str, *, ours: bool) -> Present:
    """Look whether the names that an installation needs are free or ours.

    Args:
        con: connection to look through.
        catalog: wanted name of the catalog.
        ours: True: we attached a catalog of that name to this database before.

    Raises:
        NameTakenError: a name belongs to something else.
        InvalidArgumentError: the catalog's name cannot be one.
    """
    if not catalog or "\0" in catalog or catalog.casefold() in ("main", "temp", "system"):
        raise InvalidArgumentError(f'catalog="{catalog}" cannot name a catalog; leave it out, or give another name')
    functions = con.execute(
        "SELECT database_name, schema_name, function_name, contains(coalesce(macro_definition, ''), ?), "
        "database_name = current_database() AND schema_name = current_schema() OR database_name = 'temp' "
        "FROM duckdb_functions() WHERE list_contains(?, function_name) "
        "AND (database_name IN (current_database(), 'temp', 'system') OR lower(database_name) = lower(?))",
        [_MARK, [function.name for function in FUNCTIONS], catalog],
    ).fetchall()
    in_catalog = {
        name for database, _, name, mine, _ in functions if mine and database.casefold() == catalog.casefold()
    }
    attached = _is_attached(con, catalog)
    if attached and not (ours and len(in_catalog) == len(FUNCTIONS)):
        raise NameTakenError(
            f'a catalog "{catalog}" is attached already; install(con, catalog="{catalog}_sql") puts the functions '
            "and views under another name"
        )
    if _is_schema(con, catalog):
        raise NameTakenError(
            f'the database has a schema "{catalog}", so {catalog}.read_chip would be ambiguous; '
            f'install(con, catalog="{catalog}_sql") puts the functions and views under another name'
        )
    for database, schema, name, mine, _ in functions:
        if not mine and database.casefold() != catalog.casefold():
            raise NameTakenError(
                f'"{name}" is a function of {database}.{schema} already; DROP MACRO it or rename it, then install again'
            )
    bare = {name for *_, name, mine, first in functions if mine and first}
    return Present(attached, len(bare) == len(FUNCTIONS))


def _is_attached(con: duckdb.DuckDBPyConnection, catalog: str) -> bool:
    return bool(
        con.execute("SELECT 1 FROM duckdb_databases() WHERE lower(database_name) = lower(?)", [catalog]).fetchall()
    )


def _is_schema(con: duckdb.DuckDBPyConnection, catalog: str) -> bool:
    return bool(
        con.execute(
            "SELECT 1 FROM duckdb_schemas() WHERE database_name = current_database() AND lower(schema_name) = lower(?)",
            [catalog],
        ).fetchall()
    )
