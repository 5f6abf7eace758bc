"""Serves a connection over Quack, DuckDB's protocol for clients on the same version."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import duckdb

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.hosts.duckdb import DEFAULT_CATALOG
from rasteret_sql.hosts.quack_guard import Guard
from rasteret_sql.hosts.restricted import restrict
from rasteret_sql.quoting import quote_name, quote_text
from rasteret_sql.session.session import Session

_EXTENSIONS = ("httpfs", "quack")
_GUARD = "__rasteret_guard"
_LOOK_SECONDS = 0.25


@dataclass(slots=True)
class Server:
    """A connection that is served until `stop`."""

    connection: duckdb.DuckDBPyConnection
    address: str
    _scratch: str
    _ended: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """End it; clients get an error at once."""
        self._ended.set()
        self.connection.execute(f"CALL quack_stop({quote_text(self.address)})").fetchall()
        shutil.rmtree(self._scratch, ignore_errors=True)


def serve(
    con: duckdb.DuckDBPyConnection,
    session: Session,
    *,
    port: int,
    token: str,
    is_read_only: bool,
    shows_collections: bool = True,
    allowed: Iterable[str] = (),
    max_seconds: float | None = None,
) -> Server:
    """Serve a connection to clients of this machine that know the token.

    What DuckDB and the functions may read by a path or address that a client gives is the workspace and what is
    allowed. DuckDB's configuration is locked.

    Args:
        con: a connection with the functions.
        session: its session.
        port: of localhost.
        token: what clients have to know.
        is_read_only: True: clients may run nothing but SELECT of functions that read.
        shows_collections: True: each collection gets a view in the database itself, which clients browse.
        allowed: local paths, and addresses of files and prefixes.
        max_seconds: a statement whose functions take longer is stopped; None: none is.

    Raises:
        InvalidArgumentError: DuckDB's extension quack is not there.
    """
    load_quack(con)
    scratch = restrict(con, session, allowed)
    if shows_collections:
        _show_collections(con)
    guard = Guard(is_read_only=is_read_only)
    con.create_function(_GUARD, guard.answer, ["VARCHAR", "VARCHAR"], "VARCHAR", side_effects=True)
    con.execute(f"SET GLOBAL quack_authorization_function = '{_GUARD}'")
    con.execute("SET lock_configuration = true")
    server = Server(con, f"quack:localhost:{port}", scratch)
    con.execute(f"CALL quack_serve({quote_text(server.address)}, token = {quote_text(token)})").fetchall()
    if max_seconds is not None:
        threading.Thread(target=_watch, args=(session, max_seconds, server._ended), daemon=True).start()  # noqa: SLF001
    return server


def _show_collections(con: duckdb.DuckDBPyConnection) -> None:
    """Make a view of each collection in the database itself, which clients see once they ATTACH."""
    names = con.execute(
        "SELECT view_name FROM duckdb_views() WHERE database_name = $1 AND NOT internal", [DEFAULT_CATALOG]
    ).fetchall()
    for (name,) in names:
        con.execute(f"CREATE VIEW IF NOT EXISTS {quote_name(name)} AS FROM {DEFAULT_CATALOG}.main.{quote_name(name)}")


def load_quack(con: duckdb.DuckDBPyConnection) -> None:
    """Load DuckDB's extension quack: as it is installed, else of its package, else from DuckDB's repository.

    Raises:
        InvalidArgumentError: it is nowhere.
    """
    for name in _EXTENSIONS:
        try:
            try:
                con.execute(f"LOAD {name}")
            except duckdb.Error:
                file = _packaged(name)
                con.execute(f"INSTALL {name if file is None else quote_text(str(file))}; LOAD {name}")
        except duckdb.Error as error:
            raise InvalidArgumentError(
                f"DuckDB {duckdb.__version__} has no extension {name} here: pip install 'rasteret-sql[quack]', which "
                "needs no network when it runs, or let DuckDB download it once with INSTALL quack"
            ) from error


def _packaged(name: str) -> Path | None:
    """The file of an extension in the package `duckdb-extension-<name>`, for this version of DuckDB."""
    spec = find_spec(f"duckdb_extension_{name}")
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    return file if file.exists() else None


def _watch(session: Session, most: float, ended: threading.Event) -> None:
    """Stop statements that take too long."""
    while not ended.wait(_LOOK_SECONDS):
        for receipt in session.receipts.running():
            if receipt.running.seconds > most:
                receipt.stop()
