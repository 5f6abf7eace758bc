"""Writes rows as lines of `name = value`, and as tables of Markdown."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from rasteret_sql.cli.messages import visible
from rasteret_sql.cli.result import Column, Formatter, Result
from rasteret_sql.quoting import quote_text

_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
NULL = "NULL"


def line_texts(result: Result, formatter: Formatter) -> Iterator[tuple[str, int]]:
    """The rows of a result, a value a line; of a STRUCT, a field a line.

    Yields:
        The lines of some rows, and the number of these rows.
    """
    begun = False
    for batch in result.batches():
        names, rows = _lines_of(result, formatter, batch)
        width = max(map(len, names), default=0)
        blocks = [
            "\n".join(
                f"{name:>{width}} = {_indented(value, width + 3)}" for name, value in zip(names, row, strict=True)
            )
            for row in rows
        ]
        yield ("\n" if begun else "") + "\n\n".join(blocks) + "\n", batch.num_rows
        begun = True


def markdown_texts(result: Result, formatter: Formatter) -> Iterator[tuple[str, int]]:
    """The rows of a result as a table of Markdown; also without rows it has its head.

    Yields:
        The lines of some rows, and the number of these rows.
    """
    sides = ["---:" if _is_number(column) else "---" for column in result.columns]
    yield f"{_row([_cell(column.name) for column in result.columns])}{_row(sides)}", 0
    for batch in result.batches():
        relation = formatter.relation(result, formatter.shortened(result.columns, batch))
        texts = ", ".join(f"CAST(#{n} AS VARCHAR)" for n in range(1, len(result.columns) + 1))
        rows = relation.project(texts).fetchall()
        yield "".join(_row(["" if value is None else _cell(value) for value in row]) for row in rows), batch.num_rows


def _is_number(column: Column) -> bool:
    return column.type.lstrip("U").startswith(_NUMBERS) and not column.type.endswith("]")


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _cell(text: str) -> str:
    lines = [visible(line).replace("\\", "\\\\").replace("|", "\\|") for line in text.splitlines() or [""]]
    return "<br>".join(lines)


def _indented(text: str | None, indent: int) -> str:
    """Text whose further lines are as far in as the first."""
    if text is None:
        return NULL
    return f"\n{' ' * indent}".join(visible(line) for line in text.splitlines() or [""])


def _lines_of(
    result: Result, formatter: Formatter, batch: pa.RecordBatch
) -> tuple[list[str], list[tuple[str | None, ...]]]:
    """The names and texts of the lines of some rows."""
    relation = formatter.relation(result, formatter.shortened(result.columns, batch))
    names, wanted = [], []
    for number, (column, kind) in enumerate(zip(result.columns, relation.types, strict=True), 1):
        fields = [name for name, _ in kind.children] if kind.id == "struct" else []
        names += [visible(f"{column.name}.{field}" if fields else column.name) for field in fields or [""]]
        wanted += [f"CAST(struct_extract(#{number}, {quote_text(field)}) AS VARCHAR)" for field in fields]
        if not fields:
            wanted.append(f"CAST(#{number} AS VARCHAR)")
    return names, relation.project(", ".join(wanted)).fetchall()
