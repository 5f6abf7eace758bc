"""Opens a database for a Python collection, so that its SQL needs no connection of the user."""

from __future__ import annotations

import threading
import weakref

import duckdb

from rasteret_sql.hosts.duckdb import DEFAULT_CATALOG, UTC_HERE, install_session
from rasteret_sql.hosts.late_session import LateSession
from rasteret_sql.session.session import Session

_held: weakref.WeakKeyDictionary[duckdb.DuckDBPyConnection, object] = weakref.WeakKeyDictionary()
"""Connection → what its views read, kept as long as a relation of it lives."""


class OwnDatabase:
    """An in-memory database with the functions in it, made when it is first asked for SQL.

    Args:
        session: what its functions work with.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._lock = threading.Lock()

    def connect(self, name: str) -> duckdb.DuckDBPyConnection:
        """A connection of one's own to it, on which a collection is shown by its name."""
        with self._lock:
            if self._connection is None:
                self._connection = duckdb.connect()
                self._connection.execute(UTC_HERE)
                self._install(self._connection, is_new=True)
            cursor = self._connection.cursor()
        self._install(cursor).get().publish(name)
        return cursor

    def session(self) -> Session:
        """The session of the database, once there is a connection to it."""
        assert self._connection is not None
        return self._install(self._connection).get()

    def _install(self, con: duckdb.DuckDBPyConnection, *, is_new: bool = False) -> LateSession:
        session = self._session
        return install_session(
            con,
            lambda: LateSession(lambda: session, session.workspace_dir, session.progress, session.backend),
            DEFAULT_CATALOG,
            is_new=is_new,
        )


def hold(con: duckdb.DuckDBPyConnection, what: object) -> None:
    """Keep something alive as long as a connection is."""
    _held[con] = what
