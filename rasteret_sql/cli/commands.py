"""Runs the dot commands of the shell."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rasteret_sql.cli.output import FORMATS
from rasteret_sql.cli.result import run
from rasteret_sql.cli.runner import LeaveShell, Runner
from rasteret_sql.cli.statements import split_statements
from rasteret_sql.errors import InvalidArgumentError, did_you_mean


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


_TABLES = """
SELECT database_name AS database, schema_name AS schema, name, kind FROM (
    SELECT database_name, schema_name, table_name AS name, 'table' AS kind FROM duckdb_tables() WHERE NOT internal
    UNION ALL
    SELECT database_name, schema_name, view_name, 'view' FROM duckdb_views() WHERE NOT internal)
WHERE name ILIKE $1 ORDER BY ALL
"""


def run_command(runner: Runner, text: str) -> None:
    """Run a line such as `.mode csv`.

    Raises:
        InvalidArgumentError: where there is no such command, or its arguments are wrong.
    """
    try:
        name, *arguments = shlex.split(text)
    except ValueError as error:
        raise InvalidArgumentError(f"{text}: a quote is not closed") from error
    command = COMMANDS.get(name.lower())
    if command is None:
        raise InvalidArgumentError(f"there is no command {name}: {did_you_mean(name, COMMANDS)}")
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
    ".timer": Command(".timer", "[on|off]", "say how long each statement took", _timer),
    ".read": Command(".read", "FILE", "run the statements of a file", _read),
    ".quit": Command(".quit", "", "leave; Ctrl-D does too", _quit, 0),
}
COMMANDS[".exit"] = COMMANDS[".quit"]
