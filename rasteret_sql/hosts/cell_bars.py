"""Draws the progress of builds and reads below the cell of a notebook that runs."""

from __future__ import annotations

import html
import threading
import time
from typing import Any
from uuid import uuid4

_AFTER = 0.5
"""Seconds before anything is drawn: short cells leave no flicker."""
_EVERY = 0.2
"""Seconds between two drawings."""


class CellBars:
    """A callable `progress(done, total, what)` that draws one bar per `what`, and takes all away when the cell ends.

    It may be called from any thread and as often as one likes.

    Args:
        shell: the session of IPython: its `display_pub` shows, its `events` tell that a cell has ended.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._lock = threading.Lock()
        self._bars: dict[str, tuple[int, int | None]] = {}
        self._since: float | None = None
        self._drawn: float | None = None
        self._place = ""
        shell.events.register("post_run_cell", self._end)

    def __call__(self, done: int, total: int | None, what: str) -> None:
        with self._lock:
            now = time.monotonic()
            self._since = now if self._since is None else self._since
            self._bars[what] = (done, total)
            if now - self._since < _AFTER or (self._drawn is not None and now - self._drawn < _EVERY):
                return
            self._draw()
            self._drawn = now

    def _end(self, _result: Any = None) -> None:
        """The cell ended: nothing stays of the bars."""
        with self._lock:
            self._bars.clear()
            if self._drawn is not None:
                self._draw()
            self._since = self._drawn = None

    def _draw(self) -> None:
        """Show the bars in the place of the earlier ones."""
        if self._drawn is None:
            self._place = uuid4().hex
        data = {
            "text/plain": ", ".join(f"{_of(*count)} {what}" for what, count in self._bars.items()),
            "text/html": "".join(_bar(what, *count) for what, count in self._bars.items()),
        }
        self._shell.display_pub.publish(
            data=data, metadata={}, transient={"display_id": self._place}, update=self._drawn is not None
        )


def _of(done: int, total: int | None) -> str:
    return f"{done:,}" if total is None else f"{done:,}/{total:,}"


def _bar(what: str, done: int, total: int | None) -> str:
    """A bar in HTML; one that only moves while the total is not known."""
    length = "" if total is None else f' value="{done}" max="{total}"'
    return (
        f'<div><progress{length} style="width:20em"></progress> '
        f"<small>{_of(done, total)} {html.escape(what)}</small></div>"
    )
