"""An error as one readable message: what happened, without the machinery it went through."""

from __future__ import annotations

import re

# DuckDB puts this before the message of a Python function, then the name of the exception's class.
_UDF_PREFIX = re.compile(
    r"^(?:[A-Z][\w ]*Error: )?Python exception occurred while executing the UDF: (?:[\w.]+(?:: |$))?", re.MULTILINE
)
# DuckDB 1.5 ends it with the Python frames it came through.
_FRAMES = re.compile(r"\n+At:\n(?:[ \t]+\S.*\(\d+\): .*(?:\n|$))+")
_INTERRUPTED = re.compile(r"INTERRUPT Error|InterruptedQueryError|KeyboardInterrupt")


def readable(error: BaseException) -> str:
    """The message of an error for a person at a prompt.

    The kind of error that DuckDB puts first (`Parser Error:`, `Catalog Error:`) stays, as do its position lines; what
    our own functions raise is said as they say it.
    """
    text = _FRAMES.sub("\n", str(error)).strip()
    if (own := _UDF_PREFIX.search(text)) is not None:
        text = text[own.end() :].strip()
        # The position of a call in a macro's or a reader's text says nothing to the one who wrote the statement.
        text = re.sub(r"\n+LINE \d+: .*\n[ \t]*\^+\s*$", "", text)
    return text or type(error).__name__


def is_interrupt(error: BaseException) -> bool:
    """True where the statement ended because somebody stopped it."""
    return isinstance(error, KeyboardInterrupt) or _INTERRUPTED.search(f"{type(error).__name__}: {error}") is not None
