"""Gives the warnings of the package in one way, so that they read alike in every host."""

from __future__ import annotations

import warnings

SOURCE = "rasteret_sql"
"""Where warnings say they are from; `warnings.filterwarnings("ignore", module="rasteret_sql")` takes them all."""


class RasteretWarning(RuntimeWarning):
    """Something that a user should know of, though the work goes on."""


def warn(text: str) -> None:
    """Give a warning.

    It names the package rather than a line of code: most come from SQL, where there is no line of Python to show, and
    with a file's name Python would print a line of our own below the message.

    Args:
        text: What happened, to what, and what to do; it stands alone.
    """
    warnings.warn_explicit(text, RasteretWarning, SOURCE, 1, module=SOURCE)
