"""Runs the `rasteret-sql` command: finds what its words ask for, and gives its exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

import duckdb

from rasteret_sql.cli.arguments import workspace
from rasteret_sql.cli.commands import read_script
from rasteret_sql.cli.messages import coloured, readable
from rasteret_sql.cli.open_runner import open_runner
from rasteret_sql.cli.output import FORMATS, Output
from rasteret_sql.cli.runner import INTERRUPTED, LeaveShell, Runner, StatementError
from rasteret_sql.cli.statements import StatementReader, split_statements
from rasteret_sql.errors import InvalidArgumentError, RasteretError
from rasteret_sql.lazy import lazy_module

if TYPE_CHECKING:
    from rasteret_sql import version
    from rasteret_sql.cli import collections, datasets, demo, doctor, prompt, serve, view
    from rasteret_sql.functions import misspelt
else:
    version = lazy_module("rasteret_sql.version")
    collections = lazy_module("rasteret_sql.cli.collections")
    datasets = lazy_module("rasteret_sql.cli.datasets")
    demo = lazy_module("rasteret_sql.cli.demo")
    doctor = lazy_module("rasteret_sql.cli.doctor")
    prompt = lazy_module("rasteret_sql.cli.prompt")
    serve = lazy_module("rasteret_sql.cli.serve")
    view = lazy_module("rasteret_sql.cli.view")
    misspelt = lazy_module("rasteret_sql.functions.misspelt")

BROKEN_PIPE = 141
"""Exit code where nobody reads the output any more: 128 + SIGPIPE, as the system's own end of a process."""

_EPILOG = """\
examples:
  rasteret-sql                                    a prompt; .help there says more
  rasteret-sql demo                               see what it does, on real scenes that came with it
  rasteret-sql datasets search sentinel           datasets that can be built; datasets --help says more
  rasteret-sql collections list                   what is cached; build, append, refresh, export, drop
  rasteret-sql doctor earthsearch/naip            which credentials are found, whether a dataset can be read
  rasteret-sql serve --read-only                  let stock duckdb shells use it
  rasteret-sql view bay                           a collection on a map in a browser, and its tiles for QGIS
  rasteret-sql -c "FROM rasteret_datasets()"      run SQL and leave
  rasteret-sql build.sql report.sql               run files, one connection for all
  rasteret-sql --format csv -c "SELECT ..." > values.csv
  rasteret-sql --format parquet -o stats.parquet report.sql
  echo "SELECT 1" | rasteret-sql
"""


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        sys.stdout.write(f"rasteret-sql {version.__version__} (DuckDB {duckdb.__version__})\n")
        parser.exit()


@dataclass(frozen=True, slots=True)
class _Command:
    """A command of its own, such as `rasteret-sql collections`."""

    module: ModuleType
    """Its `main` takes the words after its name and gives the exit code; imported when the command is run."""
    takes: frozenset[str]
    """Options of the shell that it knows, too; they may stand before its name."""
    has_verbs: bool = False
    """True where a verb follows its name, and options follow the verb: `collections list --workspace DIR`."""


_COMMANDS = {
    "demo": _Command(demo, frozenset({"--no-progress"})),
    "datasets": _Command(datasets, frozenset()),
    "collections": _Command(collections, frozenset({"--workspace", "--no-progress"}), has_verbs=True),
    "doctor": _Command(doctor, frozenset({"--workspace"})),
    "serve": _Command(serve, frozenset({"--workspace", "--database"})),
    "view": _Command(view, frozenset({"--workspace", "--database"})),
}


class _NotLeading(Exception):  # noqa: N818 - the parser of the shell says what is wrong
    """Words that are no options followed by a name."""


class _Leading(argparse.ArgumentParser):
    """Reads the options that stand before a name."""

    def error(self, message: str) -> NoReturn:
        raise _NotLeading(message)


def _command_of(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The command that words name, None for the shell itself; and the words for it.

    Options that stand before its name go behind it, where what is said there comes later and wins.

    Raises:
        InvalidArgumentError: one of them is for SQL and says nothing to that command.
    """
    leading = _Leading(add_help=False, allow_abbrev=True)
    _add_options(leading)
    leading.add_argument("rest", nargs=argparse.REMAINDER)
    try:
        given = leading.parse_args(words)
    except (_NotLeading, argparse.ArgumentError):
        return None, list(words)
    if not given.rest or given.rest[0] not in _COMMANDS:
        return None, list(words)
    name, *rest = given.rest
    command = _COMMANDS[name]
    moved = _moved(leading, given, name)
    if command.has_verbs and rest and rest[0].startswith("-"):
        with suppress(_NotLeading, argparse.ArgumentError):  # the command says what is wrong
            between = leading.parse_args(rest)
            moved += _moved(leading, between, name)
            rest = between.rest
    verb = 1 if command.has_verbs and rest and not rest[0].startswith("-") else 0
    return name, [*rest[:verb], *moved, *rest[verb:]]


def _moved(leading: _Leading, given: argparse.Namespace, name: str) -> list[str]:
    """The options that were given before a name or a verb, as words for the command of that name.

    Raises:
        InvalidArgumentError: one of them is for SQL and says nothing to that command.
    """
    moved: list[str] = []
    for action in leading._actions:  # noqa: SLF001 - there is no other list of what was added
        option = action.option_strings[-1] if action.option_strings else ""
        value = getattr(given, action.dest, action.default)
        if not option or value == action.default:
            continue
        if option not in _COMMANDS[name].takes:
            raise InvalidArgumentError(f"{option} goes with SQL, not with `{name}`; see rasteret-sql {name} --help")
        moved += [option] if value is True else [option, str(value)]
    return moved


def parser() -> argparse.ArgumentParser:
    """The arguments of the shell."""
    parsed = argparse.ArgumentParser(
        prog="rasteret-sql",
        description="A DuckDB shell that reads pixels of cloud rasters: build collections from STAC catalogs, then ask "
        "for chips, statistics and points in SQL.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parsed.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="SQL files to run; or demo, datasets, collections, doctor, serve or view",
    )
    _add_options(parsed)
    parsed.add_argument("--version", action=_Version, nargs=0, help="say the versions and leave")
    return parsed


def _add_options(parsed: argparse.ArgumentParser) -> None:
    """Options of the shell; the long form of each comes last."""
    parsed.add_argument("-c", "--command", action="append", default=[], metavar="SQL", help="statements to run")
    parsed.add_argument(
        "-d", "--database", default=":memory:", metavar="FILE", help="a DuckDB database file to open or make"
    )
    parsed.add_argument(
        "-w",
        "--workspace-dir",
        "--workspace",
        type=workspace,
        metavar="DIR",
        help="where indexes are kept: a directory or the URL of one (~/rasteret_workspace)",
    )
    parsed.add_argument("-f", "--format", choices=FORMATS, default="table", help="how results are written (table)")
    parsed.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write results to a file, whole or not at all"
    )
    parsed.add_argument("--timer", action="store_true", help="say how long each statement took")
    parsed.add_argument("--no-progress", action="store_true", help="draw no progress bars")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit code: 0, 1 after an error, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        name, rest = _command_of(words)
        if name is not None:
            return int(_COMMANDS[name].module.main(rest))
        return _shell(parser().parse_args(words))
    except BrokenPipeError:
        # Python would complain once more when it flushes at its end.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted\n")
        return INTERRUPTED
    except (StatementError, RasteretError, duckdb.Error, OSError) as error:
        report(error)
        return 1


def report(error: BaseException, place: str = "") -> None:
    """Show an error on stderr: one message, where it happened, no traceback."""
    sys.stdout.flush()
    text = readable(error)
    if isinstance(error, StatementError) and error.hint:
        text = error.hint
    elif isinstance(error, StatementError):
        text = misspelt.explained(error.statement.text, readable(error.cause))
    if not text.split(":", 1)[0].endswith("Error"):
        text = f"Error: {text}"
    sys.stderr.write(f"{coloured(f'{place}{text}', 31)}\n")


def _shell(arguments: argparse.Namespace) -> int:
    scripts = [(path, read_script(path)) for path in arguments.files]
    output = Output(arguments.format, arguments.output)
    with open_runner(
        output, database=arguments.database, workspace=arguments.workspace_dir, progress=not arguments.no_progress
    ) as runner:
        runner.timer = arguments.timer
        code = _run(runner, scripts, arguments.command)
        if code == 0:
            runner.end_redirect()
            output.commit()
        return code


def _run(runner: Runner, scripts: list[tuple[Path, str]], commands: list[str]) -> int:
    """Run files, then `-c`; with neither, the prompt or what is piped in."""
    place = ""
    try:
        for path, text in scripts:
            place = f"{path}:"
            runner.run_all(split_statements(text))
        place = ""
        for text in commands:
            runner.run_all(split_statements(text))
        if scripts or commands:
            return 0
        if sys.stdin.isatty() and sys.stdout.isatty() and runner.output.path is None:
            prompt.Prompt(runner, report).loop()
            return 0
        reader = StatementReader()
        for line in sys.stdin:
            runner.run_all(reader.feed(line))
        runner.run_all(reader.finish())
    except LeaveShell:
        return 0
    except UnicodeError as error:  # of what is read, not of statements: their errors are in a StatementError
        raise InvalidArgumentError(f"SQL is UTF-8 text, and this is not: {error}") from error
    except StatementError as error:
        report(error, f"{place}{error.statement.line}: " if place else "")
        return 1
    return 0
