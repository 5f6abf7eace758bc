"""Restricts what a connection that others use may read: the workspace, and what is allowed beside it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import duckdb

from rasteret_sql.io.addresses import is_local
from rasteret_sql.quoting import quote_text
from rasteret_sql.session.session import Session


def restrict(con: duckdb.DuckDBPyConnection, session: Session, allowed: Iterable[str]) -> str:
    """Bind DuckDB's own readers and our functions on all cursors of a connection.

    DuckDB's configuration can still be changed: whoever serves locks it at the end.

    Args:
        con: a connection with the functions.
        session: its session.
        allowed: local paths, and addresses of files and prefixes, beside the workspace.

    Returns:
        A folder for what this process writes for a while, which DuckDB may read, too.
    """
    scratch = tempfile.mkdtemp(prefix="rasteret-sql-served-")
    tempfile.tempdir = scratch  # of this process: copies of scenes are made there, which DuckDB has to read
    places = [str(session.workspace_dir), *allowed]
    session.allowed.restrict(places)
    folders = [scratch, *(str(Path(one).expanduser().absolute()) for one in places if is_local(one))]
    listed = ", ".join(quote_text(os.path.join(folder, "")) for folder in folders)  # noqa: PTH118 - with its slash
    for statement in (
        "SET python_enable_replacements = false",
        f"SET temp_directory = {quote_text(scratch)}",
        f"SET allowed_directories = [{listed}]",
        "SET enable_external_access = false",
    ):
        con.execute(statement)
    return scratch
