"""Cuts text into SQL statements as it arrives, at the semicolons that DuckDB's tokenizer sees.

`duckdb.tokenize` cuts, not `extract_statements`: that one gives nothing of a script with one broken statement, while
the statements before it are to run, as in DuckDB's own shell; and 1.5 gives other text than it got for PIVOT.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

_LEAVING = {"exit", "quit"}

_STOPS = not duckdb.tokenize("'")
"""True for DuckDB 1.5, whose tokens end before the first thing that it cannot read; 2.0 gives those of any text."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement or dot command."""

    text: str
    """Without the ending semicolon, and without the blank and comment lines before it."""
    line: int
    """Line of its first word in the input, from 1."""

    @property
    def is_command(self) -> bool:
        """True for a dot command of the shell."""
        return self.text.startswith(".")

    @property
    def leaves(self) -> bool:
        """True for `exit` and `quit`, which other shells know and SQL does not."""
        return self.text.strip().lower() in _LEAVING


class StatementReader:
    """Collects lines and gives the statements that they complete."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line = 1  # of the first character in _lines
        self._pending = False

    @property
    def pending(self) -> bool:
        """True where a statement has begun and not ended."""
        return self._pending

    def feed(self, text: str) -> list[Statement]:
        """Take the next lines; give every statement that is complete now."""
        statements: list[Statement] = []
        for line in text.splitlines(keepends=True):
            if not self._pending and line.lstrip().startswith("."):
                statements.append(Statement(line.strip().rstrip(";").rstrip(), self._line))
                self._line += line.count("\n")
                continue
            self._lines.append(line)
            if ";" in line:
                statements += self._cut()
            elif not self._pending:
                self._keep(line)
        return statements

    def finish(self) -> list[Statement]:
        """The end of the input: what is left is a statement too, a missing semicolon is forgiven."""
        data = "".join(self._lines).encode()
        pending = self._pending
        line = self._line
        self.clear()
        return [_statement(data, _pieces(data)[-1], line)] if pending else []

    def clear(self) -> None:
        """Forget an unfinished statement."""
        self._lines, self._pending = [], False

    def _keep(self, rest: str) -> None:
        """Hold what is not complete; blanks and comments alone are let go."""
        self._pending = _begins(rest)
        self._lines = [rest] if self._pending else []
        if not self._pending:
            self._line += rest.count("\n")

    def _cut(self) -> list[Statement]:
        data = "".join(self._lines).encode()
        *whole, rest = _pieces(data)
        statements = [_statement(data, piece, self._line) for piece in whole if piece.first < piece.end]
        self._line += data.count(b"\n", 0, rest.start)
        if data.startswith(b".", rest.first):  # a dot command behind a semicolon has the rest of its line
            statements.append(_statement(data[rest.start :], rest.moved(-rest.start), self._line))
            self._line += data.count(b"\n", rest.start)
            self.clear()
        else:
            self._keep(data[rest.start :].decode())
        return statements


def split_statements(text: str) -> list[Statement]:
    """All statements of a script or of `-c`."""
    reader = StatementReader()
    return reader.feed(text) + reader.finish()


def is_complete(text: str) -> bool:
    """True where nothing is left open: blank text, a dot command, `exit`, or a last statement with its semicolon."""
    if text.strip().lower() in _LEAVING:
        return True
    reader = StatementReader()
    reader.feed(text)
    return not reader.pending


@dataclass(frozen=True, slots=True)
class _Piece:
    """Bytes of a text that end at a semicolon or at its end."""

    start: int
    first: int
    """Where its first word is; `end` where it has none."""
    end: int

    def moved(self, by: int) -> _Piece:
        return _Piece(self.start + by, self.first + by, self.end + by)


def _statement(data: bytes, piece: _Piece, line: int) -> Statement:
    """The statement in a piece, where `line` is that of the first byte."""
    return Statement(data[piece.first : piece.end].decode().rstrip(), line + data.count(b"\n", 0, piece.first))


def _pieces(data: bytes) -> list[_Piece]:
    """Cut a text at its semicolons; the last piece is what stands behind the last one, and may be empty."""
    pieces, start, first = [], 0, None
    for offset, kind in duckdb.tokenize(data.decode()):
        if kind == duckdb.token_type.operator and data.startswith(b";", offset):
            pieces.append(_Piece(start, offset if first is None else first, offset))
            start, first = offset + 1, None
        elif first is None and kind != duckdb.token_type.comment:
            first = offset
    if _STOPS and _is_refused(data[start:].decode()):
        end = len(data.rstrip()) - 1
        pieces.append(_Piece(start, start if first is None else first, end))
        start, first = end + 1, None
    if first is None:  # only blanks and comments, or something open that 1.5 gives no token for
        rest = data[start:]
        first = len(data) - len(rest.lstrip())
    return [*pieces, _Piece(start, first, len(data))]


def _is_refused(rest: str) -> bool:
    """True where text ends in a semicolon that 1.5 gives no token for, since it refuses something before it."""
    return rest.rstrip().endswith(";") and not (_parse_error(rest) or "unterminated").startswith("unterminated")


def _begins(rest: str) -> bool:
    """True where text without a semicolon holds a statement's beginning, be it an open comment."""
    if not rest.strip():
        return False
    is_word = any(kind != duckdb.token_type.comment for _, kind in duckdb.tokenize(rest))
    return is_word or _parse_error(rest) is not None


def _parse_error(text: str) -> str | None:
    """The error of DuckDB's parser for a text, None where it takes it."""
    try:
        duckdb.extract_statements(text)
    except duckdb.ParserException as error:
        return str(error).removeprefix("Parser Error: ")
    return None
