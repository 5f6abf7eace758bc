"""Shows relations by our code in the session of IPython that runs, which is not imported for it."""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

import duckdb

from rasteret_sql.callbacks import Progress
from rasteret_sql.hosts.late_session import LateSession
from rasteret_sql.lazy import lazy_module

if TYPE_CHECKING:
    from rasteret_sql.hosts import cell_bars, missing_collection, notebook
else:
    cell_bars = lazy_module("rasteret_sql.hosts.cell_bars")
    missing_collection = lazy_module("rasteret_sql.hosts.missing_collection")
    notebook = lazy_module("rasteret_sql.hosts.notebook")

_bars: dict[str, Any] = {}
"""The `shell` that last asked, and its `bars`."""
_sessions: weakref.WeakSet[LateSession] = weakref.WeakSet()
"""Those of the databases that cells may ask."""


def follow_session(session: LateSession) -> None:
    """Show relations by our code where a session of IPython runs; elsewhere do nothing.

    Args:
        session: of a database: its progress is told below the cells of a notebook, unless somebody listens already,
            and its collections where a cell names one that is not there.
    """
    shell = _running()
    if shell is not None:
        load_ipython_extension(shell)
        session.progress.listener = session.progress.listener or bars_of_cell()
        _sessions.add(session)


def bars_of_cell() -> Progress | None:
    """Whoever draws progress below the cells of the notebook that runs; None elsewhere."""
    shell = _running()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    if _bars.get("shell") is not shell:
        _bars.update(shell=shell, bars=cell_bars.CellBars(shell))
    drawn: Progress = _bars["bars"]
    return drawn


def _running() -> Any:
    """The session of IPython that runs, or None."""
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None and hasattr(module, "get_ipython") else None


def load_ipython_extension(shell: Any) -> None:
    """Show relations by our code in a session of IPython, as `%load_ext rasteret_sql` asks.

    The formatter is that of MIME bundles: with one of HTML alone, IPython would have DuckDB's own bundle made, too, and
    all rows computed twice.
    """
    shell.display_formatter.mimebundle_formatter.for_type(duckdb.DuckDBPyRelation, _bundle_of)
    shell.events.register("post_run_cell", _tell_collections)  # once, however often it is asked for


def unload_ipython_extension(shell: Any) -> None:
    """Show relations as DuckDB does, as `%unload_ext rasteret_sql` asks."""
    if shell.display_formatter.mimebundle_formatter.pop(duckdb.DuckDBPyRelation, None) is not None:
        shell.events.unregister("post_run_cell", _tell_collections)


def _tell_collections(result: Any) -> None:
    """Say below the error of a cell which collections there are, if it names one that is not."""
    error = result.error_in_exec
    if not isinstance(error, duckdb.CatalogException) or hasattr(error, "__notes__"):
        return
    cell = result.info.raw_cell
    # An error does not tell its database, and there is one as a rule.
    said = {missing_collection.hint(error, cell, session.get, is_sql=False) for session in _sessions}
    for text in sorted(one for one in said if one):
        sys.stderr.write(f"{text}\n")


def _bundle_of(relation: duckdb.DuckDBPyRelation, include: Any = None, exclude: Any = None) -> dict[str, str]:
    return notebook.bundle_of(relation, include, exclude)
