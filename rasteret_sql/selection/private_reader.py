"""Opens the DuckDB connection with which selections read the index, never the user's own."""

from __future__ import annotations

import threading
from typing import Any

import duckdb
import pyarrow as pa

import rasteret_sql.forked_child  # noqa: F401 - for what it registers
from rasteret_sql.errors import InvalidArgumentError, MissingObjectError

_BATCH_ROWS = 2048


class Reader:
    """One for a collection and all that is selected from it; connects when something is first read."""

    def __init__(self) -> None:
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._lock = threading.Lock()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        cursor = self._cursor()
        try:
            rows: list[tuple[Any, ...]] = cursor.execute(sql).fetchall()
        except duckdb.Error as error:
            raise _refusal(error) from error
        finally:
            cursor.close()
        return rows

    def batches(self, sql: str) -> pa.RecordBatchReader:
        """Rows of a query as they come, on a cursor of their own."""
        try:
            return self._cursor().sql(sql).to_arrow_reader(_BATCH_ROWS)
        except duckdb.Error as error:
            raise _refusal(error) from error

    def check(self, sql: str) -> None:
        """Plan a query without running it.

        Raises:
            InvalidArgumentError: it has a column that is not there, or compares what cannot be compared.
        """
        cursor = self._cursor()
        try:
            cursor.execute(f"EXPLAIN {sql}")
        except duckdb.Error as error:
            raise _refusal(error) from error
        finally:
            cursor.close()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if self._connection is None:
                self._connection = _connected()
            return self._connection.cursor()


def _connected() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    # Times of the scenes are naive UTC here, and conditions may compare them with instants (`now()`).
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    # Footers of unchanged files are parsed once.
    connection.execute("SET parquet_metadata_cache = true")
    # It would be drawn into a host's stdout. A notebook without ipywidgets has none, and refuses to set it.
    if connection.sql("SELECT current_setting('enable_progress_bar')").fetchall() != [(False,)]:
        connection.execute("SET enable_progress_bar = false")
    return connection


def _refusal(error: duckdb.Error) -> InvalidArgumentError | MissingObjectError:
    says = str(error).partition("\n\n")[0]
    if isinstance(error, duckdb.IOException):
        return MissingObjectError(
            f"the scenes cannot be read: {says}. The collection changed since it was opened; load it again"
        )
    return InvalidArgumentError(f"the scenes cannot be selected: {says}")
