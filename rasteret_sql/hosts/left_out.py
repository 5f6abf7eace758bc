"""Warns where scenes could not be read and are left out; that is an error where nothing else is there."""

from __future__ import annotations

from collections.abc import Mapping

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.warning import warn

_NAMED = 8
"""Scenes that a warning names."""


def tell_left_out(failures: Mapping[str, Exception], count: int, what: str = "scenes", *, found: bool) -> None:
    """Warn of what is left out.

    Args:
        failures: its name → why it could not be read; the first one is told.
        count: how many there are in all.
        what: what they are.
        found: True: something else was read.

    Raises:
        InvalidArgumentError: nothing was.
    """
    if not failures:
        return
    name, error = next(iter(failures.items()))
    failed = f'{len(failures)} of {count} {what} could not be read, first "{name}": {error}'
    if not found:
        raise InvalidArgumentError(f"no valid data found: {failed}") from error
    named = ", ".join(list(failures)[:_NAMED])
    more = f", and {len(failures) - _NAMED} more" if len(failures) > _NAMED else ""
    warn(f"{failed}; they are left out" + (f": {named}{more}" if len(failures) > 1 else ""))
