"""Gives the functions to dbt-duckdb: `plugins: [{module: rasteret_sql.hosts.dbt, alias: rasteret}]` in a profile."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import duckdb
import pyarrow as pa
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import SourceConfig
from dbt.flags import get_flags

from rasteret_sql.hosts.duckdb import DEFAULT_CATALOG, install_session, look_in_catalog
from rasteret_sql.hosts.late_session import late_session
from rasteret_sql.quoting import quote_name, quote_text


class Plugin(BasePlugin):  # type: ignore[misc]  # untyped
    """Installs the functions for every model, and gives collections as sources.

    The profile's `config` may have `catalog`, `workspace_dir` and `max_call_bytes`, as `rasteret_sql.install` does.
    """

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Keep the options; the settings of the profile come along and are not ours."""
        self._catalog = plugin_config.get("catalog", DEFAULT_CATALOG)
        self._options = (plugin_config.get("workspace_dir"), plugin_config.get("max_call_bytes"))

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Install in the database: `rasteret.read_chip(...)` and the views of cached collections."""
        self._connection = conn
        install_session(conn, lambda: late_session(*self._options), self._catalog)
        if getattr(get_flags(), "WHICH", None) == "generate":  # dbt docs generate
            self._show_columns(conn.cursor())

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Let the cursor of a model see `read_chip(...)`, too, which a database file does not hold.

        dbt opens a cursor for each model and test, and installing takes 40 ms.
        """
        look_in_catalog(cursor, self._catalog)

    def load(self, source_config: SourceConfig) -> pa.Table:
        """The scenes of a collection, built by `meta: {rasteret: ...}` where that is given.

        Its name is the source's `collection`, else that of the table.
        """
        name = source_config.get("collection", source_config.identifier)
        said = source_config.get("rasteret")
        scenes = f"{quote_name(self._catalog)}.main.{quote_name(name)}"
        if said:
            scenes = f"{quote_name(self._catalog)}.rasteret_source({quote_text(name)}, {quote_text(json.dumps(said))})"
        return self._connection.cursor().sql(f"FROM {scenes}").to_arrow_table()

    def _show_columns(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Let DuckDB's catalog have the columns of all collections: a view has them once it was planned."""
        names = cursor.execute(
            "SELECT view_name FROM duckdb_views() WHERE database_name = ? AND schema_name = 'main' AND NOT internal",
            [self._catalog],
        ).fetchall()
        for (name,) in names:
            # One that cannot be opened has no columns to show; models that read it fail with the reason.
            with contextlib.suppress(duckdb.Error):
                cursor.execute(f"DESCRIBE {quote_name(self._catalog)}.main.{quote_name(name)}").fetchall()
