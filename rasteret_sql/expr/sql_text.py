"""Reads the text of one SQL expression by sqlglot, and shows parts of it in messages."""

from __future__ import annotations

import re

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokens import TokenType

from rasteret_sql.errors import InvalidArgumentError

LONGEST = 100_000
"""Characters of an expression; sqlglot takes seconds for longer ones."""


_OTHER_BASE = re.compile(r"0x[0-9a-f]+|0b[01]+|0o[0-7]+", re.IGNORECASE)


def parse_expression(text: str, what: str, supported: str, longest: int = LONGEST) -> exp.Expression:
    """Read the text of one expression in DuckDB's SQL.

    Args:
        text: The text.
        what: What it is, for messages: condition, expression, mask.
        supported: What it may have, for messages.
        longest: Characters that it may have.

    Raises:
        InvalidArgumentError: It is no SQL, is empty, or is several statements.
    """
    if len(text) > longest:
        raise InvalidArgumentError(f"the {what} is {len(text)} characters long; at most {longest} are read")
    try:
        if any(token.token_type == TokenType.SEMICOLON for token in sqlglot.tokenize(text, read="duckdb")):
            raise InvalidArgumentError(f"the {what} {shown(text)} holds a ; but is one expression; {supported}")
        found = sqlglot.parse(text, read="duckdb", error_level=sqlglot.ErrorLevel.IMMEDIATE)
    except SqlglotError as error:
        raise InvalidArgumentError(
            f"the {what} {shown(text)} cannot be read as SQL{_place(error)}; {supported}"
        ) from error
    except RecursionError:
        raise too_deep(text, what) from None
    if not found or found[0] is None:
        raise InvalidArgumentError(f"the {what} is empty; {supported}")
    return found[0]


def too_deep(text: str, what: str) -> InvalidArgumentError:
    """The error of an expression that has too many parts in each other."""
    return InvalidArgumentError(f"the {what} {shown(text)} is nested too deep to be read")


def kind_of(part: exp.Expression) -> str:
    """Says what a part is that cannot be there."""
    if isinstance(part, exp.Query | exp.Subquery | exp.Exists):
        return "a subquery"
    if isinstance(part, exp.DDL | exp.DML | exp.Command | exp.Drop):
        return "a statement"
    if isinstance(part, exp.Func):
        return "a function"
    if isinstance(part, exp.Placeholder | exp.Parameter):
        return "a parameter"
    return type(part).__name__


def hint_of_alias(alias: str, text: str) -> str:
    """Words on an alias in a text: `eo:cloud < 20` is read as `cloud < 20 AS eo`, and `0x04` as `0 AS x04`."""
    number = f"0{alias}"
    if _OTHER_BASE.fullmatch(number) and number.lower() in text.lower():
        return f"; numbers are decimal, as in DuckDB: {number} is written {int(number, 0)}"
    return f'; a name with a colon stands in double quotes: "{alias}:..."'


def sql_of(part: exp.Expression) -> str:
    """Gives the text of a part, on one line."""
    return shown(part.sql("duckdb", comments=False), quote="")


def shown(text: str, quote: str = "'") -> str:
    """Gives a text on one line, cut where it is long."""
    text = " ".join(text.split())
    return f"{quote}{text if len(text) <= 120 else text[:117] + '...'}{quote}"


def _place(error: SqlglotError) -> str:
    details = getattr(error, "errors", None) or [{}]
    line, column = details[0].get("line"), details[0].get("col")
    near = details[0].get("highlight")
    return f" (line {line}, column {column}{f', near {near!r}' if near else ''})" if line and column else ""
