"""Gathers scenes of many small files in one: DuckDB passes rows file by file, and functions want many rows together.

A function that reads pixels fetches what all rows of a batch need at once. An index with a file for each month has a
few rows a file, so that the latency of the store would be paid for each month. Such an index is scanned through a copy
of its scene columns in one file of a temporary directory; headers stay where they are. (An ORDER BY in the view would
gather rows, too, but keeps DuckDB from reading only the scenes that ORDER BY ... LIMIT leaves.)
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from pathlib import Path

import duckdb
from sqlglot import exp

from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.index.read.scene_scan import column, scan_sql, shown_sql

BATCH_ROWS = 2048
"""Rows that DuckDB hands on together."""


class GatheredScenes:
    """Gives the SQL that scans an index, gathering its scenes first where they lie scattered.

    Args:
        connection: a DuckDB connection of the session's own.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._directory: Path | None = None
        self._sql: dict[tuple[str, str, str], str] = {}
        self._lock = threading.Lock()

    def scan_sql(self, index: CollectionIndex) -> str:
        """A SELECT of the scenes as SQL shows them (`scan.shown_sql`), with filters and projections pushed down."""
        key = (str(index.path), index.stamp, index.name)
        with self._lock:
            sql = self._sql.get(key)
            if sql is None:
                sql = self._sql[key] = self._gather(index) if is_scattered(index) else shown_sql(index)
            return sql

    def _gather(self, index: CollectionIndex) -> str:
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="rasteret-sql-"))
            weakref.finalize(self, shutil.rmtree, self._directory, ignore_errors=True)
        path = exp.Literal.string(str(self._directory / f"scenes-{len(self._sql)}.parquet"))
        rows = exp.select("*").from_(exp.Subquery(this=exp.maybe_parse(scan_sql(index), dialect="duckdb")))
        rows = rows.order_by(column("datetime"), column("id"))
        options = "FORMAT parquet, COMPRESSION zstd"
        cursor = self._connection.cursor()
        cursor.execute(f"COPY ({rows.sql('duckdb')}) TO {path.sql('duckdb')} ({options})")
        cursor.close()
        return shown_sql(index, exp.Anonymous(this="read_parquet", expressions=[path]))


def is_scattered(index: CollectionIndex) -> bool:
    """True where files hold fewer rows than DuckDB hands on together."""
    return len(index.files) > 1 and index.count_rows() < BATCH_ROWS * len(index.files)
