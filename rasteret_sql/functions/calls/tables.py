"""Runs the function that builds from a table."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import MissingObjectError
from rasteret_sql.functions.calls.collections import run_build
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.library.build_from_table import build_table
from rasteret_sql.library.build_options import TABLE_MAX_CONCURRENT, BuildOptions
from rasteret_sql.session.session import Session

_FILES = (".parquet", ".geoparquet", ".pq", ".parq")
_NAME = re.compile(r'(?:[^\W\d]\w*|"[^"]+")(?:\.(?:[^\W\d]\w*|"[^"]+")){0,2}')
_DEFAULTS = {"enrich_cog": True, "max_concurrent": TABLE_MAX_CONCURRENT}


def _build_table(session: Session, arguments: dict[str, Any], running: dict[str, Any]) -> CollectionIndex:
    uri = arguments.pop("uri")
    table, label = _table(session, uri)
    if label:
        arguments.setdefault("name", PurePosixPath(uri.replace('"', "")).name)
    return build_table(session, table, BuildOptions(**{**_DEFAULTS, **arguments, **running}), label=label)


def _table(session: Session, uri: str) -> tuple[str | pa.Table, str]:
    """The rows of a table or view of that name, else the address itself; and what to call the former."""
    if not _NAME.fullmatch(uri) or uri.lower().endswith(_FILES):
        session.allowed.require(uri)
        return uri, ""
    rows = session.relation(uri)
    if rows is not None:
        return rows, f"the table {uri}"
    if Path(uri).exists():
        session.allowed.require(uri)
        return uri, ""
    raise MissingObjectError(
        f'"{uri}" is neither a file nor a table or view that can be seen here: a TEMP or registered one, or one that '
        "is not committed, cannot. Make it with CREATE TABLE or CREATE VIEW and commit, write schema.name where it is "
        "in another schema, or give the relation to rasteret_sql.build_from_table in Python"
    )


def build(session: Session, cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Build scenes of tables, and give DuckDB the queries of them."""
    return run_build("rasteret_build_from_table", session, cancelled, texts, _build_table)
