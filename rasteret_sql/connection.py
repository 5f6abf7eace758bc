"""Opens DuckDB connections with the functions: connect() and install()."""

from __future__ import annotations

import os
from types import ModuleType
from typing import TYPE_CHECKING, Any

import duckdb

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.hosts.duckdb import (
    DEFAULT_CATALOG,
    UTC_HERE,
    install_session,
    interrupt_database,
    module_connection,
    session_of,
)
from rasteret_sql.hosts.ipython_session import follow_session
from rasteret_sql.hosts.late_session import LateSession, late_session
from rasteret_sql.session.progress_hook import ProgressHook

if TYPE_CHECKING:
    from rasteret_sql.io.backend import StorageBackend
    from rasteret_sql.session.session import Session


def connect(
    database: str | os.PathLike[str] = ":memory:",
    *,
    workspace_dir: str | os.PathLike[str] | None = None,
    max_call_bytes: int | None = None,
    backend: StorageBackend | None = None,
    read_only: bool = False,
    config: dict[str, Any] | None = None,
    catalog: str = DEFAULT_CATALOG,
) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB database with the functions installed.

    Nothing is written into the database file: it opens in any DuckDB afterwards. Its `TimeZone` is UTC, whatever the
    machine's, so that days, months and times without a zone are those of the catalogs; `SET TimeZone`
    changes that.

    Args:
        database: file, or `:memory:`.
        workspace_dir: where built collections are kept; `~/rasteret_workspace` by default.
        max_call_bytes: most bytes of pixels that one call of a function may hold; a quarter of memory by default.
        backend: how bytes are read; by default any file, http(s), s3, gs or az address.
        read_only: as for `duckdb.connect`.
        config: as for `duckdb.connect`.
        catalog: as for `install`.

    Returns:
        A plain DuckDB connection.

    Raises:
        NameTakenError: as for `install`.
    """
    con = duckdb.connect(os.fspath(database), read_only=read_only, config=config or {})
    try:
        if not any(name.casefold() == "timezone" for name in config or {}):
            con.execute(UTC_HERE)
        is_new = os.fspath(database) == ":memory:"  # one with a name after it may be open already
        install_session(con, lambda: late_session(workspace_dir, max_call_bytes, backend), catalog, is_new=is_new)
    except BaseException:
        con.close()
        raise
    follow_session(_late_session(con))
    return con


def install(
    con: duckdb.DuckDBPyConnection | ModuleType,
    *,
    catalog: str = DEFAULT_CATALOG,
    workspace_dir: str | os.PathLike[str] | None = None,
    max_call_bytes: int | None = None,
    backend: StorageBackend | None = None,
) -> duckdb.DuckDBPyConnection:
    """Install the functions in a connection; installing again changes nothing.

    Macros and views live in an attached in-memory catalog, where every cursor sees them (`rasteret.read_chip(...)`).
    Bare names (`read_chip(...)`) are there on this connection, and in in-memory databases on all its cursors.

    Args:
        con: a connection, or the module `duckdb` itself for `duckdb.sql(...)`.
        catalog: name of that catalog.
        workspace_dir: as for `connect`; of the first installation in a database.
        max_call_bytes: as for `connect`; of the first installation in a database.
        backend: as for `connect`; of the first installation in a database.

    Returns:
        The connection.

    Raises:
        NameTakenError: a catalog or function of such a name exists that is not ours; nothing was changed.
    """
    target = module_connection() if isinstance(con, ModuleType) else con
    if not isinstance(target, duckdb.DuckDBPyConnection):
        msg = f"install takes a DuckDB connection or the module duckdb, not {type(con).__name__}"
        raise InvalidArgumentError(msg)
    install_session(target, lambda: late_session(workspace_dir, max_call_bytes, backend), catalog)
    follow_session(_late_session(target))
    return target


def interrupt(con: duckdb.DuckDBPyConnection) -> None:
    """Stop what a connection runs, from another thread; the connection can be used again.

    Functions of ours that run on other connections to the same database stop as well.
    """
    # In this order: what begins between the two is planned by a query that DuckDB has already stopped.
    con.interrupt()
    interrupt_database(con)


def session_for(con: duckdb.DuckDBPyConnection) -> Session:
    """The session behind a connection.

    Raises:
        InvalidArgumentError: nothing is installed in it.
    """
    return _late_session(con).get()


def progress_of(con: duckdb.DuckDBPyConnection) -> ProgressHook:
    """The hook that tells how far the builds and reads of a connection's session are.

    Raises:
        InvalidArgumentError: nothing is installed in it.
    """
    return _late_session(con).progress


def _late_session(con: duckdb.DuckDBPyConnection) -> LateSession:
    late = session_of(con)
    if late is None:
        raise InvalidArgumentError("rasteret_sql is not installed in this connection; call rasteret_sql.install(con)")
    return late
