"""Shows the progress of long builds and reads, on stderr and only where somebody watches."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rasteret_sql.lazy import lazy_module

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from rasteret_sql.cli import bars
else:
    bars = lazy_module("rasteret_sql.cli.bars")


class ProgressDisplay:
    """A callable `progress(done, total, what)` that draws one bar per `what` while a statement runs.

    It may be called from any thread and as often as one likes. Nothing is drawn before `delay` seconds have passed, so
    that short statements leave no flicker, nor where stderr is not a terminal. What was drawn goes away at the end, and
    before anything else is written to the terminal (`aside`): a bar erases the lines it believes to be its own.
    """

    def __init__(self, console: Console | None = None, *, wanted: bool = True, delay: float = 0.5) -> None:
        self._console = console
        self._wanted = wanted
        self._delay = delay
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._bars: Progress | None = None
        self._since: float | None = None

    @property
    def enabled(self) -> bool:
        """True where bars are wanted and the console is a terminal."""
        if not self._may_draw:
            return False
        self._console = self._console or bars.stderr_console()
        return self._console.is_terminal and not self._console.is_dumb_terminal

    @property
    def _may_draw(self) -> bool:
        """False where bars are not wanted, or stderr is no terminal, which is known without what draws them."""
        return self._wanted and (self._console is not None or sys.stderr.isatty())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """A statement begins: calls from now on are shown."""
        with self._lock:
            self._since = time.monotonic() if self._may_draw else None

    def stop(self) -> None:
        """The statement ended: take the bars away; later calls are ignored."""
        with self._lock:
            self._since = None
        with self.aside():
            pass

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bars away while something is written; the next call draws them again, below what was written."""
        with self._lock:
            bars, self._bars = self._bars, None
            self._tasks.clear()
            if bars is not None:
                bars.stop()
            yield

    def __call__(self, done: int, total: int | None, what: str) -> None:
        """Say how far something is.

        Args:
            done: Units done so far, of this `what`.
            total: Units in all, None where it is not known yet.
            what: What is being done, a few words: "reading headers".
        """
        with self._lock:
            if self._since is None or time.monotonic() - self._since < self._delay:
                return
            if self._bars is None:
                if not self.enabled or self._console is None:
                    self._since = None
                    return
                self._bars = bars.make_bars(self._console)
                self._bars.start()
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(what, total=total)
            self._bars.update(self._tasks[what], completed=done, total=total)
