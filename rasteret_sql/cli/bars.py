"""Draws progress bars with rich."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text


class _Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


def stderr_console() -> Console:
    """The terminal behind stderr."""
    return Console(stderr=True)


def make_bars(console: Console) -> Progress:
    """Bars that go away when they are stopped; nothing is drawn yet."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        refresh_per_second=10,
        # The statement's own output goes where it goes; only stderr is drawn on.
        redirect_stdout=False,
        redirect_stderr=False,
    )
