"""Says what to install where the map lacks it."""

from __future__ import annotations

from importlib.util import find_spec

from rasteret_sql.errors import InvalidArgumentError


def require_bokeh() -> None:
    """Raise where Bokeh is not installed.

    Raises:
        InvalidArgumentError: with what to do.
    """
    if find_spec("bokeh") is None:
        raise InvalidArgumentError("the map needs Bokeh, which is not installed: pip install 'rasteret-sql[view]'")
