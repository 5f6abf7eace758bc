"""Gives the functions to DuckDB: private UDFs, public macros over them, and a view for each collection."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from functools import cache
from hashlib import sha256
from inspect import Parameter, Signature
from typing import TYPE_CHECKING
from uuid import uuid4

import duckdb
import pyarrow as pa

import rasteret_sql.forked_child  # noqa: F401 - for what it registers
from rasteret_sql.callbacks import Cancelled
from rasteret_sql.engine.cancel import INTERRUPTED, Interrupts, check, watch_sigint
from rasteret_sql.errors import InterruptedQueryError, InvalidArgumentError, NameTakenError, RasteretError
from rasteret_sql.functions.registry import FUNCTIONS, PRIVATE_MACROS, call_of, macro_sql, private_sql
from rasteret_sql.functions.spec import Function, Udf
from rasteret_sql.functions.sql_types import sql_type
from rasteret_sql.hosts.duckdb_names import check_names, is_in_memory
from rasteret_sql.hosts.duckdb_views import CollectionViews
from rasteret_sql.hosts.late_session import LateSession
from rasteret_sql.hosts.recent_failures import RecentFailures
from rasteret_sql.index.place.location import may_hold_collections
from rasteret_sql.lazy import lazy_module
from rasteret_sql.quoting import quote_name, quote_text
from rasteret_sql.receipt import carrying

if TYPE_CHECKING:
    from rasteret_sql.hosts import duckdb_relations, duckdb_secrets
    from rasteret_sql.index.place import workspace
    from rasteret_sql.io import remote_directory
    from rasteret_sql.io.clouds.cloud import HostSecret
    from rasteret_sql.session.session import Session
else:
    duckdb_relations = lazy_module("rasteret_sql.hosts.duckdb_relations")
    duckdb_secrets = lazy_module("rasteret_sql.hosts.duckdb_secrets")
    remote_directory = lazy_module("rasteret_sql.io.remote_directory")
    workspace = lazy_module("rasteret_sql.index.place.workspace")

UTC_HERE = "SET GLOBAL TimeZone = 'UTC'"
"""For databases that are ours, on all their cursors: scenes' days are those of UTC. A user's own keeps its setting."""
DEFAULT_CATALOG = "rasteret"
_SESSION_UDF = "__rasteret_session"
_WATCH_UDF = "__rasteret_watch"
_VIEW_UDF = "__rasteret_view"
_OPEN_UDF = "__rasteret_open"


class _Database:
    """The state that the functions of one DuckDB database share.

    DuckDB calls a Python function through a plain pointer and lets go of the object with the connection that created
    it, although cursors of the same database still call it. So functions and this are kept for the life of the process
    (some 3 kB a database), while the session, which is large, lives as long as a connection that was installed in.
    """

    __slots__ = ("_late", "connections", "failures", "functions", "interrupts", "key", "views")

    def __init__(self) -> None:
        self.key = uuid4().hex
        self.functions: list[object] = []
        self.interrupts = Interrupts()
        self.failures = RecentFailures()
        self.connections = weakref.WeakKeyDictionary[duckdb.DuckDBPyConnection, LateSession]()
        """Where it was installed; each keeps the session alive."""
        self.views = CollectionViews(self._cursor)
        self._late: weakref.ref[LateSession] | None = None

    def late_session(self) -> LateSession | None:
        return self._late() if self._late is not None else None

    def session(self) -> Session | None:
        """The session, made now where it was not; None where no connection holds it any more."""
        late = self.late_session()
        return late.get() if late is not None else None

    def keep(self, con: duckdb.DuckDBPyConnection, late: LateSession) -> None:
        """Let a connection hold the session."""
        self._late = weakref.ref(late)
        self.connections[con] = late
        _installed[con] = self

    def relation(self, name: str) -> pa.Table | None:
        """Rows of a committed table or view, None where there is none of that name."""
        cursor = self._cursor()
        return None if cursor is None else duckdb_relations.read_relation(cursor, name)

    def secret(self, name: str) -> HostSecret | None:
        """A secret of the database by its name, None where there is none."""
        cursor = self._cursor()
        return None if cursor is None else duckdb_secrets.read_secret(cursor, name)

    def _cursor(self) -> duckdb.DuckDBPyConnection | None:
        """A cursor from any connection that is still open. One kept for good would keep the database open."""
        for con in list(self.connections):
            with contextlib.suppress(duckdb.ConnectionException):
                return con.cursor()
        return None


class _HostFunction:
    """A kernel as DuckDB calls it: columns in one chunk, on a thread of ours, counted; errors say whose they are."""

    __slots__ = ("__signature__", "_database", "_function", "_udf")

    def __init__(self, database: _Database, udf: Udf, function: Function) -> None:
        self._database = database
        self._udf = udf
        self._function = function
        # DuckDB reads the arity from the signature.
        self.__signature__ = Signature(
            [Parameter(f"column{n}", Parameter.POSITIONAL_ONLY) for n in range(len(udf.parameters))]
        )

    def __call__(self, *columns: pa.ChunkedArray | pa.Array) -> pa.Array:
        udf = self._udf
        arrays = [_whole(column) for column in columns]
        session = self._database.session()
        if session is None:
            raise InvalidArgumentError(
                f"{self._function.name}: the connection that rasteret_sql was installed in is gone; keep it, or call "
                "rasteret_sql.install(con) with the one in use"
            )
        session.receipts.count(udf.name, len(arrays[0]))
        paying: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if udf.metered and len(arrays[-1]):
            receipt = session.receipts.of(arrays[-1][0].as_py())
            if not udf.names_itself:
                receipt.name(self._function.name)
            if udf.pure and not udf.names_itself and len(arrays[-1]) == 1:
                receipt = receipt.of_constants((udf.name, _digest(arrays[:-1])))
            session, paying = session.paying(receipt), session.receipts.paying(receipt)
        if udf.metered:
            arrays.pop()
        with paying:
            if udf.pure:
                failed = self._database.failures.answer(udf.name, arrays)
                if failed is not None:
                    raise failed
            stopped, working = self._database.interrupts.flag(), session
            alone = working.receipt

            def work(cancelled: Cancelled) -> pa.Array:
                def is_to_stop() -> bool:
                    return stopped() or alone.is_stopped or cancelled()

                check(is_to_stop)
                with carrying(alone):
                    return call_of(udf, self._function)(working, is_to_stop, *arrays)

            try:
                return session.engine.call(work)
            except KeyboardInterrupt:
                # Where the main thread itself waits here; DuckDB would say no more than the name of it.
                raise InterruptedQueryError(f"{self._function.name}: {INTERRUPTED}") from None
            except RasteretError as error:
                # Without its traceback, which DuckDB 1.5 would append to the message.
                said = error.retold(str(error) if udf.names_itself else f"{self._function.name}: {error}")
                if udf.pure:
                    self._database.failures.add(udf.name, arrays, said)
                raise said from None


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column in one piece; the only one as it is: to copy the first zones of a process takes 5 to 10 ms."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _digest(columns: list[pa.Array]) -> bytes:
    """Equal for columns of equal values; a geometry among them may be large."""
    return sha256(repr([column.to_pylist() for column in columns]).encode()).digest()


_databases: dict[str, _Database] = {}
_installed: weakref.WeakKeyDictionary[duckdb.DuckDBPyConnection, _Database] = weakref.WeakKeyDictionary()
"""Connection → its database. Cursors, and new objects for an old connection, are asked in SQL."""
_module_connections: set[duckdb.DuckDBPyConnection] = set()
"""Default connections of the module duckdb, which makes a new Python object for them each time it is asked."""
_install_lock = threading.RLock()
_process = os.getpid()


def module_connection() -> duckdb.DuckDBPyConnection:
    """The connection behind `duckdb.sql(...)`."""
    con = duckdb.default_connection()
    _module_connections.add(con)
    return con


def session_of(con: duckdb.DuckDBPyConnection) -> LateSession | None:
    """The session of the database behind a connection, None where nothing is installed."""
    database = _database_of(con)
    return database.late_session() if database else None


SESSION_KEY = f"{_SESSION_UDF}(true)"
"""In SQL, what tells the session of a database."""


def session_of_key(key: str) -> Session:
    """The session that `SESSION_KEY` tells.

    Raises:
        InvalidArgumentError: the connection that it was installed in is gone.
    """
    database = _databases.get(key)
    session = database.session() if database is not None else None
    if session is None:
        raise InvalidArgumentError("the connection that rasteret_sql was installed in is gone; keep it open")
    return session


def interrupt_database(con: duckdb.DuckDBPyConnection) -> None:
    """Stop the calls that run in the database behind a connection."""
    database = _database_of(con)
    if database is not None:
        database.interrupts.stop_running()


def install_session(
    con: duckdb.DuckDBPyConnection, make: Callable[[], LateSession], catalog: str, *, is_new: bool = False
) -> LateSession:
    """Put the functions into a database and onto a connection of it; again it changes nothing.

    Args:
        con: the connection; its cursors see `catalog.read_chip(...)`, itself also `read_chip(...)`.
        make: makes the database's session where it has none.
        catalog: name of the attached in-memory catalog for macros and views.
        is_new: True for an in-memory database that was opened just now: to look whether its names are free would take
            longer than all else.

    Raises:
        NameTakenError: a name is in use; nothing was changed.
        InvalidArgumentError: the connection has an open transaction, and nothing was installed before.
    """
    with _install_lock:
        database = None if is_new else _database_of(con)
        is_ours = database is not None and database.views.has_catalog(catalog)
        there = check_names(con, catalog, ours=is_ours, is_new=is_new)
        late = database.late_session() if database else None
        if database is None:
            _require_no_transaction(con)
            database = _Database()
            _create_udfs(con.cursor(), database)
            _databases[database.key] = database
        if late is None:
            late = make()
            late.serve(
                publish=database.views.show,
                withdraw=database.views.hide,
                relation=database.relation,
                secret=database.secret,
            )
        database.keep(con, late)
        if not there.catalog:
            _create_catalog(con.cursor(), catalog)
        if is_new:
            _copy_macros(con, catalog)
        elif not there.bare:
            _create_bare_macros(con, catalog)
        if not there.catalog:
            database.views.add_catalog(catalog, _names_in(late))
        return late


def look_in_catalog(cursor: duckdb.DuckDBPyConnection, catalog: str) -> None:
    """Let a cursor find bare names in the catalog, after all that it finds without it: `read_chip(...)`.

    Takes 0.2 ms, where making the macros on a cursor takes 25. They are gone after `USE`.
    """
    ((path, database, schema),) = cursor.execute(
        "SELECT current_setting('search_path'), current_database(), current_schema()"
    ).fetchall()
    here = path or f"{quote_name(database)}.{quote_name(schema)}"
    cursor.execute(f"SET search_path = {quote_text(f'{here},{quote_name(catalog)}.main')}")


def _names_in(late: LateSession) -> Iterable[str]:
    """Names of the collections in the workspace of a session; reads nothing where it cannot have any."""
    if not may_hold_collections(late.workspace):
        return ()
    return workspace.collection_names(late.workspace, remote_directory.stores_of(late.backend))


def _database_of(con: duckdb.DuckDBPyConnection) -> _Database | None:
    known = _installed.get(con)
    if known is not None:
        return known
    try:
        row = con.cursor().execute(f"SELECT {_SESSION_UDF}(true)").fetchone()
    except duckdb.CatalogException:
        return None
    database = _databases.get(row[0]) if row else None
    if database is None:
        raise NameTakenError(
            "another copy of rasteret_sql, perhaps one that was reloaded, is installed in this database; open a new "
            "connection"
        )
    return database


def _require_no_transaction(con: duckdb.DuckDBPyConnection) -> None:
    """A transaction sees only functions from before its begin, and takes those it makes along when it rolls back."""
    numbers = {con.execute("SELECT txid_current()").fetchall()[0] for _ in range(2)}
    if len(numbers) == 1:  # outside of one each statement has its own
        raise InvalidArgumentError(
            "the connection has an open transaction, in which new functions cannot be seen; COMMIT or ROLLBACK it, "
            "then install"
        )


def _create_udfs(cursor: duckdb.DuckDBPyConnection, database: _Database) -> None:
    key = database.key
    kind = cache(cursor.type)  # a type is parsed from its text

    def session_key(asked: pa.ChunkedArray) -> pa.Array:
        return pa.array([key] * len(asked), pa.string())

    def watch(asked: pa.ChunkedArray) -> pa.Array:
        watch_sigint()
        return pa.array([True] * len(asked), pa.bool_())

    # Arrow UDFs: the length of the argument is the only thing that tells how many rows are wanted.
    for name, function, returns in ((_SESSION_UDF, session_key, "VARCHAR"), (_WATCH_UDF, watch, "BOOLEAN")):
        database.functions.append(function)
        cursor.create_function(name, function, ["BOOLEAN"], returns, type="arrow", null_handling="special")
    for public in FUNCTIONS:
        for udf in public.udfs:
            host = _HostFunction(database, udf, public)
            database.functions.append(host)
            if udf.name == _OPEN_UDF:
                _create_view_udf(cursor, database, host)
            cursor.create_function(
                udf.name,
                host,
                [kind(sql_type(parameter)) for parameter in udf.parameters],
                kind(sql_type(udf.returns)),
                type="arrow",
                null_handling="special",
                side_effects=not udf.pure,
            )


def _create_view_udf(cursor: duckdb.DuckDBPyConnection, database: _Database, opener: _HostFunction) -> None:
    def view_query(name: str) -> str:
        if not database.views.creating:
            return str(opener(pa.array([name]))[0].as_py())
        # Not made for this: what was not asked for anything has nothing open.
        late = database.late_session()
        session = late.made() if late is not None else None
        index = session.collections.get(name) if session else None
        if session is None or index is None:
            return CollectionViews.STUB
        return session.scenes.scan_sql(index)

    database.functions.append(view_query)
    # Not of Arrow: one text for one text, hundreds of times at connect.
    cursor.create_function(_VIEW_UDF, view_query, ["VARCHAR"], "VARCHAR", side_effects=True)


def _in_catalog(text: str, catalog: str) -> str:
    """A macro's text for a catalog of another name."""
    return text.replace("rasteret.__", f"{quote_name(catalog)}.__")


def _create_catalog(cursor: duckdb.DuckDBPyConnection, catalog: str) -> None:
    """Attach the catalog and make its macros; a cursor of its own, since its connection may be in a transaction."""
    # Said so, since a database that was opened read-only lends its mode to what is attached.
    cursor.execute(f"ATTACH ':memory:' AS {quote_name(catalog)} (READ_WRITE)")
    cursor.execute(f"USE {quote_name(catalog)}")
    texts = [*map(private_sql, PRIVATE_MACROS), *map(macro_sql, FUNCTIONS)]
    cursor.execute(_in_catalog("\n".join(texts), catalog))
    cursor.close()


def _copy_macros(con: duckdb.DuckDBPyConnection, catalog: str) -> None:
    """Bare names in an in-memory database that has nothing yet: to parse the macros again takes ten times longer."""
    ((here,),) = con.execute("SELECT current_database()").fetchall()
    con.execute(f"COPY FROM DATABASE {quote_name(catalog)} TO {quote_name(here)} (SCHEMA)")
    for name in PRIVATE_MACROS:
        con.execute(f"DROP MACRO {quote_name(here)}.main.{quote_name(name)}")


def _create_bare_macros(con: duckdb.DuckDBPyConnection, catalog: str) -> None:
    """Bare names: in an in-memory database for all cursors, else for this connection alone; never in a user's file."""
    kind = "MACRO" if is_in_memory(con) else "TEMP MACRO"
    texts = [
        macro_sql(function).replace("CREATE OR REPLACE MACRO", f"CREATE OR REPLACE {kind}", 1) for function in FUNCTIONS
    ]
    con.execute(_in_catalog("\n".join(texts), catalog))


def _close_connections() -> None:
    """DuckDB prints leaked functions when the interpreter ends with a connection open that has UDFs."""
    if os.getpid() != _process:  # the threads of inherited connections are not in a forked child
        return
    for database in list(_databases.values()):
        for con in list(database.connections):
            with contextlib.suppress(duckdb.Error):
                con.close()
    _module_connections.clear()


def _after_fork() -> None:
    global _install_lock  # noqa: PLW0603  a lock that another thread held stays locked for ever
    _install_lock = threading.RLock()


atexit.register(_close_connections)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
