"""dbt-duckdb as a host: `plugins: [{module: rasteret_sql.bindings.dbt, alias: rasteret}]` in a profile."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import SourceConfig

from rasteret_sql.bindings.duckdb import DEFAULT_CATALOG, install_session
from rasteret_sql.bindings.duckdb_names import quote
from rasteret_sql.session import new_session


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
        self.configure_cursor(conn)

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Install on the cursor of a model: `read_chip(...)`, which a database file does not hold."""
        install_session(cursor, lambda publish: new_session(*self._options, publish=publish), self._catalog)

    def load(self, source_config: SourceConfig) -> pa.Table:
        """The scenes of a collection that is built; its name is the source's `collection`, else that of the table."""
        name = source_config.get("collection", source_config.identifier)
        return self._connection.cursor().execute(f"FROM {quote(self._catalog)}.main.{quote(name)}").to_arrow_table()
