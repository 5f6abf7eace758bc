"""A statement's result as a stream of Arrow batches, and their values as DuckDB writes them.

Results leave the user's connection as Arrow. A private DuckDB connection turns them into text and files, so every type
looks in every format as it does in DuckDB itself, and nothing here knows how to print a type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa
from sqlglot import exp

# One vector of DuckDB: what a function of ours gets per call, so a batch of chips is no larger than the call's own.
BATCH_ROWS = 2048

# Arrow has no form for these: they cross as the text DuckDB gives them. 128-bit integers have one for all but the last
# few, so that they stay numbers in files.
_TEXT_ONLY = {"BIT", "BIGNUM", "TIME WITH TIME ZONE"}
_WIDE = {"HUGEINT", "UHUGEINT"}

# Statements that DuckDB answers with a count or a flag, which its own shell does not print either.
_SILENT = {"Count", "Success"}
_ASKING = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.PRAGMA}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a result."""

    name: str
    type: str
    """DuckDB's name of the type: `BIGINT`, `STRUCT(a INTEGER)`."""

    @property
    def is_chip(self) -> bool:
        """True for pixels with their mask, transform and CRS."""
        kind = self.type.replace('"', "")
        return (
            kind.startswith("STRUCT(")
            and kind.endswith(")")
            and all(part in kind for part in ("data BLOB", "mask BLOB", "dtype VARCHAR", "transform DOUBLE["))
        )

    @property
    def is_number(self) -> bool:
        """True for columns that are read best when they end at the same place."""
        return self.type.startswith("DECIMAL") or self.type in {
            *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
            *("UHUGEINT", "BIGNUM", "FLOAT", "DOUBLE"),
        }


@dataclass(slots=True)
class Result:
    """Rows of one statement, read once."""

    columns: list[Column]
    reader: pa.RecordBatchReader

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The batches that have rows; closes the stream at the end, also after an error."""
        try:
            yield from (batch for batch in self.reader if batch.num_rows)
        finally:
            self.close()

    def close(self) -> None:
        """Free the connection: DuckDB 2.0 keeps it busy while a result is open."""
        self.reader.close()

    @property
    def is_plan(self) -> bool:
        """True for what EXPLAIN gives: text to be shown as it is."""
        return [c.name for c in self.columns] == ["explain_key", "explain_value"]


def run(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: list[str] | None = None, *, as_text: bool = True
) -> Result | None:
    """Start a statement; None where it has no rows to give.

    Args:
        connection: Where to run it.
        sql: One statement.
        parameters: Values of its $1, $2.
        as_text: Values will only be shown, so that 128-bit integers may cross as text.

    The relation streams on both DuckDBs, while `execute()` of 2.0 copies the whole result first.
    """
    relation = connection.sql(sql, params=parameters)
    if relation is None:  # DuckDB 1.5 gives nothing for a statement that counts rows or sets something
        return None
    columns = [Column(name, str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True)]
    if any(c.type in _TEXT_ONLY | _WIDE for c in columns):
        casts = dict.fromkeys(_TEXT_ONLY, "VARCHAR") | dict.fromkeys(_WIDE, "VARCHAR" if as_text else "DECIMAL(38, 0)")
        relation = relation.project(", ".join(_crossing(n, c, casts.get(c.type)) for n, c in enumerate(columns, 1)))
    reader = relation.to_arrow_reader(BATCH_ROWS)
    if len(columns) == 1 and columns[0].name in _SILENT and columns[0].type in {"BIGINT", "BOOLEAN"}:
        statements = duckdb.extract_statements(sql)
        if statements and statements[-1].type not in _ASKING:
            reader.read_all()
            return None
    return Result(columns, reader)


def _crossing(position: int, column: Column, cast: str | None) -> str:
    # By position: a result may have the same name twice.
    value = f"#{position}" if cast is None else f"CAST(#{position} AS {cast})"
    return f"{value} AS {_identifier(column.name)}"


@dataclass(slots=True)
class Formatter:
    """Gives values the text that DuckDB gives them, on a connection of its own."""

    connection: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)

    def rows(self, columns: list[Column], batch: pa.RecordBatch, *, shorten: bool) -> list[tuple[str | None, ...]]:
        """Text of every value, None for NULL.

        Args:
            columns: The result's columns.
            batch: Rows to write.
            shorten: Say what binary values and chips are rather than show their bytes.
        """
        plain = pa.table(batch.columns, schema=_numbered(batch.schema))
        texts = [_text(position, column, shorten=shorten) for position, column in enumerate(columns)]
        with self._view(plain) as view:
            rows: list[tuple[str | None, ...]] = self.connection.sql(
                f"SELECT {', '.join(texts)} FROM {view}"  # noqa: S608
            ).fetchall()
        return rows

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
        schema = _numbered(result.reader.schema)
        numbered = (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in batches)
        names = unique_names([c.name for c in result.columns])
        wanted = ", ".join(
            f"{_typed(n, c)} AS {_identifier(name)}"
            for n, (c, name) in enumerate(zip(result.columns, names, strict=True))
        )
        settings = ", ".join(f"{key} {_literal(value)}" for key, value in options.items())
        with self._view(pa.RecordBatchReader.from_batches(schema, numbered)) as view:
            self.connection.execute(f"COPY (SELECT {wanted} FROM {view}) TO {_literal(path)} ({settings})")  # noqa: S608

    def close(self) -> None:
        self.connection.close()

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


def _numbered(schema: pa.Schema) -> pa.Schema:
    return pa.schema([f.with_name(f"c{position}") for position, f in enumerate(schema)])


def _text(position: int, column: Column, *, shorten: bool) -> str:
    value = f"c{position}"
    if shorten and column.is_chip:
        return (
            f"CASE WHEN {value} IS NULL THEN NULL ELSE concat('chip ', len({value}.bands), '×', {value}.height, '×', "
            f"{value}.width, ' ', {value}.dtype, coalesce(' ' || {value}.crs, '')) END"
        )
    if shorten and column.type == "BLOB":
        # Short ones are worth seeing (a key, a flag); the rest would fill the screen with escapes.
        return (
            f"CASE WHEN octet_length({value}) > 16 THEN format('BLOB of {{:,}} bytes', octet_length({value})) "
            f"ELSE {value}::VARCHAR END"
        )
    return f"{value}::VARCHAR"


def _typed(position: int, column: Column) -> str:
    # Arrow carries these as text; a file is to have what the statement gave.
    as_text = re.search(r"\b(JSON|UUID)\b", column.type) and "GEOMETRY" not in column.type
    return f"CAST(c{position} AS {column.type})" if as_text else f"c{position}"


def _identifier(name: str) -> str:
    return str(exp.to_identifier(name, quoted=True).sql(dialect="duckdb"))


def _literal(value: str | bool) -> str:
    literal = exp.Boolean(this=value) if isinstance(value, bool) else exp.Literal.string(value)
    return str(literal.sql(dialect="duckdb"))
