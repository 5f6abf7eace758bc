"""Runs a statement and gives its result as a stream of Arrow batches, and their values as DuckDB writes them.

Results leave the user's connection as Arrow. A private DuckDB turns them into text and files, so every type looks in
every format as it does in DuckDB itself, and nothing here knows how to print a type. Tables of numbers and texts are
drawn on a cursor of the user's database, so that a short statement opens no second one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from rasteret_sql.quoting import quote_name, quote_text
from rasteret_sql.result_types import is_chip_type

# One vector of DuckDB: what a function of ours gets per call, so a batch of chips is no larger than the call's own.
BATCH_ROWS = 2048

# Arrow has no form for all values of these: they cross as the text DuckDB gives them, and get their type back.
_TEXT_ONLY = {"BIT", "BIGNUM", "TIME WITH TIME ZONE", "HUGEINT", "UHUGEINT"}

# Statements that DuckDB answers with a count or a flag, which its own shell does not print either.
_SILENT = {"Count", "Success"}
_ASKING = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.PRAGMA}


_PLAIN = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "VARCHAR"}
"""Types whose values go through Python as they are."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a result."""

    name: str
    type: str
    """DuckDB's name of the type: `BIGINT`, `STRUCT(a INTEGER)`."""

    @property
    def is_chip(self) -> bool:
        """True for pixels with their mask, transform and CRS."""
        return is_chip_type(self.type)


@dataclass(slots=True)
class Result:
    """Rows of one statement, read once."""

    columns: list[Column]
    reader: pa.RecordBatchReader
    connection: duckdb.DuckDBPyConnection | None = None
    """It ran here; None for rows of the shell's own."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The batches that have rows; closes the stream at the end, also after an error."""
        try:
            yield from (batch for batch in self.reader if batch.num_rows)
        finally:
            self.close()

    def nothing(self) -> pa.RecordBatch:
        """A batch of these columns without rows."""
        return pa.RecordBatch.from_pylist([], schema=self.reader.schema)

    def close(self) -> None:
        """Free the connection: DuckDB 2.0 keeps it busy while a result is open."""
        self.reader.close()

    @property
    def is_plan(self) -> bool:
        """True for what EXPLAIN gives: text to be shown as it is."""
        return [c.name for c in self.columns] == ["explain_key", "explain_value"]


def run(connection: duckdb.DuckDBPyConnection, sql: str, parameters: list[str] | None = None) -> Result | None:
    """Start a statement; None where it has no rows to give.

    Args:
        connection: Where to run it.
        sql: One statement.
        parameters: Values of its $1, $2.

    The relation streams on both DuckDBs, while `execute()` of 2.0 copies the whole result first.
    """
    relation = connection.sql(sql, params=parameters)
    if relation is None:  # DuckDB 1.5 gives nothing for a statement that counts rows or sets something
        return None
    columns = [Column(name, str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True)]
    if any(c.type in _TEXT_ONLY for c in columns):
        relation = relation.project(", ".join(_crossing(n, c) for n, c in enumerate(columns, 1)))
    reader = relation.to_arrow_reader(BATCH_ROWS)
    if len(columns) == 1 and columns[0].name in _SILENT and columns[0].type in {"BIGINT", "BOOLEAN"}:
        statements = duckdb.extract_statements(sql)
        if statements and statements[-1].type not in _ASKING:
            reader.read_all()
            return None
    return Result(columns, reader, connection)


def _crossing(position: int, column: Column) -> str:
    # By position: a result may have the same name twice.
    value = f"CAST(#{position} AS VARCHAR)" if column.type in _TEXT_ONLY else f"#{position}"
    return f"{value} AS {quote_name(column.name)}"


class Formatter:
    """Gives values the text that DuckDB gives them, on a DuckDB of its own, opened when it is first needed."""

    def __init__(self) -> None:
        self._connection: duckdb.DuckDBPyConnection | None = None

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            self._connection = duckdb.connect()
            self._connection.execute("SET enable_progress_bar = false")  # it would be drawn into what is written
        return self._connection

    def shortened(self, columns: list[Column], batch: pa.RecordBatch) -> pa.Table:
        """Rows with a few words in place of chips and long binary values, which would fill a screen with escapes."""
        self._use_zone(batch.schema)
        plain = pa.table(batch.columns, schema=_numbered(batch.schema))
        if _is_plain(columns):
            return plain
        texts = [f"{_short(n, column)} AS c{n}" for n, column in enumerate(columns)]
        with self._view(plain) as view:
            return self.connection.sql(f"SELECT {', '.join(texts)} FROM {view}").to_arrow_table()  # noqa: S608

    def relation(self, result: Result, rows: pa.Table) -> duckdb.DuckDBPyRelation:
        """Shortened rows of a result under their own names, with the types that they had."""
        columns = result.columns
        if _is_plain(columns) and len({c.name.casefold() for c in columns}) == len(columns):
            # Not as Arrow, for which DuckDB 1.5 imports pyarrow.dataset: that takes longer than all else of a short
            # statement. Of lists it renames columns of one name.
            lists = ", ".join(f"unnest(${n}::{c.type}[]) AS {quote_name(c.name)}" for n, c in enumerate(columns, 1))
            # Numbers and texts look the same on a cursor of the user's, and to open one more DuckDB takes a while.
            connection = result.connection.cursor() if result.connection is not None else self.connection
            return connection.sql(f"SELECT {lists}", params=[column.to_pylist() for column in rows.columns])
        wanted = ", ".join(f"{_typed(n, c)} AS {quote_name(c.name)}" for n, c in enumerate(columns))
        return self.connection.from_arrow(rows).project(wanted)

    def copy(
        self, batches: Iterable[pa.RecordBatch], result: Result, path: str, options: Mapping[str, str | bool]
    ) -> None:
        """Write rows to a file with DuckDB's COPY.

        Args:
            batches: Rows of the result.
            result: Where they come from: its columns name the file's.
            path: The file.
            options: COPY's own options: `{"FORMAT": "csv", "HEADER": True}`.
        """
        self._use_zone(result.reader.schema)
        schema = _numbered(result.reader.schema)
        numbered = (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in batches)
        names = unique_names([c.name for c in result.columns])
        wanted = ", ".join(
            f"{_typed(n, c)} AS {quote_name(name)}"
            for n, (c, name) in enumerate(zip(result.columns, names, strict=True))
        )
        settings = ", ".join(f"{key} {_literal(value)}" for key, value in options.items())
        with self._view(pa.RecordBatchReader.from_batches(schema, numbered)) as view:
            self.connection.execute(f"COPY (SELECT {wanted} FROM {view}) TO {_literal(path)} ({settings})")  # noqa: S608

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _use_zone(self, schema: pa.Schema) -> None:
        """Write times as the connection does that gave them: Arrow carries its setting TimeZone in their type."""
        zone = next(filter(None, map(_zone, schema.types)), None)
        if zone is not None:
            self.connection.execute(f"SET TimeZone = {quote_text(zone)}")

    def _view(self, data: Any) -> _View:
        return _View(self.connection, data)


@dataclass(slots=True)
class _View:
    """A registered Arrow object, for the time of one statement."""

    connection: duckdb.DuckDBPyConnection
    data: Any
    name: str = "shown"

    def __enter__(self) -> str:
        self.connection.register(self.name, self.data)
        return self.name

    def __exit__(self, *_: object) -> None:
        self.connection.unregister(self.name)


def unique_names(names: list[str]) -> list[str]:
    """Names with `_1`, `_2` after those that came before, as DuckDB numbers them; a file cannot repeat a name."""
    taken, unique = {n.lower() for n in names}, []
    seen: set[str] = set()
    for name in names:
        candidate, number = name, 0
        while candidate.lower() in seen or (number and candidate.lower() in taken):
            number += 1
            candidate = f"{name}_{number}"
        seen.add(candidate.lower())
        unique.append(candidate)
    return unique


def _is_plain(columns: list[Column]) -> bool:
    return all(column.type in _PLAIN for column in columns)


def _zone(type_: pa.DataType) -> str | None:
    """The time zone of a type, or of one inside it."""
    if pa.types.is_timestamp(type_):
        return str(type_.tz) if type_.tz else None
    inner = (type_.field(n).type for n in range(type_.num_fields))
    return next(filter(None, map(_zone, inner)), None)


def _numbered(schema: pa.Schema) -> pa.Schema:
    return pa.schema([f.with_name(f"c{position}") for position, f in enumerate(schema)])


def _short(position: int, column: Column) -> str:
    value = f"c{position}"
    if column.is_chip:
        return (
            f"CASE WHEN {value} IS NULL THEN NULL ELSE concat('chip ', len({value}.bands), '×', {value}.height, '×', "
            f"{value}.width, ' ', {value}.dtype, coalesce(' ' || {value}.crs, '')) END"
        )
    if column.type == "BLOB":
        # Short ones are worth seeing: a key, a flag.
        return (
            f"CASE WHEN octet_length({value}) > 16 THEN encode(format('BLOB of {{:,}} bytes', octet_length({value}))) "
            f"ELSE {value} END"
        )
    return value


def _typed(position: int, column: Column) -> str:
    # Arrow carries these as text, or not at all; they are to have the type that the statement gave.
    crosses_as_text = re.search(r"\b(JSON|UUID)\b", column.type) and "GEOMETRY" not in column.type
    if crosses_as_text or column.type in _TEXT_ONLY:
        return f"CAST(c{position} AS {column.type})"
    return f"c{position}"


def _literal(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else quote_text(value)
