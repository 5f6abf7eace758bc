"""Asks a person for statements at a prompt, with history, completion and colours, and runs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import ThreadedCompleter
from prompt_toolkit.history import History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.styles import Style

from rasteret_sql.cli.completion import Names, SqlCompleter, SqlLexer
from rasteret_sql.cli.history import CarefulHistory
from rasteret_sql.cli.runner import LeaveShell, Runner, StatementError
from rasteret_sql.cli.statements import is_complete, split_statements

PROMPT = "rasteret> "

_STYLE = Style.from_dict(
    {
        "keyword": "ansigreen bold",
        "string": "ansiyellow",
        "number": "ansicyan",
        "comment": "ansibrightblack",
        "prompt": "bold",
    }
)


class Prompt:
    """Reads statements from a person and runs them until they leave."""

    def __init__(
        self, runner: Runner, report: Callable[[StatementError], None], *, history: History | None = None
    ) -> None:
        """Prepare the prompt.

        Args:
            runner: Runs the statements.
            report: Shows an error.
            history: Where lines are remembered; a file in the user's state folder where none is given.
        """
        self._runner = runner
        self._report = report
        self._names = Names(runner.connection)
        self._session: PromptSession[str] = PromptSession(
            history=history or open_history(state_folder()),
            completer=ThreadedCompleter(SqlCompleter(self._names)),
            complete_while_typing=False,
            lexer=SqlLexer(),
            auto_suggest=AutoSuggestFromHistory(),
            multiline=True,
            key_bindings=_bindings(),
            prompt_continuation=lambda width, _line, _wrapped: "·".rjust(width - 1) + " ",
            style=_STYLE,
        )

    def loop(self) -> None:
        """Ask, run, show, until Ctrl-D or `.quit`."""
        while True:
            try:
                text = self._session.prompt([("class:prompt", PROMPT)])
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            try:
                self._runner.run_all(split_statements(text))
            except LeaveShell:
                return
            except KeyboardInterrupt:
                sys.stderr.write("Interrupted\n")
            except StatementError as error:
                self._report(error)
            finally:
                self._names.refresh()


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter")
    def _enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state is not None and buffer.complete_state.current_completion is not None:
            buffer.complete_state = None
        elif is_complete(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    @bindings.add("escape", "enter")
    def _newline(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return bindings


def state_folder() -> Path | None:
    """The folder where programs of this user keep what they remember; None where the user has no home."""
    given = os.environ.get("XDG_STATE_HOME") or (os.environ.get("LOCALAPPDATA") if sys.platform == "win32" else None)
    if given:
        return Path(given) / "rasteret_sql"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "rasteret_sql"
    return home / ".local" / "state" / "rasteret_sql"


def open_history(folder: Path | None) -> History:
    """The lines of earlier sessions; only those of this one where nothing can be written."""
    if folder is None:
        return InMemoryHistory()
    path = folder / "history"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        with path.open("ab"):
            return CarefulHistory(path)
    except OSError:
        return InMemoryHistory()
