"""`Receipts`: keeps the costs of the latest statements of a session."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from rasteret_sql.io.redact import plain_text
from rasteret_sql.receipt import Receipt, carrying

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC
_KEPT = 100
"""Statements."""


class Receipts:
    """The receipts of the statements that read, search or change collections, the one that was used last at the end."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Receipt] = OrderedDict()
        self._numbers = itertools.count()
        self._rows: dict[str, int] = {}
        self._lock = threading.Lock()

    def of(self, statement: int) -> Receipt:
        """The receipt of a statement, shared by all its calls.

        Args:
            statement: when it began, in microseconds since 1970.
        """
        return self._of(statement, _EPOCH + timedelta(microseconds=statement))

    @contextmanager
    def paying(self, receipt: Receipt) -> Iterator[None]:
        """Take the time of a call, and note the error that ends it."""
        with receipt.running:
            try:
                yield
            except Exception as error:
                # Messages of ours have no secret in them; that of a backend that is not ours may.
                receipt.fail(f"{type(error).__name__}: {plain_text(str(error))}")
                raise

    @contextmanager
    def begin(self, function: str) -> Iterator[Receipt]:
        """The receipt of one call from Python, which is a statement by itself."""
        receipt = self._of(f"call {next(self._numbers)}", None)
        receipt.name(function)
        with self.paying(receipt), carrying(receipt):
            yield receipt

    def _of(self, key: Hashable, began_at: datetime | None) -> Receipt:
        with self._lock:
            receipt = self._kept.get(key)
            if receipt is None:
                receipt = self._kept[key] = Receipt(began_at)
                if len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(key)
            return receipt

    def listed(self, *, clear: bool = False) -> list[Receipt]:
        """All of them, in the order in which they began."""
        with self._lock:
            kept = sorted(self._kept.values(), key=lambda receipt: receipt.began_at)
            if clear:
                self._kept.clear()
        return kept

    def running(self) -> list[Receipt]:
        """Those of statements of which a call runs now, in the order in which they began."""
        return [receipt for receipt in self.listed() if receipt.running.is_running]

    def stop(self, statement: int) -> bool:
        """Stop a statement, whatever others run.

        Args:
            statement: when it began, in microseconds since 1970.

        Returns:
            False where no such statement is known.
        """
        with self._lock:
            receipt = self._kept.get(statement)
        if receipt is None:
            return False
        receipt.stop()
        return True

    def count(self, function: str, rows: int) -> None:
        """Count the rows that reach a private function: tests of laziness assert them."""
        with self._lock:
            self._rows[function] = self._rows.get(function, 0) + rows

    def rows(self, function: str) -> int:
        """Rows that reached a private function so far."""
        return self._rows.get(function, 0)
