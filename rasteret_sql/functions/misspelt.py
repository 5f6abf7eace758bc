"""Finds the argument of a refused call that is misspelt, missing, too many or compared; DuckDB only lists all."""

from __future__ import annotations

import re
from collections.abc import Iterator

import sqlglot
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from rasteret_sql.errors import did_you_mean
from rasteret_sql.functions.registry import FUNCTIONS
from rasteret_sql.functions.spec import Function

# The candidates stand in lines of their own; the place in the statement, if DuckDB tells it, is after an empty one.
_REFUSED = re.compile(r"Macro (?P<name>\w+)\(\) does not support the supplied arguments.*?(?=\n\n|\Z)", re.DOTALL)
# What a column of that name would have to be, or a text where DuckDB 2 takes an unknown name for one.
_IS_NAMED = re.compile(
    r"""(?:Referenced column |Could not convert string |Type VARCHAR with value )["'](?P<name>\w+)["']"""
)
_NAMES = {TokenType.COLON_EQ, TokenType.FARROW}
_OPEN = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE}
_CLOSE = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE}


def explained(statement: str, message: str) -> str:
    """DuckDB's message on a call of ours whose arguments its binder refused, with what is wrong in place of a list.

    Args:
        statement: the SQL that was refused.
        message: of DuckDB's error; any other one stays as it is, and so does one whose call is not in the statement.
    """
    refused = _REFUSED.search(message)
    function = next((one for one in FUNCTIONS if refused and one.name == refused["name"].lower()), None)
    if (refused is None or function is None) and not _IS_NAMED.search(message):
        return message
    try:
        tokens = sqlglot.tokenize(statement, read="duckdb")
    except SqlglotError:
        return message
    if refused is None or function is None:
        name = _compared(tokens, {named["name"].lower() for named in _IS_NAMED.finditer(message)})
        return f"{message}\nThe argument is written {name} := ...; {name} = ... compares" if name else message
    fault = next((found for call in _calls(tokens, function.name) if (found := _fault(function, *call))), None)
    return message if fault is None else f"{message[: refused.start()]}{fault}{message[refused.end() :]}"


def _calls(tokens: list[Token], name: str) -> Iterator[tuple[int, list[str]]]:
    """Calls of a function: how many arguments go by their place, and the names of the others."""
    for at in range(len(tokens) - 1):
        if tokens[at].text.lower() == name and tokens[at + 1].token_type == TokenType.L_PAREN:
            yield _arguments(tokens, at + 2)


def _compared(tokens: list[Token], names: set[str]) -> str | None:
    """One of some names with which an argument of a call of ours is compared, as in `mask = 'clouds'`."""
    known = {one.name: {argument.name for argument in one.arguments} for one in FUNCTIONS}
    calls: list[set[str]] = []
    for at, token in enumerate(tokens[:-1]):
        kind = token.token_type
        if kind in _OPEN:
            calls.append(known.get(tokens[at - 1].text.lower(), set()) if at and kind == TokenType.L_PAREN else set())
        elif kind in _CLOSE and calls:
            calls.pop()
        begins = at > 0 and (tokens[at - 1].token_type in _OPEN or tokens[at - 1].token_type == TokenType.COMMA)
        name: str = token.text.lower()
        if begins and name in names and tokens[at + 1].token_type == TokenType.EQ and calls and name in calls[-1]:
            return name
    return None


def _arguments(tokens: list[Token], start: int) -> tuple[int, list[str]]:
    """Arguments of a call whose first token after the parenthesis is at `start`."""
    depth, placed, names, fresh = 1, 0, [], True
    for at in range(start, len(tokens)):
        kind = tokens[at].token_type
        depth += (kind in _OPEN) - (kind in _CLOSE)
        if depth == 0:
            break
        if depth == 1 and kind == TokenType.COMMA:
            fresh = True
        elif fresh:
            fresh = False
            if at + 1 < len(tokens) and tokens[at + 1].token_type in _NAMES:
                names.append(tokens[at].text)
            else:
                placed += 1
    return placed, names


def _fault(function: Function, placed: int, names: list[str]) -> str | None:
    known = [argument.name for argument in function.arguments]
    for name in names:
        if name.lower() not in known:
            return f'{function.name} has no argument "{name}"; {did_you_mean(name.lower(), known, len(known))}'
    if placed + len(names) > len(known):
        return f"{function.name} is given {placed + len(names)} arguments and takes {', '.join(known) or 'none'}"
    given = {*known[:placed], *map(str.lower, names)}
    missing = [argument.name for argument in function.arguments if argument.required and argument.name not in given]
    return f"{function.name} misses {', '.join(missing)}" if missing else None
