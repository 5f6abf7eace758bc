"""Writes errors and warnings as readable messages, without the names of exceptions and lines of code."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from rasteret_sql.warning import RasteretWarning

# DuckDB puts this before the message of a Python function, then the name of the exception's class.
_UDF_PREFIX = re.compile(
    r"^(?:[A-Z][\w ]*Error: )?Python exception occurred while executing the UDF: (?:[\w.]+(?:: |$))?", re.MULTILINE
)
# DuckDB 1.5 ends it with the Python frames it came through.
_FRAMES = re.compile(r"\n+At:\n(?:[ \t]+\S.*\(\d+\): .*(?:\n|$))+")
_LATERAL = "does not support lateral join column parameters"
_NAME_THE_RELATION = (
    "A table function cannot take a column. Name the relation of geometries in its place, as in "
    "rasteret_scenes('bay', fields) or zonal_stats_table(rasteret.bay, fields, 'B04'): its columns come with the rows."
)
_INTERRUPTED = re.compile(r"INTERRUPT Error|InterruptedQueryError|KeyboardInterrupt")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_NAMED_CONTROL = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    """Text without characters that move a terminal's cursor, change its colours or turn its letters around."""
    return _CONTROL.sub(lambda m: _NAMED_CONTROL.get(m[0], f"\\x{ord(m[0]):02x}"), text)


def coloured(text: str, colour: int) -> str:
    """Text for stderr, in a colour of the terminal (31 red, 33 yellow) where it is one and colours are welcome."""
    return f"\x1b[{colour}m{text}\x1b[0m" if sys.stderr.isatty() and "NO_COLOR" not in os.environ else text


@contextmanager
def shown_warnings(aside: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Show our own warnings as one line that begins with `Warning:`, without Python's place in the code.

    Args:
        aside: Entered while one is written: progress bars make room.
    """
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, RasteretWarning):
            before(message, category, *place, **more)
            return
        with aside():
            sys.stderr.write(f"{coloured(f'Warning: {message}', 33)}\n")
            sys.stderr.flush()

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def readable(error: BaseException) -> str:
    """The message of an error for a person at a prompt.

    The kind of error that DuckDB puts first (`Parser Error:`, `Catalog Error:`) stays, as do its position lines; what
    our own functions raise is said as they say it. An error of the system is said without its number.
    """
    if isinstance(error, OSError) and error.strerror:
        places = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return ": ".join([error.strerror, " and ".join(places)] if places else [error.strerror])
    text = _FRAMES.sub("\n", str(error)).strip()
    if (own := _UDF_PREFIX.search(text)) is not None:
        text = text[own.end() :].strip()
        # The position of a call in a macro's or a reader's text says nothing to the one who wrote the statement.
        text = re.sub(r"\n+LINE \d+: .*\n[ \t]*\^+\s*$", "", text)
    if _LATERAL in text:  # DuckDB binds the arguments of a macro's query itself, so no function of ours can say this
        text = f"{text}\n{_NAME_THE_RELATION}"
    return text or type(error).__name__


def is_interrupt(error: BaseException) -> bool:
    """True where the statement ended because somebody stopped it."""
    return isinstance(error, KeyboardInterrupt) or _INTERRUPTED.search(f"{type(error).__name__}: {error}") is not None
