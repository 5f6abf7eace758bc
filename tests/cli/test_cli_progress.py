from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from rasteret_sql.cli.open_runner import open_runner
from rasteret_sql.cli.output import Output
from rasteret_sql.cli.progress import ProgressDisplay
from rasteret_sql.connection import session_for


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    """A terminal that can draw, whatever the one is that runs the tests."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_nothing_is_drawn_where_nobody_watches():
    out = io.StringIO()
    with ProgressDisplay(Console(file=out, force_terminal=False), delay=0) as progress:
        assert not progress.enabled
        progress(1, 10, "reading headers")
    assert out.getvalue() == ""


def test_nothing_is_drawn_for_short_statements_or_when_not_wanted():
    for options in ({"delay": 60}, {"wanted": False, "delay": 0}):
        out = io.StringIO()
        with ProgressDisplay(Console(file=out, force_terminal=True), **options) as progress:
            progress(1, 10, "reading headers")
        assert out.getvalue() == ""


def test_bars_from_many_threads():
    out = io.StringIO()
    with ProgressDisplay(Console(file=out, force_terminal=True, width=80), delay=0) as progress:

        def work(what):
            for done in range(100):
                progress(done, None if done < 5 else 100, what)

        threads = [threading.Thread(target=work, args=(f"part {n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert "part 3" in out.getvalue()
    progress(1, 2, "too late")
    assert "too late" not in out.getvalue()


def test_the_shell_listens_to_its_session(tmp_path):
    with open_runner(Output("csv"), workspace=tmp_path) as runner:
        assert session_for(runner.connection).progress.listener is runner.progress
