"""Searches all that a run of the tests wrote and printed for the credentials that they use; a plugin of pytest.

Looked at, once the last test has run (of all workers): every file below pytest's base directory, logs of all loggers at
level debug, what tests and their processes printed, messages and tracebacks of errors that tests expect, and warnings.
Left out are files that say themselves that a test puts credentials there, see `tests/servers/secrets.py`.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import subprocess
import tempfile
import threading
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.secrets.searching import Search
from tests.servers.secrets import SHARED, inputs, secrets

_LOUD = ("rasterio", "fiona", "hypothesis", "matplotlib", "moto", "werkzeug")
"""Loggers of what only tests use, too busy at level debug."""
_found: list[str] = []
_looked_into: list[str] = []


class _Record(io.StringIO):
    """Texts of this process, kept in memory until there are many, then in a file of the run's shared directory."""

    def __init__(self, shared: Path) -> None:
        super().__init__()
        self._file = shared / f"output-{uuid.uuid4().hex}"
        self._process = os.getpid()
        self._guard = threading.Lock()

    def note(self, text: Any) -> None:
        if isinstance(text, bytes | bytearray | memoryview):
            text = bytes(text).decode("utf-8", "replace")
        if text and isinstance(text, str) and os.getpid() == self._process:
            with self._guard:
                self.write(f"{text}\n")
                if self.tell() > 1 << 20:
                    self.save()

    def save(self) -> None:
        if not self.tell():
            return
        with self._file.open("a", encoding="utf-8", errors="surrogatepass") as file:
            file.write(self.getvalue())
        self.seek(0)
        self.truncate()


class _Handler(logging.Handler):
    def __init__(self, record: _Record) -> None:
        super().__init__(logging.DEBUG)
        self._record = record

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):  # a message with wrong arguments is another test's matter
            self._record.note(self.format(record))


class Recorder:
    """Listens to everything that a process of the run says."""

    def __init__(self, shared: Path) -> None:
        self.record = _Record(shared)
        self._undo: list[Callable[[], None]] = []

    def start(self) -> None:
        root, handler = logging.getLogger(), _Handler(self.record)
        root.addHandler(handler)
        before = root.level
        root.setLevel(logging.DEBUG)
        for name in _LOUD:
            logging.getLogger(name).setLevel(logging.WARNING)
        self._undo.append(lambda: (root.removeHandler(handler), root.setLevel(before)))  # type: ignore[func-returns-value]
        self._around(type(pytest.raises(Exception)), "__exit__", self._expected)
        self._around(pytest.CaptureFixture, "readouterr", self._read)
        self._around(subprocess.Popen, "communicate", self._printed)

    def stop(self) -> None:
        while self._undo:
            self._undo.pop()()
        self.record.save()

    def _around(self, owner: Any, name: str, look: Callable[..., None]) -> None:
        """Look at arguments and result of a method's calls."""
        method = getattr(owner, name)

        def watched(this: Any, *args: Any, **named: Any) -> Any:
            result = method(this, *args, **named)
            look(result, *args)
            return result

        setattr(owner, name, watched)
        self._undo.append(lambda: setattr(owner, name, method))

    def _expected(self, _result: Any, kind: Any = None, error: Any = None, where: Any = None) -> None:
        if error is not None:
            self.record.note("".join(traceback.format_exception(kind, error, where)))
            self.record.note(repr(error))

    def _read(self, result: Any) -> None:
        self.record.note(result.out)
        self.record.note(result.err)

    def _printed(self, result: Any, *_args: Any) -> None:
        for text in result:
            self.record.note(text)

    @pytest.hookimpl
    def pytest_warning_recorded(self, warning_message: Any) -> None:
        self.record.note(str(warning_message.message))

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for _, text in report.sections:
            self.record.note(text)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        # Workers and the processes that tests start find it in the environment.
        os.environ[SHARED] = tempfile.mkdtemp(prefix="rasteret-sql-tests-")
    recorder = Recorder(Path(os.environ[SHARED]))
    recorder.start()
    config.pluginmanager.register(recorder, "rasteret-recorder")
    config.add_cleanup(recorder.stop)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """The last test: after all others, and after all workers have ended; before pytest lets go of its directory."""
    config = session.config
    recorder = config.pluginmanager.get_plugin("rasteret-recorder")
    recorder.stop()
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    shared = Path(os.environ[SHARED])
    search = Search(secrets(), inputs())
    written = Path(config._tmp_path_factory.getbasetemp())
    if not written.is_dir():
        _found.append(f"{written} is gone: what tests wrote cannot be searched")
    _found.extend(search.folder(written))
    for file in shared.glob("output-*"):
        search.files += 1
        _found.extend(f"printed or logged: {line}" for line in _lines(file, search))
    shutil.rmtree(shared, ignore_errors=True)
    _looked_into.append(f"{len(search.wanted)} credentials looked for in {search.files} files that tests wrote: ")
    if _found and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _found:
        terminalreporter.section("credentials were written or printed", red=True)
        for line in _found[:50]:
            terminalreporter.write_line(line)
    for text in _looked_into:
        terminalreporter.write_line(text + (f"{len(_found)} found" if _found else "none found"), red=bool(_found))


def _lines(file: Path, search: Search) -> list[str]:
    """What was found in a record, each with the line that it stands in."""
    text = file.read_text("utf-8", "surrogatepass")
    if not search.text(text):
        return []
    return [f"{what}: {line[:300]}" for line in text.splitlines() for what in search.text(line)]
