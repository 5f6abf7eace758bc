"""Runs `.test` files: SQL in, rows out, in the form of DuckDB's sqllogictest, strictly.

What it does not know is a parse error with file and line, never something skipped.

    # a comment                        lines that begin with # between records
    # exhaustive                       as the first line: the file runs where all cases do
    set zone POLYGON ((0 0, ...))      a variable: ${zone} anywhere below; ${DATA}, ${TMP}, ${SERVER} are given
    require duckdb>=2                  leave the rest of the file out where that does not hold
    skipif duckdb<2 | onlyif duckdb<2  leave the next record out, or all but
    skipif spark WHY                   leave it out on Spark, which runs the files, too, but for those that begin with
                                       `# not on Spark: WHY` (tests/hosts/spark/test_files_of_sql.py)
    reset                              a new connection

    statement ok
    CREATE TABLE t AS SELECT 1

    statement error
    SELECT nope()
    ----
    nope does not exist                a part of the message; `<REGEX>: pattern` searches; never left out

    query TIR rowsort                  types of the columns; rowsort and valuesort where the order is not said
    SELECT 'a', 1, 0.5
    ----
    a<TAB>1<TAB>0.5                    T text, I integer, R real (1e-6); NULL, (empty)

    requests 2 bytes 1000              what the range server was asked by the last statement; `<=2` for at most
    udf_rows read_chip 3               rows that reached a function in the last statement

On Spark nobody counts requests and rows, since executors are other processes: both are passed over there.
A record ends at a blank line. Rows are always fetched to the end.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

import duckdb

from tests.sql_compare import compare

_COMPARE = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_CONDITION = re.compile(r"duckdb(>=|<=|==|!=|>|<)(\d+(?:\.\d+)*)")
_LIMIT = re.compile(r"(<=)?(\d+)")
SPARK = "spark"
"""The condition that holds on Spark."""
_SORTS = ("nosort", "rowsort", "valuesort")


class TestFileError(Exception):
    """A `.test` file is not written right, or what it says is not so; the message starts with file:line."""

    __test__ = False

    def __init__(self, path: Path, line: int, message: str) -> None:
        super().__init__(f"{path}:{line}: {message}")
        self.line = line


class ParseError(TestFileError):
    """Something that the runner does not know."""


class MismatchError(TestFileError):
    """An expectation that does not hold."""


@dataclass(frozen=True, slots=True)
class Record:
    """One step of a file."""

    kind: Literal["ok", "error", "query", "requests", "udf_rows", "set", "reset", "require"]
    line: int
    sql: str = ""
    types: str = ""
    sort: str = "nosort"
    expected: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    """Arguments of the directive."""
    conditions: tuple[tuple[str, str], ...] = ()
    """("skipif" or "onlyif", condition) that stand before it."""


class Traffic(Protocol):
    """What a server has been asked so far."""

    def __call__(self) -> tuple[int, int]:
        """(requests, bytes of bodies) since it began."""


@dataclass(slots=True)
class Host:
    """What a file runs against."""

    connect: Callable[[], duckdb.DuckDBPyConnection]
    variables: Mapping[str, str | Callable[[], str]] = field(default_factory=dict)
    """Values of `${NAME}`; a callable is asked when the name is first used."""
    traffic: Traffic | None = None
    udf_rows: Callable[[duckdb.DuckDBPyConnection, str], int] | None = None
    """(connection, function) → rows that reached it so far."""
    version: str = duckdb.__version__
    spark: bool = False
    """True for Spark, which counts neither requests nor rows."""


def parse(path: Path, text: str) -> list[Record]:
    """The records of a file.

    Raises:
        ParseError: names the file and the line.
    """
    records: list[Record] = []
    conditions: list[tuple[str, str]] = []
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        line, at = lines[number].rstrip("\r"), number + 1
        number += 1
        if not line.strip() or line.startswith("#"):
            continue
        word, *rest = line.split()
        if word in {"skipif", "onlyif"}:
            conditions.append((word, _checked_condition(path, at, word, rest)))
            continue
        if word in {"statement", "query"}:
            body: list[str] = []
            while number < len(lines) and lines[number].strip():
                body.append(lines[number].rstrip("\r"))
                number += 1
            record = _with_body(path, at, word, rest, body)
        else:
            record = _directive(path, at, word, rest, line)
        records.append(replace(record, conditions=tuple(conditions)))
        conditions = []
    if conditions:
        raise ParseError(path, len(lines), f"{conditions[-1][0]} stands before nothing")
    if not records:
        raise ParseError(path, 1, "the file has no records")
    return records


def _checked_condition(path: Path, at: int, word: str, rest: list[str]) -> str:
    """The condition of a skipif or onlyif; that of Spark says why."""
    if word == "skipif" and rest[:1] == [SPARK]:
        if len(rest) == 1:
            raise ParseError(path, at, "skipif spark says why, as in `skipif spark typeof has DuckDB's names`")
        return SPARK
    if len(rest) != 1 or not _CONDITION.fullmatch(rest[0]):
        raise ParseError(path, at, f"{word} takes a condition such as duckdb>=2, not {' '.join(rest)!r}")
    return rest[0]


def _with_body(path: Path, at: int, word: str, rest: list[str], body: list[str]) -> Record:
    cut = body.index("----") if "----" in body else len(body)
    sql, expected = "\n".join(body[:cut]), tuple(body[cut + 1 :])
    if not sql.strip():
        raise ParseError(path, at, f"{word} has no SQL")
    if word == "statement":
        if rest == ["ok"]:
            if "----" in body:
                raise ParseError(path, at, "statement ok expects nothing: use query to look at rows")
            return Record("ok", at, sql)
        if rest == ["error"]:
            if not any(line.strip() for line in expected):
                raise ParseError(path, at, "statement error needs ---- and a part of the message it expects")
            return Record("error", at, sql, expected=expected)
        raise ParseError(path, at, f"statement is ok or error, not {' '.join(rest)!r}")
    if not rest or len(rest) > 2 or not re.fullmatch("[TIR]+", rest[0]) or (len(rest) == 2 and rest[1] not in _SORTS):
        raise ParseError(
            path, at, f"query takes column types of T, I and R and maybe one of {_SORTS}, not {' '.join(rest)!r}"
        )
    if "----" not in body:
        raise ParseError(path, at, "query needs ---- and the rows it expects (none, for no rows)")
    sort = rest[1] if len(rest) == 2 else "nosort"
    for offset, row in enumerate(expected):
        if sort != "valuesort" and row.count("\t") + 1 != len(rest[0]):
            place = at + cut + 2 + offset
            raise ParseError(
                path,
                place,
                f"{len(rest[0])} columns are declared, the row has {row.count(chr(9)) + 1} (separate with tabs)",
            )
    return Record("query", at, sql, types=rest[0], sort=sort, expected=expected)


def _directive(path: Path, at: int, word: str, rest: list[str], line: str) -> Record:
    if word == "reset" and not rest:
        return Record("reset", at)
    if word == "require":
        if len(rest) != 1 or not _CONDITION.fullmatch(rest[0]):
            raise ParseError(path, at, f"require takes a condition such as duckdb>=2, not {' '.join(rest)!r}")
        return Record("require", at, words=tuple(rest))
    if word == "set":
        if len(rest) < 2 or not re.fullmatch(r"[A-Za-z_]\w*", rest[0]):
            raise ParseError(path, at, "set takes a name and a value")
        return Record("set", at, words=(rest[0], line.split(None, 2)[2].strip()))
    if word == "requests":
        if not (len(rest) in {1, 3} and _LIMIT.fullmatch(rest[0])) or (
            len(rest) == 3 and not (rest[1] == "bytes" and _LIMIT.fullmatch(rest[2]))
        ):
            raise ParseError(path, at, "requests is written `requests N` or `requests N bytes M`, N and M as 3 or <=3")
        return Record("requests", at, words=(rest[0], *rest[2:]))
    if word == "udf_rows":
        if len(rest) != 2 or not _LIMIT.fullmatch(rest[1]):
            raise ParseError(path, at, "udf_rows is written `udf_rows FUNCTION N`, N as 3 or <=3")
        return Record("udf_rows", at, words=tuple(rest))
    raise ParseError(path, at, f"unknown directive {line.strip()!r}")


class Skipped(Exception):  # noqa: N818 - not an error
    """A `require` does not hold: the rest of the file was left out."""


def run_file(path: Path, host: Host) -> int:
    """Run a file; gives the number of statements that ran.

    Raises:
        TestFileError: at the first thing that is not as the file says.
        Skipped: where a `require` does not hold.
    """
    return _Run(path, host).run(parse(path, path.read_text(encoding="utf-8")))


class _Run:
    def __init__(self, path: Path, host: Host) -> None:
        self.path = path
        self.host = host
        self.variables: dict[str, str] = {}
        self.connection = host.connect()
        self.statements = 0
        self.before: tuple[int, int] = (0, 0)
        self.rows_before: dict[str, int] = {}

    def run(self, records: Sequence[Record]) -> int:
        # Counts are compared with those before the last statement: all functions that the file will ask for.
        functions = {record.words[0] for record in records if record.kind == "udf_rows"}
        try:
            for record in records:
                if all(self._holds(word, condition) for word, condition in record.conditions):
                    self._step(record, functions)
        finally:
            self.connection.close()
        return self.statements

    def _holds(self, word: str, condition: str) -> bool:
        if condition == SPARK:
            return not self.host.spark
        return _condition(condition, self.host.version) == (word == "onlyif")

    def _step(self, record: Record, functions: set[str]) -> None:
        if record.kind == "require":
            if not _condition(record.words[0], self.host.version):
                raise Skipped(f"{self.path}:{record.line}: needs {record.words[0]}, this is {self.host.version}")
        elif record.kind == "set":
            self.variables[record.words[0]] = self._filled(record.words[1], record.line)
        elif record.kind == "reset":
            self.connection.close()
            self.connection = self.host.connect()
        elif record.kind in {"requests", "udf_rows"}:
            if not self.host.spark:
                self._check_requests(record) if record.kind == "requests" else self._check_rows(record)
        else:
            sql = self._filled(record.sql, record.line)
            self.before = self.host.traffic() if self.host.traffic is not None else (0, 0)
            self.rows_before = {name: self._rows_of(name, record.line) for name in functions if not self.host.spark}
            self.statements += 1
            self._statement(record, sql)

    def _statement(self, record: Record, sql: str) -> None:
        try:
            cursor = self.connection.execute(sql)
            columns = [column[0] for column in cursor.description or ()]
            rows = cursor.fetchall() if columns else []
        except Exception as error:
            if record.kind != "error":
                raise MismatchError(self.path, record.line, f"failed: {error}\n\n{sql}") from error
            self._check_message(record, str(error))
            return
        if record.kind == "error":
            wanted = "\n".join(record.expected)
            raise MismatchError(self.path, record.line, f"no error, expected one that says: {wanted}\n\n{sql}")
        if record.kind == "query":
            expected = [self._filled(row, record.line) for row in record.expected]
            problem = compare(columns, rows, record.types, record.sort, expected)
            if problem:
                raise MismatchError(self.path, record.line, f"{problem}\n\n{sql}")

    def _check_message(self, record: Record, message: str) -> None:
        wanted = self._filled("\n".join(record.expected), record.line)
        if wanted.startswith("<REGEX>:"):
            try:
                found = re.search(wanted.removeprefix("<REGEX>:").strip(), message, re.DOTALL) is not None
            except re.error as error:
                raise ParseError(self.path, record.line, f"not a regular expression: {error}") from error
        else:
            found = wanted.strip() in message
        if not found:
            raise MismatchError(self.path, record.line, f"the message is\n{message}\nand lacks\n{wanted}")

    def _check_requests(self, record: Record) -> None:
        if self.host.traffic is None:
            raise ParseError(self.path, record.line, "requests needs a range server, and there is none")
        now = self.host.traffic()
        seen = (now[0] - self.before[0], now[1] - self.before[1])
        for unit, count, wanted in zip(("requests", "bytes"), seen, record.words, strict=False):
            if not _within(count, wanted):
                raise MismatchError(
                    self.path, record.line, f"the last statement made {count} {unit}, expected {wanted}"
                )

    def _check_rows(self, record: Record) -> None:
        name, wanted = record.words
        seen = self._rows_of(name, record.line) - self.rows_before.get(name, 0)
        if not _within(seen, wanted):
            raise MismatchError(
                self.path, record.line, f"{seen} rows reached {name} in the last statement, expected {wanted}"
            )

    def _rows_of(self, function: str, line: int) -> int:
        if self.host.udf_rows is None:
            raise ParseError(self.path, line, "udf_rows needs a host that counts them, and this one does not")
        return self.host.udf_rows(self.connection, function)

    def _filled(self, text: str, line: int) -> str:
        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name in self.variables:
                return self.variables[name]
            if name not in self.host.variables:
                known = ", ".join(sorted({*self.variables, *self.host.variables})) or "none"
                raise ParseError(self.path, line, f"${{{name}}} is not set; known: {known}")
            given = self.host.variables[name]
            return given if isinstance(given, str) else given()

        return _VARIABLE.sub(value, text)


def _condition(condition: str, version: str) -> bool:
    match = _CONDITION.fullmatch(condition)
    assert match is not None
    wanted = [int(part) for part in match[2].split(".")]
    have = [int(part) for part in re.findall(r"\d+", version)[: max(3, len(wanted))]]
    # duckdb<2 is about the first number only: 2.0.1 is not more than 2.
    return bool(_COMPARE[match[1]](have[: len(wanted)], wanted))


def _within(count: int, wanted: str) -> bool:
    match = _LIMIT.fullmatch(wanted)
    assert match is not None
    return count <= int(match[2]) if match[1] else count == int(match[2])
