"""Tells which names are free in DuckDB."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from rasteret_sql.errors import InvalidArgumentError, NameTakenError
from rasteret_sql.functions.registry import FUNCTIONS

_MARK = "__rasteret_"
"""In the text of every macro of ours."""


@dataclass(frozen=True, slots=True)
class Present:
    """The names of ours that are there already."""

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


def check_names(con: duckdb.DuckDBPyConnection, catalog: str, *, ours: bool, is_new: bool) -> Present:
    """Look whether the names that an installation needs are free or ours.

    Args:
        con: connection to look through.
        catalog: wanted name of the catalog.
        ours: True: we attached a catalog of that name to this database before.
        is_new: True: nobody made anything in the database yet, so that only names of its own can be taken.

    Raises:
        NameTakenError: a name belongs to something else.
        InvalidArgumentError: the catalog's name cannot be one.
    """
    if not catalog or "\0" in catalog or catalog.casefold() in ("main", "temp", "system"):
        raise InvalidArgumentError(f'catalog="{catalog}" cannot name a catalog; leave it out, or give another name')
    functions = [] if is_new else _functions(con, catalog)
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


def _functions(con: duckdb.DuckDBPyConnection, catalog: str) -> list[tuple[str, str, str, bool, bool]]:
    """Functions with names of ours: database, schema, name, whether ours, whether where the connection looks first."""
    found: list[tuple[str, str, str, bool, bool]] = con.execute(
        "SELECT database_name, schema_name, function_name, contains(coalesce(macro_definition, ''), ?), "
        "database_name = current_database() AND schema_name = current_schema() OR database_name = 'temp' "
        "FROM duckdb_functions() WHERE list_contains(?, function_name) "
        "AND (database_name IN (current_database(), 'temp', 'system') OR lower(database_name) = lower(?))",
        [_MARK, [function.name for function in FUNCTIONS], catalog],
    ).fetchall()
    return found


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
