"""DuckDB as a host: private UDFs, public macros over them, and a view for each collection."""

from __future__ import annotations

import atexit
import contextlib
import threading
import weakref
from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

import duckdb
import pyarrow as pa
from sqlglot import exp

from rasteret_sql.errors import NameTakenError, RasteretError
from rasteret_sql.functions.registry import FUNCTIONS, PRIVATE_MACROS, macro_sql, private_sql
from rasteret_sql.functions.spec import Udf
from rasteret_sql.session import Session

DEFAULT_CATALOG = "rasteret"
_MARK = "__rasteret_"
"""In the text of every macro of ours."""

_sessions: weakref.WeakValueDictionary[str, Session] = weakref.WeakValueDictionary()
_connections: weakref.WeakSet[duckdb.DuckDBPyConnection] = weakref.WeakSet()


def session_of(con: duckdb.DuckDBPyConnection) -> Session | None:
    """The session of the database behind a connection, None where nothing is installed."""
    try:
        row = con.cursor().execute("SELECT __rasteret_session(true)").fetchone()
    except duckdb.CatalogException:
        return None
    return _sessions.get(row[0]) if row else None


def install_session(con: duckdb.DuckDBPyConnection, make: Callable[[Callable[[str], None]], Session], catalog: str) -> Session:
    """Put the functions into a database and onto a connection of it; again it changes nothing.

    Args:
        con: the connection; its cursors see `catalog.read_chip(...)`, itself also `read_chip(...)`.
        make: makes the database's session, given how it shows a collection.
        catalog: name of the attached in-memory catalog for macros and views.

    Raises:
        NameTakenError: a name is in use; nothing was changed.
    """
    known = session_of(con)
    quoted = exp.to_identifier(catalog, quoted=True).sql("duckdb")
    _check_names(con, catalog, ours=known is not None)
    session = known
    if session is None:
        publisher = _Publisher(con.cursor(), catalog)
        session = make(publisher.show)
        _create_udfs(con, session)
        _sessions[session.key] = session
        _connections.add(publisher.cursor)
    if not _has_catalog(con, catalog):
        con.execute(f"ATTACH ':memory:' AS {quoted}")
        _create_macros(con, catalog)
    _create_bare_macros(con, catalog)
    _connections.add(con)
    return session


class _Publisher:
    """Shows open collections as views, through a cursor of its own."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, catalog: str) -> None:
        self.cursor = cursor
        self._catalog = catalog
        self._lock = threading.Lock()

    def show(self, name: str) -> None:
        view = exp.table_(exp.to_identifier(name, quoted=True), catalog=exp.to_identifier(self._catalog, quoted=True), db="main")
        literal = exp.Literal.string(name).sql("duckdb")
        with self._lock:
            self.cursor.execute(
                f"CREATE OR REPLACE VIEW {view.sql('duckdb')} AS FROM query(__rasteret_open({literal}))"
            )


def _create_udfs(con: duckdb.DuckDBPyConnection, session: Session) -> None:
    key = session.key
    # Arrow UDFs: the type of the argument is the only thing that tells how many rows are wanted.
    con.create_function(
        "__rasteret_session",
        lambda asked: pa.array([key] * len(asked), pa.string()),
        ["BOOLEAN"],
        "VARCHAR",
        type="arrow",
        null_handling="special",
    )
    for function in FUNCTIONS:
        for udf in function.udfs:
            con.create_function(
                udf.name,
                _host(udf, function.name, session),
                list(udf.parameters),
                udf.returns,
                type="arrow",
                null_handling="special",
                side_effects=not udf.pure,
            )


def _host(udf: Udf, public_name: str, session: Session) -> Callable[..., pa.Array]:
    """Wrap a kernel: columns in one chunk, on a thread of ours, counted; errors say which function they are of."""

    def call(*columns: pa.ChunkedArray) -> pa.Array:
        arrays = [c.combine_chunks() if isinstance(c, pa.ChunkedArray) else c for c in columns]
        session.receipts.count(udf.name, len(arrays[0]))
        try:
            return session.engine.call(lambda cancelled: udf.run(session, cancelled, *arrays))
        except RasteretError as error:
            # Without its traceback, which DuckDB 1.5 would append to the message.
            raise type(error)(f"{public_name}: {error}") from None

    # DuckDB reads the arity from the signature.
    parameters = [Parameter(f"column{n}", Parameter.POSITIONAL_ONLY) for n in range(len(udf.parameters))]
    call.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return call


def _in_catalog(text: str, catalog: str) -> str:
    """A macro's text for a catalog of another name."""
    quoted = exp.to_identifier(catalog, quoted=True).sql("duckdb")
    return text.replace("rasteret.__", f"{quoted}.__")


def _create_macros(con: duckdb.DuckDBPyConnection, catalog: str) -> None:
    cursor = con.cursor()
    cursor.execute(f"USE {exp.to_identifier(catalog, quoted=True).sql('duckdb')}")
    for name in PRIVATE_MACROS:
        cursor.execute(_in_catalog(private_sql(name), catalog))
    for function in FUNCTIONS:
        cursor.execute(_in_catalog(macro_sql(function), catalog))
    cursor.close()


def _create_bare_macros(con: duckdb.DuckDBPyConnection, catalog: str) -> None:
    """Bare names: in an in-memory database for all cursors, else for this connection alone; never in the user's file."""
    temporary = not _is_in_memory(con)
    for function in FUNCTIONS:
        text = _in_catalog(macro_sql(function), catalog)
        if temporary:
            text = text.replace("CREATE OR REPLACE MACRO", "CREATE OR REPLACE TEMP MACRO", 1)
        con.execute(text)


def _is_in_memory(con: duckdb.DuckDBPyConnection) -> bool:
    row = con.execute(
        "SELECT path IS NULL FROM duckdb_databases() WHERE database_name = current_database()"
    ).fetchone()
    return bool(row and row[0])


def _has_catalog(con: duckdb.DuckDBPyConnection, catalog: str) -> bool:
    return bool(
        con.execute("SELECT 1 FROM duckdb_databases() WHERE database_name = ?", [catalog]).fetchall()
    )


def _check_names(con: duckdb.DuckDBPyConnection, catalog: str, *, ours: bool) -> None:
    """Raise, before anything changes, if a name of ours belongs to something else."""
    if _has_catalog(con, catalog):
        mine = con.execute(
            "SELECT 1 FROM duckdb_functions() WHERE database_name = ? AND function_name = 'read_chip'", [catalog]
        ).fetchall()
        if not (ours and mine):
            raise NameTakenError(
                f'a catalog "{catalog}" is attached already; install(con, catalog="{catalog}_sql") puts the functions '
                "and views under another name"
            )
    names = [function.name for function in FUNCTIONS]
    taken = con.execute(
        "SELECT database_name, schema_name, function_name FROM duckdb_functions() WHERE list_contains(?, function_name) "
        "AND NOT contains(coalesce(macro_definition, ''), ?)",
        [names, _MARK],
    ).fetchall()
    if taken:
        database, schema, name = taken[0]
        raise NameTakenError(
            f'"{name}" is a function of {database}.{schema} already; DROP MACRO it or rename it, then install again'
        )


def _close_connections() -> None:
    """DuckDB prints leaked functions when the interpreter ends with a connection open that has UDFs."""
    for con in list(_connections):
        with contextlib.suppress(duckdb.Error):
            con.close()


atexit.register(_close_connections)


def message_of(error: BaseException) -> str:
    """What a user is to read of an error that came through DuckDB: our own message without DuckDB's frame."""
    cause: Any = error
    while cause is not None:
        if isinstance(cause, RasteretError):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    return str(error)
