"""Cut text into SQL statements as it arrives, without parsing it.

A `;` ends a statement unless it stands in a string, an identifier, a comment or dollar quotes. Statements are cut
before DuckDB sees them, so that the statements before a broken one run, as in DuckDB's own shell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# What may hide a semicolon. The letter before an opening quote decides whether a backslash escapes; a dollar inside a
# word is part of the word. What finds no end matches to the end of the text: the statement is unfinished.
_TOKEN = re.compile(
    r"""
    (?P<comment>--[^\n]*)
  | (?P<block>/\*)
  | (?P<escaped>(?<![A-Za-z0-9_$])[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z))
  | (?P<string>'[^']*(?:''[^']*)*(?:'|\Z))
  | (?P<identifier>"[^"]*(?:""[^"]*)*(?:"|\Z))
  | (?P<dollar>(?<![A-Za-z0-9_$])\$(?:[A-Za-z_][A-Za-z0-9_]*)?\$)
  | (?P<end>;)
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_EDGE = re.compile(r"/\*|\*/")


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
                number = self._line + sum(skipped.count("\n") for skipped in self._lines)
                statements.append(Statement(line.strip().rstrip(";").rstrip(), number))
                self._lines, self._line = [], number + line.count("\n")
                continue
            self._lines.append(line)
            if ";" in line:
                statements += self._cut()
            elif not self._pending:
                buffer = "".join(self._lines)
                self._pending = _lead(buffer) < len(buffer)
        return statements

    def finish(self) -> list[Statement]:
        """The end of the input: what is left is a statement too, a missing semicolon is forgiven."""
        buffer = "".join(self._lines)
        first = _lead(buffer)
        line = self._line + buffer.count("\n", 0, first)
        self.clear()
        return [Statement(buffer[first:].rstrip(), line)] if first < len(buffer) else []

    def clear(self) -> None:
        """Forget an unfinished statement."""
        self._lines, self._pending = [], False

    def _cut(self) -> list[Statement]:
        buffer, start, statements = "".join(self._lines), 0, []
        for end in _ends(buffer):
            piece = buffer[start:end]
            first = _lead(piece)
            if first < len(piece):
                statements.append(Statement(piece[first:].rstrip(), self._line + piece.count("\n", 0, first)))
            self._line += piece.count("\n")
            start = end + 1
        rest = buffer[start:]
        first = _lead(rest)
        if rest.startswith(".", first):  # a dot command behind a semicolon has the rest of its line
            statements.append(Statement(rest[first:].rstrip(), self._line + rest.count("\n", 0, first)))
            self._line += rest.count("\n")
            rest, first = "", 0
        self._lines, self._pending = [rest] if rest else [], first < len(rest)
        return statements


def split_statements(text: str) -> list[Statement]:
    """All statements of a script or of `-c`."""
    reader = StatementReader()
    return reader.feed(text) + reader.finish()


def is_complete(text: str) -> bool:
    """True where nothing is left open: the text is blank, a dot command, or its last statement has its semicolon."""
    reader = StatementReader()
    reader.feed(text)
    return not reader.pending


def _ends(text: str) -> list[int]:
    """Positions of the semicolons that end statements."""
    ends, position = [], 0
    while match := _TOKEN.search(text, position):
        position = match.end()
        if match["end"]:
            ends.append(match.start())
        elif match["block"]:
            end = _block_end(text, match.start())
            position = len(text) if end is None else end
        elif match["dollar"]:
            close = text.find(match["dollar"], match.end())
            position = len(text) if close < 0 else close + len(match["dollar"])
    return ends


def _block_end(text: str, start: int) -> int | None:
    """First position after a block comment, None where it is not closed; block comments nest in DuckDB."""
    depth = 0
    for edge in _BLOCK_EDGE.finditer(text, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return None


def _lead(text: str) -> int:
    """Length of the blanks, comments and stray semicolons before the first word."""
    position = 0
    while position < len(text):
        if text[position].isspace() or text[position] == ";":
            position += 1
        elif text.startswith("--", position):
            newline = text.find("\n", position)
            position = len(text) if newline < 0 else newline
        elif text.startswith("/*", position):
            end = _block_end(text, position)
            if end is None:
                break
            position = end
        else:
            break
    return position
