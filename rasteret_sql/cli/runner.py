"""Runs statements one by one, stops them on Ctrl-C, and prints their results."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Self

import duckdb

from rasteret_sql.cli.messages import is_interrupt
from rasteret_sql.cli.output import Output
from rasteret_sql.cli.progress import ProgressDisplay
from rasteret_sql.cli.result import run
from rasteret_sql.cli.statements import Statement
from rasteret_sql.connection import session_for
from rasteret_sql.hosts import missing_collection

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT."""

LAST_PRESS = 3
"""After more Ctrl-C than this the process ends, whatever the statement is doing."""

FEW_SCENES = 4
"""Rows of a table that are shown of a collection that was just made."""

_ONLY_BUILDS = re.compile(
    r"""\s*(SELECT\s*\*\s*)?FROM\s+(\w+\s*\.\s*)*rasteret_(build\w*|load)\s*
    (\((?:'[^']*'|"[^"]*"|[^()'"]|\((?:'[^']*'|"[^"]*"|[^()'"])*\))*\))\s*$""",
    re.IGNORECASE | re.VERBOSE,
)
"""All scenes of what a call makes: who writes no more than that wants the collection, not its rows."""


class StatementError(Exception):
    """A statement failed; the cause is what DuckDB or we raised, `hint` says it better where that can be."""

    def __init__(self, statement: Statement, cause: BaseException, hint: str | None = None) -> None:
        super().__init__(str(cause))
        self.statement = statement
        self.cause = cause
        self.hint = hint


class LeaveShell(Exception):  # noqa: N818 - not an error
    """`.quit` or `exit` was given."""


@dataclass(slots=True)
class Runner:
    """Runs statements on a connection.

    A statement runs on a thread of its own while the main thread, the one that signals reach, waits for it: Ctrl-C is
    noticed whatever the statement is doing.
    """

    connection: duckdb.DuckDBPyConnection
    output: Output
    interrupt: Callable[[], None]
    """Stops what the connection is doing, from another thread."""
    command: Callable[[Runner, str], None]
    """Runs a dot command."""
    progress: ProgressDisplay = field(default_factory=ProgressDisplay)
    timer: bool = False
    """Say on stderr how long each statement took."""
    receipt: Callable[[Runner], None] | None = None
    """Says after each statement what it cost; None: nothing does."""
    last: str = ""
    """The latest statement that was run."""
    _before: Output | None = None
    """The output to which another one that was named since goes back."""
    _is_once: bool = False

    def redirect(self, output: Output, *, once: bool) -> None:
        """Write results elsewhere: the next one, or all until `end_redirect`."""
        self.end_redirect()
        self._before, self.output, self._is_once = self.output, output, once

    def end_redirect(self, *, keep: bool = True) -> None:
        """Write results where they went before.

        Args:
            keep: True: the file gets its name; False: nothing of it stays.
        """
        if self._before is None:
            return
        ended, self.output, self._before = self.output, self._before, None
        try:
            if keep:
                ended.commit()
        finally:
            ended.close()

    def run_all(self, statements: Iterable[Statement]) -> None:
        """Run statements in their order.

        Raises:
            StatementError: at the first that fails.
            KeyboardInterrupt: where Ctrl-C stopped one.
            LeaveShell: at `.quit`.
        """
        for statement in statements:
            self.run(statement)

    def run(self, statement: Statement) -> None:
        """Run one statement or dot command and write its result."""
        if statement.leaves:
            raise LeaveShell
        start = time.perf_counter()
        once = self._is_once and self._before is not None and not statement.is_command
        try:
            if statement.is_command:
                self.command(self, statement.text)
                return
            self._supervised(lambda: self._run_sql(statement.text))
        except (LeaveShell, KeyboardInterrupt, BrokenPipeError, StatementError):
            raise
        except Exception as error:
            if is_interrupt(error):
                raise KeyboardInterrupt from error
            hint = missing_collection.hint(error, statement.text, lambda: session_for(self.connection))
            raise StatementError(statement, error, hint) from error
        finally:
            if once:
                self.end_redirect(keep=sys.exc_info()[0] is None)
        if self.timer:
            sys.stderr.write(f"{time.perf_counter() - start:.3f} s\n")
        if self.receipt is not None and not statement.is_command:
            self.receipt(self)

    def fetch(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query as Python values, for a program."""
        rows: list[tuple[Any, ...]] = []
        self._supervised(lambda: rows.extend(self.connection.sql(sql).fetchall()))
        return rows

    def _run_sql(self, sql: str) -> None:
        self.last = sql
        result = run(self.connection, sql)
        if result is not None:
            self.output.write(result, FEW_SCENES if _ONLY_BUILDS.match(sql) else None)

    def _supervised(self, work: Callable[[], None]) -> None:
        errors: list[BaseException] = []

        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - handed to the waiting thread
                errors.append(error)

        worker = threading.Thread(target=guarded, name="rasteret-sql-statement", daemon=True)
        with self.progress, _SigintCount() as presses:
            worker.start()
            while worker.is_alive():
                worker.join(0.1)
                if (percent := self.connection.query_progress()) > 0:
                    self.progress(int(percent), 100, "query, %")
                if presses.count and worker.is_alive():
                    # Again and again, since the statement may not have begun when it was asked first.
                    self.interrupt()
                if presses.count > LAST_PRESS:
                    os._exit(INTERRUPTED)
        if presses.count:
            raise KeyboardInterrupt
        if errors:
            raise errors[0]


class _SigintCount:
    """Counts Ctrl-C instead of raising wherever the main thread happens to be."""

    def __init__(self) -> None:
        self.count = 0
        self._previous: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._pressed)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _pressed(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
