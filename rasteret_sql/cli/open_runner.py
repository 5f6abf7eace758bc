"""Opens what a command works with: a connection with our functions, its output, its progress bars."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rasteret_sql.cli.commands import run_command
from rasteret_sql.cli.messages import shown_warnings
from rasteret_sql.cli.output import Output
from rasteret_sql.cli.progress import ProgressDisplay
from rasteret_sql.cli.runner import Runner
from rasteret_sql.connection import connect, interrupt, progress_of
from rasteret_sql.index.place.location import Workspace


@contextmanager
def open_runner(
    output: Output, *, database: str = ":memory:", workspace: Workspace | None = None, progress: bool = True
) -> Iterator[Runner]:
    """A runner on a new connection; closes connection and output at the end.

    Args:
        output: Where results go.
        database: A DuckDB file, or `:memory:`.
        workspace: Where indexes are kept, None for the usual place.
        progress: Draw progress bars where stderr is a terminal.
    """
    display = ProgressDisplay(wanted=progress)
    output.aside = display.aside
    try:
        connection = connect(database, workspace_dir=workspace)
        try:
            # The Python variables of this program are no tables.
            connection.execute("SET python_enable_replacements = false")
            # DuckDB writes its bar to stdout, also where that is a file: the bars here show how far it is.
            connection.execute("SET enable_progress_bar_print = false")
            progress_of(connection).listener = display
            runner = Runner(connection, output, lambda: interrupt(connection), run_command, display)
            with shown_warnings(display.aside):
                try:
                    yield runner
                finally:
                    runner.end_redirect(keep=False)
        finally:
            connection.close()
    finally:
        output.close()
