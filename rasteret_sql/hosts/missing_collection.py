"""Says which collections there are where a statement names one that is not; DuckDB suggests any table."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import duckdb

from rasteret_sql.errors import RasteretError
from rasteret_sql.hosts.duckdb import DEFAULT_CATALOG

if TYPE_CHECKING:
    from rasteret_sql.session.session import Session  # imported at its first use: it takes long

_NO_TABLE = re.compile(r"^Catalog Error: Table with name (?P<name>.+?) does not exist!", re.MULTILINE)
_OF_OURS = re.compile(
    rf'(?<![\w"])(?:{DEFAULT_CATALOG}|"{DEFAULT_CATALOG}")\s*\.\s*(?:main\s*\.\s*)?'
    r'(?:"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>\w+))',
    re.IGNORECASE,
)
_TEXT = re.compile(r"'(?:[^']|'')*'")


def hint(error: BaseException, statement: str, session_of: Callable[[], Session], *, is_sql: bool = True) -> str | None:
    """The collections of the workspace, where an error says that one of them does not exist; None for other errors.

    Args:
        error: of DuckDB.
        statement: the SQL that was refused.
        session_of: gives the session of the database that refused it, for such an error alone.
        is_sql: False where the statement is anywhere in a text, such as a program, maybe in quotes.
    """
    missing = _NO_TABLE.search(str(error)) if isinstance(error, duckdb.CatalogException) else None
    if missing is None:
        return None
    names = _OF_OURS.finditer(_TEXT.sub("''", statement) if is_sql else statement)
    named = {(one["quoted"] or one["plain"]).replace('""', '"').casefold() for one in names}
    name = missing["name"]
    if name.casefold() not in named:
        return None
    session = session_of()
    try:
        index = session.open(name)
        session.publish(index.name)
    except RasteretError as reason:
        return str(reason)
    return (
        f'"{index.name}" was built since this session began. It is there now: run the statement again; in a '
        "transaction, after COMMIT or ROLLBACK"
    )
