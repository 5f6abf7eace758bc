"""Reads `progress=` of Python's methods: bars below the cell of a notebook, elsewhere a line on stderr."""

from __future__ import annotations

import sys

from rasteret_sql.callbacks import Progress
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.hosts.ipython_session import bars_of_cell


def progress_listener(progress: bool | Progress | None) -> Progress | None:
    """The listener that `progress=` means: a function as it is, True for what people see, else nothing.

    Raises:
        InvalidArgumentError: it is none of these.
    """
    if callable(progress):
        return progress
    if progress is None or isinstance(progress, bool):
        return (bars_of_cell() or _show) if progress else None
    raise InvalidArgumentError(f"progress={progress!r} cannot be used; give True, or a function (done, total, what)")


def _show(done: int, total: int | None, what: str) -> None:
    """Progress on stderr, in one line."""
    sys.stderr.write(f"\r{done}/{'?' if total is None else total} {what}" + ("\n" if done == total else ""))
    sys.stderr.flush()
