"""Runs a reading function over the rows of a call: by the backend that each names, again where files were changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import FileChangedError
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.reading.byte_limit import within_limit
from rasteret_sql.reading.changed_files import ChangedFiles, repeat_while_changed
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.derived_band import files_of
from rasteret_sql.reading.request import Request, RowRead

Kernel = Callable[..., pa.Array]
"""(request, context, cancelled, *columns) → an array, a value each row."""


def run_rows(
    kernel: Kernel,
    request: Request,
    context: ReadContext,
    cancelled: Cancelled,
    *columns: Sequence[Any],
) -> pa.Array:
    """Run a kernel over all rows of a call.

    Args:
        kernel: What to run.
        request: The rows.
        context: What they are read with.
        cancelled: The call's flag.
        columns: Further arguments of the kernel, a value each row.
    """
    context.plan_pairs(0, seen=len(request))
    groups: dict[tuple[str | None, int | None], list[int]] = defaultdict(list)
    for row, options in enumerate(request.options):
        groups[options.backend, options.max_bytes].append(row)
    if len(groups) <= 1:
        name, most = next(iter(groups), (None, None))
        return _run(kernel, request, context.through(name), cancelled, columns, most)
    order: list[int] = []
    parts: list[pa.Array] = []
    for (name, most), rows in groups.items():
        some = [[column[row] for row in rows] for column in columns]
        parts.append(_run(kernel, request.at(rows), context.through(name), cancelled, some, most))
        order += rows
    return pa.concat_arrays(parts).take(pa.array(np.argsort(order)))


def _run(  # noqa: PLR0917 - of one call
    kernel: Kernel,
    request: Request,
    context: ReadContext,
    cancelled: Cancelled,
    columns: Sequence[Sequence[Any]],
    most: int | None,
) -> pa.Array:
    """Run a kernel, and again over the rows of which a file was changed, with the header that the file has now.

    A file that changes under the second try, too, is an error. Rows that would fetch more than `most` bytes are one.
    """
    run = _Run(kernel, request, context, cancelled, columns)

    def plan(dry: ReadContext) -> None:
        kernel(request.at(range(len(request))), dry, cancelled, *columns)

    with within_limit(most, plan, context):
        repeat_while_changed(run.attempt, context, cancelled)
    return run.result()


class _Run:
    """The reads of one call, each over all rows or over some of them again."""

    def __init__(
        self,
        kernel: Kernel,
        request: Request,
        context: ReadContext,
        cancelled: Cancelled,
        columns: Sequence[Sequence[Any]],
    ) -> None:
        self._kernel = kernel
        self._request = request
        self._context = context
        self._cancelled = cancelled
        self._columns = columns
        self._parts: list[pa.Array] = []
        self._order = np.arange(len(request))
        self._waiting: list[RowRead] = []
        """Rows to be read again; their numbers are those of the call."""

    def attempt(self, files: ChangedFiles) -> list[BandSource]:
        """Read all rows, or those that wait; gives the changed files of rows that wait now."""
        if self._parts:
            ready = [read.row for read in self._waiting if self._has_header(read, files)]
            self._waiting.clear()
            if ready:
                self._read_again(ready, last=False)
        else:
            self._parts.append(self._kernel(self._request, self._context, self._cancelled, *self._columns))
            self._waiting += self._request.changed
        last = [read.row for read in self._waiting if read.changed_file in files]
        self._waiting = [read for read in self._waiting if read.changed_file not in files]
        if last:
            self._read_again(last, last=True)
        return [one for read in self._waiting for one in files_of(read.sources) if one.address == read.changed_file]

    def _has_header(self, read: RowRead, files: ChangedFiles) -> bool:
        """False where the row gives NULL, since its file has no header that can be read."""
        why = files.failure(read.changed_file)
        if why is None:
            return True
        shown = safe_address(read.changed_file)
        error = FileChangedError(
            f"{read.describe()}: {shown} was changed since it was indexed, and has no header that can be read: {why}"
        )
        if not read.options.tolerates(error):
            raise error
        read.tell(error)
        return False

    def _read_again(self, rows: list[int], *, last: bool) -> None:
        """Read some rows; for the last time, a file that is changed still is an error."""
        again = self._request.at(rows)
        again = again.with_on_change("raise") if last else again
        some = [[column[row] for row in rows] for column in self._columns]
        done = sum(map(len, self._parts))
        try:
            self._parts.append(self._kernel(again, self._context, self._cancelled, *some))
        except FileChangedError as error:
            if not last:
                raise
            text = f"{error} It was read again already: try later, when it stays as it is"
            raise FileChangedError(text) from error
        self._order[rows] = np.arange(done, done + len(rows))
        self._waiting += [replace(read, row=rows[read.row]) for read in again.changed]

    def result(self) -> pa.Array:
        """The last value of each row."""
        return self._parts[0] if len(self._parts) == 1 else pa.concat_arrays(self._parts).take(pa.array(self._order))
