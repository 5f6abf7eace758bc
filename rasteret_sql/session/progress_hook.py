"""Passes the progress of builds and reads to a listener."""

from __future__ import annotations

from rasteret_sql.callbacks import Progress


class ProgressHook:
    """Hands on how far builds and reads are to whoever listens: (done, total or None, what)."""

    def __init__(self) -> None:
        self.listener: Progress | None = None

    def __call__(self, done: int, total: int | None, what: str) -> None:
        if self.listener is not None:
            self.listener(done, total, what)
