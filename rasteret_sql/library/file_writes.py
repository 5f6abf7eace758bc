"""`FileWrites`: writes the files of one statement, one a row, under names that a template makes of the row."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from pathlib import Path

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.write_file import write_file
from rasteret_sql.quoting import quote_text

_COLUMN = re.compile(r"\{([^{}:]+)(?::([^{}]*))?\}")
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_NOT_IN_NAMES = re.compile(r"[/\\\x00-\x1f]")


def columns_of(template: str) -> list[tuple[str, str | None]]:
    """The columns that a template names, and the format of each: of `{datetime:%Y%m%d}` it is `%Y%m%d`.

    Raises:
        InvalidArgumentError: it is empty, has a brace without its other one, or is not a path of this machine.
    """
    if not template.strip():
        raise InvalidArgumentError("path is empty; expected one such as 'chips/{id}.tif'")
    if "\0" in template:
        shown = template.replace("\0", "\\0")  # a message of DuckDB 1.5 ends at one
        raise InvalidArgumentError(f"path := {quote_text(shown)} has a zero byte, which no name of a file has")
    if _REMOTE.match(template):
        raise InvalidArgumentError(
            f"path := {quote_text(safe_address(template))} is no path of this machine; write files here and copy them"
        )
    if "{" in _COLUMN.sub("", template) or "}" in _COLUMN.sub("", template):
        raise InvalidArgumentError(
            f"path := {quote_text(template)} has a brace that belongs to no column; expected names of columns in "
            "braces: 'chips/{id}_{band}.tif'"
        )
    return [(found[1].strip(), found[2]) for found in _COLUMN.finditer(template)]


class FileWrites:
    """The files of one statement.

    Args:
        template: Path with names of columns in braces.
        overwrites: True: a file that is there is replaced.
    """

    def __init__(self, template: str, *, overwrites: bool = True) -> None:
        self._parts = _COLUMN.split(template)[::3]
        """What stands between the columns."""
        self._columns = columns_of(template)
        self._template = template
        self._overwrites = overwrites
        self._taken: set[Path] = set()
        self._lock = threading.Lock()

    def path(self, values: Sequence[str | None]) -> Path:
        """The path of a row, of the values of its columns.

        Raises:
            InvalidArgumentError: a value is NULL, or no part of the name of a file.
        """
        made = [self._parts[0]]
        for (name, _), value, after in zip(self._columns, values, self._parts[1:], strict=True):
            if value is None:
                raise InvalidArgumentError(f"{{{name}}} of a row is NULL, and its file has no name without it")
            if _NOT_IN_NAMES.search(value) or value in ("", ".", ".."):
                raise InvalidArgumentError(
                    f"{{{name}}} of a row is {quote_text(value)}, which cannot be in the name of a file; replace what "
                    "is no letter, digit, dot or hyphen, as in regexp_replace(id, '[^\\w.-]', '_', 'g')"
                )
            made += [value, after]
        return Path("".join(made)).expanduser()

    def write(self, path: Path, data: bytes) -> None:
        """Write a file whole or not at all.

        Raises:
            InvalidArgumentError: another row has the same path, or a file is there that is not to be replaced.
            StorageError: it cannot be written.
        """
        target = path.resolve()
        with self._lock:
            if target in self._taken:
                raise InvalidArgumentError(
                    f"two rows have the same path, {path}; expected a path of its own for each: name columns that tell "
                    f"them apart in path := {quote_text(self._template)}"
                )
            self._taken.add(target)
        if not self._overwrites and target.exists():
            raise InvalidArgumentError(f"{path} is there already; say overwrite := true, or another path")
        write_file(target, data, durable=False)  # many at a time
