"""Says which collections there are where a statement names one that is not; DuckDB suggests any table."""

from __future__ import annotations

import re

import duckdb

from rasteret_sql.connection import session_for
from rasteret_sql.errors import RasteretError
from rasteret_sql.hosts.duckdb import DEFAULT_CATALOG

_NO_TABLE = re.compile(r"^Catalog Error: Table with name (?P<name>.+?) does not exist!", re.MULTILINE)
_OF_OURS = re.compile(
    rf'(?<![\w"])(?:{DEFAULT_CATALOG}|"{DEFAULT_CATALOG}")\s*\.\s*(?:main\s*\.\s*)?'
    r'(?:"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>\w+))',
    re.IGNORECASE,
)
_TEXT = re.compile(r"'(?:[^']|'')*'")


def hint(error: BaseException, statement: str, connection: duckdb.DuckDBPyConnection) -> str | None:
    """The collections of the workspace, where an error says that one of them does not exist; None for other errors.

    Args:
        error: of DuckDB.
        statement: the SQL that was refused.
        connection: the one that refused it.
    """
    missing = _NO_TABLE.search(str(error)) if isinstance(error, duckdb.CatalogException) else None
    if missing is None:
        return None
    names = _OF_OURS.finditer(_TEXT.sub("''", statement))
    named = {(one["quoted"] or one["plain"]).replace('""', '"').casefold() for one in names}
    name = missing["name"]
    if name.casefold() not in named:
        return None
    session = session_for(connection)
    try:
        index = session.open(name)
        session.publish(index.name)
    except RasteretError as reason:
        return str(reason)
    return (
        f'"{index.name}" was built since this shell began. It is there now: run the statement again; in a transaction, '
        "after COMMIT or ROLLBACK"
    )
