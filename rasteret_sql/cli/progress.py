"""Progress of long builds and reads, on stderr and only where somebody watches."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


class ProgressDisplay:
    """A callable `progress(done, total, what)` that draws one bar per `what` while a statement runs.

    It may be called from any thread and as often as one likes. Nothing is drawn before `delay` seconds have passed, so
    that short statements leave no flicker, nor where stderr is not a terminal. What was drawn goes away at the end.
    """

    def __init__(self, console: Console | None = None, *, wanted: bool = True, delay: float = 0.5) -> None:
        self._console = console or Console(stderr=True)
        self._wanted = wanted
        self._delay = delay
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._bars: Progress | None = None
        self._since: float | None = None

    @property
    def enabled(self) -> bool:
        """True where bars are wanted and the console is a terminal."""
        return self._wanted and self._console.is_terminal and not self._console.is_dumb_terminal

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
            self._since = time.monotonic() if self.enabled else None

    def stop(self) -> None:
        """The statement ended: take the bars away; later calls are ignored."""
        with self._lock:
            bars, self._bars, self._since = self._bars, None, None
            self._tasks.clear()
        if bars is not None:
            bars.stop()

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
                self._bars = Progress(
                    TextColumn("{task.description}"),
                    BarColumn(),
                    MofNCompleteColumn(),
                    _Rate(),
                    TimeElapsedColumn(),
                    console=self._console,
                    transient=True,
                    refresh_per_second=10,
                    # The statement's own output goes where it goes; only stderr is drawn on.
                    redirect_stdout=False,
                    redirect_stderr=False,
                )
                self._bars.start()
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(what, total=total)
            self._bars.update(self._tasks[what], completed=done, total=total)
