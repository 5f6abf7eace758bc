"""Reads secrets of a DuckDB database, where its owner lets them be seen."""

from __future__ import annotations

import duckdb

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.clouds.cloud import HostSecret
from rasteret_sql.library.secret_backends import parse_secret

_ASK = "SELECT name, type, scope, secret_string FROM duckdb_secrets(redact := {}) WHERE lower(name) = lower(?)"


def read_secret(cursor: duckdb.DuckDBPyConnection, name: str) -> HostSecret | None:
    """The secret of a name, None where there is none.

    Args:
        cursor: Of the database, its own: the connection that asks is busy with the statement that wants to know.
        name: Without regard to case, as DuckDB takes it.

    Raises:
        InvalidArgumentError: There is one, but the database was not opened with `allow_unredacted_secrets`.
    """
    found = cursor.execute(_ASK.format("true"), [name]).fetchall()
    if not found:
        return None
    try:
        rows = cursor.execute(_ASK.format("false"), [name]).fetchall()
    except duckdb.InvalidInputException:
        raise InvalidArgumentError(
            f'the DuckDB secret "{found[0][0]}" cannot be used: DuckDB shows what is in one only where the database '
            "was opened with connect(config={'allow_unredacted_secrets': 'true'}), and then to whoever uses it. Give "
            f"the credentials to rasteret_create_backend('{name}', ...) instead"
        ) from None
    return parse_secret(*rows[0]) if rows else None
