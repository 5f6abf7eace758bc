"""Shows relations by our code in the session of IPython that runs, which is not imported for it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import duckdb

from rasteret_sql.lazy import lazy_module

if TYPE_CHECKING:
    from rasteret_sql.hosts import notebook
else:
    notebook = lazy_module("rasteret_sql.hosts.notebook")


def follow_session() -> None:
    """Show relations by our code where a session of IPython runs; elsewhere do nothing."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None and hasattr(module, "get_ipython") else None
    if shell is not None:
        load_ipython_extension(shell)


def load_ipython_extension(shell: Any) -> None:
    """Show relations by our code in a session of IPython, as `%load_ext rasteret_sql` asks.

    The formatter is that of MIME bundles: with one of HTML alone, IPython would have DuckDB's own bundle made, too, and
    all rows computed twice.
    """
    shell.display_formatter.mimebundle_formatter.for_type(duckdb.DuckDBPyRelation, _bundle_of)


def unload_ipython_extension(shell: Any) -> None:
    """Show relations as DuckDB does, as `%unload_ext rasteret_sql` asks."""
    shell.display_formatter.mimebundle_formatter.pop(duckdb.DuckDBPyRelation, None)


def _bundle_of(relation: duckdb.DuckDBPyRelation, include: Any = None, exclude: Any = None) -> dict[str, str]:
    return notebook.bundle_of(relation, include, exclude)
