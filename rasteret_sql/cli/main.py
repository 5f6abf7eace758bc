"""The `rasteret-sql` command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import duckdb

from rasteret_sql import __version__
from rasteret_sql.cli import collections, datasets, demo, doctor
from rasteret_sql.cli.arguments import workspace
from rasteret_sql.cli.commands import read_script
from rasteret_sql.cli.messages import readable
from rasteret_sql.cli.output import FORMATS, Output
from rasteret_sql.cli.runner import INTERRUPTED, LeaveShell, Runner, StatementError
from rasteret_sql.cli.shell import Prompt
from rasteret_sql.cli.start import open_runner
from rasteret_sql.cli.statements import StatementReader, split_statements
from rasteret_sql.errors import RasteretError

BROKEN_PIPE = 141
"""Exit code where nobody reads the output any more: 128 + SIGPIPE, as the system's own end of a process."""

_EPILOG = """\
examples:
  rasteret-sql                                    a prompt; .help there says more
  rasteret-sql demo                               see what it does, on real scenes that came with it
  rasteret-sql datasets search sentinel           datasets that can be built; datasets --help says more
  rasteret-sql collections list                   what is cached; build, append, refresh, export, drop
  rasteret-sql doctor earthsearch/naip            which credentials are found, whether a dataset can be read
  rasteret-sql -c "FROM rasteret_datasets()"      run SQL and leave
  rasteret-sql build.sql report.sql               run files, one connection for all
  rasteret-sql --format csv -c "SELECT ..." > values.csv
  rasteret-sql --format parquet -o stats.parquet report.sql
  echo "SELECT 1" | rasteret-sql
"""


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        sys.stdout.write(f"rasteret-sql {__version__} (DuckDB {duckdb.__version__})\n")
        parser.exit()


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
        help="SQL files to run; or demo, datasets, collections or doctor",
    )
    parsed.add_argument("-c", "--command", action="append", default=[], metavar="SQL", help="statements to run")
    parsed.add_argument(
        "-d", "--database", default=":memory:", metavar="FILE", help="a DuckDB database file to open or make"
    )
    parsed.add_argument(
        "-w",
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
    parsed.add_argument("--version", action=_Version, nargs=0, help="say the versions and leave")
    return parsed


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit code: 0, 1 after an error, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words[:1] == ["demo"]:
            return demo.main(words[1:])
        if words[:1] == ["datasets"]:
            return datasets.main(words[1:])
        if words[:1] == ["collections"]:
            return collections.main(words[1:])
        if words[:1] == ["doctor"]:
            return doctor.main(words[1:])
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
    cause = error.cause if isinstance(error, StatementError) else error
    text = readable(cause)
    if not text.split(":", 1)[0].endswith("Error"):
        text = f"Error: {text}"
    text = f"{place}{text}"
    sys.stderr.write(
        f"\x1b[31m{text}\x1b[0m\n" if sys.stderr.isatty() and "NO_COLOR" not in os.environ else f"{text}\n"
    )


def _shell(arguments: argparse.Namespace) -> int:
    scripts = [(path, read_script(path)) for path in arguments.files]
    output = Output(arguments.format, arguments.output)
    with open_runner(
        output, database=arguments.database, workspace=arguments.workspace, progress=not arguments.no_progress
    ) as runner:
        runner.timer = arguments.timer
        code = _run(runner, scripts, arguments.command)
        if code == 0:
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
            Prompt(runner, report).loop()
            return 0
        reader = StatementReader()
        for line in sys.stdin:
            runner.run_all(reader.feed(line))
        runner.run_all(reader.finish())
    except LeaveShell:
        return 0
    except StatementError as error:
        report(error, f"{place}{error.statement.line}: " if place else "")
        return 1
    return 0
