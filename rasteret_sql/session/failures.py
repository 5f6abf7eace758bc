"""Keeps the failures of a session: rows that gave NULL because they could not be read."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.redact import plain_text
from rasteret_sql.reading.context import FailedRow

_KEPT_FAILURES = 10_000


@dataclass(frozen=True, slots=True)
class Failure:
    """A row that gave NULL because it could not be read."""

    at: datetime
    """Naive UTC."""
    function: str
    """What was called; empty where that is not known."""
    collection: str | None
    """As the call named it."""
    scene_id: str
    bands: str
    error: str
    """Name of its class."""
    message: str
    """Without what addresses in it have of secrets."""


class Failures:
    """Reads of a session that gave NULL because they failed: of each scene, band and reason the latest."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str | None, str, str, str, str], Failure] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, function: str, row: FailedRow) -> None:
        """Keep one; of too many the oldest goes.

        One scene may fail for thousands of zones, and DuckDB may make a call of constants more than once.
        """
        # Texts alone: an error holds all that was at hand when it was raised. Messages of ours have no secret in them;
        # that of a backend that is not ours may.
        error, message = type(row.error).__name__, plain_text(str(row.error))
        key = (function, row.collection, safe_address(row.scene_id), row.bands, error, message)
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = Failure(datetime.now(UTC).replace(tzinfo=None), *key)
            if len(self._kept) > _KEPT_FAILURES:
                self._kept.popitem(last=False)

    def listed(self, *, clear: bool = False) -> list[Failure]:
        """All of them, oldest first."""
        with self._lock:
            kept = list(self._kept.values())
            if clear:
                self._kept.clear()
        return kept
