"""dbt-duckdb as a host: `plugins: [{module: rasteret_sql.bindings.dbt, alias: rasteret}]` in a profile."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import SourceConfig

from rasteret_sql.bindings.duckdb_names import quote
from rasteret_sql.connection import install

_OPTIONS = ("catalog", "workspace_dir", "max_call_bytes")


class Plugin(BasePlugin):  # type: ignore[misc]  # untyped
    """Installs the functions for every model, and gives collections as sources.

    The profile's `config` may have `catalog`, `workspace_dir` and `max_call_bytes`, as `rasteret_sql.install` does.
    """

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Keep the options; the settings of the profile come along and are not ours."""
        self._options = {name: plugin_config[name] for name in _OPTIONS if name in plugin_config}
        self._catalog = self._options.get("catalog", "rasteret")

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Install in the database: `rasteret.read_chip(...)` and the views of cached collections."""
        self._connection = install(conn, **self._options)

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Install on the cursor of a model: `read_chip(...)`, which a database file does not hold."""
        install(cursor, **self._options)

    def load(self, source_config: SourceConfig) -> pa.Table:
        """The scenes of a collection that is built; its name is the source's `collection`, else that of the table."""
        name = source_config.get("collection", source_config.identifier)
        return self._connection.cursor().execute(f"FROM {quote(self._catalog)}.main.{quote(name)}").to_arrow_table()
