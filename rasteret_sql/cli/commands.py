"""Runs the dot commands of the shell."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rasteret_sql.cli.output import ENDINGS, FORMATS, Output
from rasteret_sql.cli.receipt_text import receipt_text, say_receipt
from rasteret_sql.cli.result import run
from rasteret_sql.cli.runner import LeaveShell, Runner
from rasteret_sql.cli.statements import split_statements
from rasteret_sql.errors import InvalidArgumentError, did_you_mean
from rasteret_sql.lazy import lazy_module
from rasteret_sql.quoting import quote_name

if TYPE_CHECKING:
    from rasteret_sql.cli import terminal_view
else:
    terminal_view = lazy_module("rasteret_sql.cli.terminal_view")


@dataclass(frozen=True, slots=True)
class Command:
    """A dot command."""

    name: str
    arguments: str
    """How they are written in the help; empty where it takes none."""
    help: str
    run: Callable[[Runner, list[str]], None]
    at_most: int = 1
    """Number of arguments it takes at most."""
    is_text: bool = False
    """True: all that stands after its name is one argument, quotes and blanks too."""


_TABLES = """
SELECT database_name AS database, schema_name AS schema, name, kind FROM (
    SELECT database_name, schema_name, table_name AS name, 'table' AS kind FROM duckdb_tables() WHERE NOT internal
    UNION ALL
    SELECT database_name, schema_name, view_name, 'view' FROM duckdb_views() WHERE NOT internal)
WHERE name ILIKE $1 ORDER BY ALL
"""

_STATEMENTS = """
SELECT sql FROM (SELECT sql, database_name, table_name AS name FROM duckdb_tables() WHERE NOT internal
    UNION ALL SELECT sql, database_name, view_name FROM duckdb_views() WHERE NOT internal)
WHERE database_name <> 'rasteret' ORDER BY name
"""
_RELATIONS_NAMED = """
SELECT database_name, schema_name, name FROM (
    SELECT database_name, schema_name, table_name AS name FROM duckdb_tables() WHERE NOT internal
    UNION ALL SELECT database_name, schema_name, view_name FROM duckdb_views() WHERE NOT internal)
WHERE lower(name) = lower($1) ORDER BY database_name = 'rasteret'
"""


def run_command(runner: Runner, text: str) -> None:
    """Run a line such as `.mode csv`.

    Raises:
        InvalidArgumentError: where there is no such command, or its arguments are wrong.
    """
    name, *rest = text.split(None, 1)
    command = COMMANDS.get(name.lower())
    if command is None:
        raise InvalidArgumentError(f"there is no command {name}: {did_you_mean(name, COMMANDS)}")
    try:
        arguments = rest if command.is_text else shlex.split(" ".join(rest))
    except ValueError as error:
        raise InvalidArgumentError(f"{text}: a quote is not closed") from error
    if len(arguments) > command.at_most:
        raise InvalidArgumentError(f"{command.name} is written {command.name} {command.arguments}".rstrip())
    command.run(runner, arguments)


def _help(runner: Runner, _: list[str]) -> None:
    shown = {id(c): c for c in COMMANDS.values()}.values()
    width = max(len(f"{c.name} {c.arguments}") for c in shown)
    lines = [f"{f'{c.name} {c.arguments}':<{width}}  {c.help}" for c in shown]
    runner.output.text("\n".join(["SQL ends with a semicolon, over as many lines as it needs.", *lines]))


def _select(runner: Runner, sql: str, parameters: list[str]) -> None:
    result = run(runner.connection, sql, parameters)
    if result is not None:
        runner.output.write(result)


def _tables(runner: Runner, arguments: list[str]) -> None:
    _select(runner, _TABLES, [_pattern(arguments)])


def _functions(runner: Runner, arguments: list[str]) -> None:
    rows = runner.connection.execute(
        "SELECT signature, description FROM rasteret_functions() WHERE name ILIKE $1 ORDER BY name",
        [_pattern(arguments)],
    ).fetchall()
    indented = textwrap.TextWrapper(100, initial_indent="    ", subsequent_indent="    ")
    hanging = textwrap.TextWrapper(100, subsequent_indent="        ", break_long_words=False)
    if not rows:
        runner.output.text(f'no function has "{arguments[0]}" in its name; .functions lists all')
    for signature, description in rows:
        runner.output.text("\n".join([*hanging.wrap(signature), *indented.wrap(description)]))


def _collections(runner: Runner, arguments: list[str]) -> None:
    _select(runner, "FROM rasteret_collections() WHERE name ILIKE $1", [_pattern(arguments)])


def _pattern(arguments: list[str]) -> str:
    """A pattern for names: as LIKE has it, or a plain word that stands anywhere in the name."""
    word = arguments[0] if arguments else ""
    return word if "%" in word else f"%{word}%"


def _mode(runner: Runner, arguments: list[str]) -> None:
    if arguments:
        runner.output.use(arguments[0].lower())
    else:
        runner.output.text(f"{runner.output.form} (of {', '.join(FORMATS)})")


def _once(runner: Runner, arguments: list[str]) -> None:
    if not arguments:
        raise InvalidArgumentError(".once needs a file for the next result: .once chips.csv")
    _write_to(runner, arguments[0], once=True)


def _output(runner: Runner, arguments: list[str]) -> None:
    if arguments:
        _write_to(runner, arguments[0], once=False)
    else:
        runner.end_redirect()


def _write_to(runner: Runner, name: str, *, once: bool) -> None:
    path = Path(name).expanduser()
    if not path.parent.is_dir():
        raise InvalidArgumentError(f"{name} cannot be written: there is no folder {path.parent}")
    before = runner.output
    output = Output(ENDINGS.get(path.suffix.lower(), before.form), path, before.aside)
    output.max_rows = before.max_rows
    runner.redirect(output, once=once)


def _max_rows(runner: Runner, arguments: list[str]) -> None:
    if not arguments:
        runner.output.text(str(runner.output.max_rows))
        return
    if not arguments[0].isdecimal() or int(arguments[0]) < 1:
        raise InvalidArgumentError(f".maxrows is a number of rows, 1 or more, not {arguments[0]}")
    runner.output.max_rows = int(arguments[0])


def _schema(runner: Runner, arguments: list[str]) -> None:
    if not arguments:
        _select(runner, _STATEMENTS, [])
        return
    name = arguments[0]
    found = runner.connection.execute(_RELATIONS_NAMED, [name]).fetchall()
    # What is no name of ours is a name with its schema, or in quotes: DuckDB says what is wrong with it.
    said = ".".join(map(quote_name, found[0])) if found else name
    _select(runner, f"SELECT column_name, column_type FROM (DESCRIBE {said})", [])  # noqa: S608 - quoted, or as typed


def _explain(runner: Runner, arguments: list[str]) -> None:
    statement = arguments[0] if arguments else runner.last
    if not statement:
        raise InvalidArgumentError(".explain needs a statement, or one that was run before: .explain SELECT ...")
    _select(runner, f"EXPLAIN {statement}", [])


def _receipt(runner: Runner, arguments: list[str]) -> None:
    choice = arguments[0].lower() if arguments else ""
    if choice not in {"", "on", "off"}:
        raise InvalidArgumentError(f".receipt is on or off, or stands alone, not {arguments[0]}")
    if choice:
        runner.receipt = say_receipt if choice == "on" else None
        return
    text = receipt_text(runner.connection)
    runner.output.text(text or "no statement has read, built or searched anything yet")


def _view(runner: Runner, arguments: list[str]) -> None:
    terminal_view.view(runner, arguments)


def _timer(runner: Runner, arguments: list[str]) -> None:
    choice = arguments[0].lower() if arguments else ("off" if runner.timer else "on")
    if choice not in {"on", "off"}:
        raise InvalidArgumentError(f".timer is on or off, not {arguments[0]}")
    runner.timer = choice == "on"


def _read(runner: Runner, arguments: list[str]) -> None:
    if not arguments:
        raise InvalidArgumentError(".read needs a file: .read script.sql")
    runner.run_all(split_statements(read_script(Path(arguments[0]))))


def _quit(_runner: Runner, _arguments: list[str]) -> None:
    raise LeaveShell


def read_script(path: Path) -> str:
    """The text of an SQL file.

    Raises:
        InvalidArgumentError: where it cannot be read, or is a database rather than a script.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidArgumentError(f"the script {path} cannot be read: {error.strerror or error}") from error
    if data[8:12] == b"DUCK":
        raise InvalidArgumentError(f"{path} is a DuckDB database: open it with --database {path}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(f"the script {path} is not UTF-8 text (byte {error.start})") from error


COMMANDS: dict[str, Command] = {
    ".help": Command(".help", "", "this list", _help, 0),
    ".tables": Command(".tables", "[PATTERN]", "tables and views; collections stand in database rasteret", _tables),
    ".collections": Command(".collections", "[PATTERN]", "collections that are open or cached", _collections),
    ".functions": Command(".functions", "[PATTERN]", "the raster functions", _functions),
    ".mode": Command(".mode", "[FORMAT]", "how results are written: " + ", ".join(FORMATS), _mode),
    ".once": Command(".once", "FILE", "write the next result to a file, by its ending or the mode", _once),
    ".output": Command(".output", "[FILE]", "write all results to a file; alone: no longer", _output),
    ".maxrows": Command(".maxrows", "[N]", "rows of a table that are shown where there are more", _max_rows),
    ".schema": Command(".schema", "[NAME]", "columns of a table, view or collection; alone: how all are made", _schema),
    ".explain": Command(".explain", "[SQL]", "plan of a statement, or of the latest one", _explain, is_text=True),
    ".receipt": Command(
        ".receipt", "[on|off]", "requests, bytes and time of the latest statement, or of each", _receipt
    ),
    ".view": Command(".view", "[COLUMN] [ROWS]", "chips of the latest statement as pictures", _view, 2),
    ".timer": Command(".timer", "[on|off]", "say how long each statement took", _timer),
    ".read": Command(".read", "FILE", "run the statements of a file", _read),
    ".quit": Command(".quit", "", "leave; Ctrl-D does too", _quit, 0),
}
COMMANDS[".exit"] = COMMANDS[".quit"]
