"""Shows the chips of the latest statement as pictures in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import duckdb

from rasteret_sql.cli.result import Column
from rasteret_sql.cli.runner import Runner
from rasteret_sql.cli.terminal_pictures import drawn
from rasteret_sql.errors import InvalidArgumentError, did_you_mean
from rasteret_sql.quoting import quote_name
from rasteret_sql.reading.chip_column import chips_of
from rasteret_sql.result_types import CHIP

ROWS = 4
"""Pictures that are shown, if nothing else is said."""


def view(runner: Runner, arguments: Sequence[str]) -> None:
    """Run the latest statement again, for its first chips, and show these.

    Args:
        runner: Of the shell.
        arguments: The column, and how many rows.

    Raises:
        InvalidArgumentError: there is no such statement or column.
    """
    names = [word for word in arguments if not word.isdecimal()]
    numbers = [int(word) for word in arguments if word.isdecimal()]
    if len(names) > 1 or len(numbers) > 1 or 0 in numbers:
        raise InvalidArgumentError(".view is written .view [COLUMN] [ROWS], with a number of rows from 1")
    if not runner.last:
        raise InvalidArgumentError(".view shows chips of the latest statement, and none was run yet")
    relation = _relation(runner)
    column = _chip_column(relation, names[0] if names else None)
    chosen = relation.limit(numbers[0] if numbers else ROWS).project(f"{quote_name(column)} AS chip")
    is_terminal = runner.output.path is None and sys.stdout.isatty()
    for chunk in chosen.to_arrow_table()["chip"].chunks:
        for chip in chips_of(chunk.cast(CHIP)):
            runner.output.text("NULL" if chip is None else drawn(chip, is_terminal=is_terminal).rstrip("\n"))


def _relation(runner: Runner) -> duckdb.DuckDBPyRelation:
    statements = duckdb.extract_statements(runner.last)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise InvalidArgumentError(".view shows chips of the latest statement, which gave no rows; run a SELECT first")
    found: duckdb.DuckDBPyRelation = runner.connection.sql(runner.last)
    return found


def _chip_column(relation: duckdb.DuckDBPyRelation, wanted: str | None) -> str:
    """The column that is asked for, or the first with chips."""
    columns = [Column(name, str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True)]
    chips = [column.name for column in columns if column.is_chip]
    if not chips:
        raise InvalidArgumentError("the latest statement has no column of chips; select read_chip(...)")
    if wanted is None:
        return chips[0]
    found = next((name for name in chips if name.lower() == wanted.lower()), None)
    if found is None:
        raise InvalidArgumentError(f"the latest statement has no chips {wanted}; {did_you_mean(wanted, chips)}")
    return found
