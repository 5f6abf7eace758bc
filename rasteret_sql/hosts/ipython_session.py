"""Shows relations by our code in the session of IPython that runs, which is not imported for it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import duckdb

from rasteret_sql.callbacks import Progress
from rasteret_sql.lazy import lazy_module
from rasteret_sql.session.progress_hook import ProgressHook

if TYPE_CHECKING:
    from rasteret_sql.hosts import cell_bars, notebook
else:
    cell_bars = lazy_module("rasteret_sql.hosts.cell_bars")
    notebook = lazy_module("rasteret_sql.hosts.notebook")

_bars: dict[str, Any] = {}
"""The `shell` that last asked, and its `bars`."""


def follow_session(progress: ProgressHook) -> None:
    """Show relations by our code where a session of IPython runs; elsewhere do nothing.

    Args:
        progress: of a database: told below the cells of a notebook, unless somebody listens already.
    """
    shell = _running()
    if shell is not None:
        load_ipython_extension(shell)
        progress.listener = progress.listener or bars_of_cell()


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


def unload_ipython_extension(shell: Any) -> None:
    """Show relations as DuckDB does, as `%unload_ext rasteret_sql` asks."""
    shell.display_formatter.mimebundle_formatter.pop(duckdb.DuckDBPyRelation, None)


def _bundle_of(relation: duckdb.DuckDBPyRelation, include: Any = None, exclude: Any = None) -> dict[str, str]:
    return notebook.bundle_of(relation, include, exclude)
