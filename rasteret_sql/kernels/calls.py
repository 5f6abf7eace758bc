"""A kernel over the rows of a call: by the backend that each row names, and again where files were changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from rasteret_sql.engine.scheduler import Engine
from rasteret_sql.errors import FileChangedError, RasteretError
from rasteret_sql.index.found import BandSource
from rasteret_sql.index.headers import FileHeader
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.kernels.options import pixel_options
from rasteret_sql.kernels.rows import Cancelled, PixelArguments, RowRead, Scenes

Kernel = Callable[..., pa.Array]
"""(args, scenes, engine, cancelled, *columns) → an array, a value each row."""


class CallScenes(Scenes, Protocol):
    """A session, as calls need it."""

    def through(self, backend: str) -> CallScenes:
        """The same session, reading by another backend, known by name."""

    def read_again(
        self, sources: Sequence[BandSource], cancelled: Cancelled
    ) -> Mapping[str, FileHeader | RasteretError]:
        """Read the headers of files again: address → header, or why there is none."""


def run_rows(
    kernel: Kernel,
    args: PixelArguments,
    scenes: CallScenes,
    engine: Engine,
    cancelled: Cancelled,
    *columns: Sequence[Any],
) -> pa.Array:
    """Run a kernel over all rows of a call.

    Args:
        kernel: What to run.
        args: The rows.
        scenes: The session.
        engine: Does the jobs.
        cancelled: The call's flag.
        columns: Further arguments of the kernel, a value each row.
    """
    groups: dict[str | None, list[int]] = defaultdict(list)
    for row, text in enumerate(args.options):
        groups[pixel_options(text).backend].append(row)
    if len(groups) <= 1:
        name = next(iter(groups), None)
        return _run(kernel, args, scenes if name is None else scenes.through(name), engine, cancelled, columns)
    order: list[int] = []
    parts: list[pa.Array] = []
    for name, rows in groups.items():
        view = scenes if name is None else scenes.through(name)
        some = [[column[row] for row in rows] for column in columns]
        parts.append(_run(kernel, args.at(rows), view, engine, cancelled, some))
        order += rows
    return pa.concat_arrays(parts).take(pa.array(np.argsort(order)))


def _run(  # noqa: PLR0917
    kernel: Kernel,
    args: PixelArguments,
    scenes: CallScenes,
    engine: Engine,
    cancelled: Cancelled,
    columns: Sequence[Sequence[Any]],
) -> pa.Array:
    """Run a kernel, and again over the rows of which a file was changed, with the header that the file has now.

    A file that changes under the second try, too, is an error.
    """
    parts = [kernel(args, scenes, engine, cancelled, *columns)]
    if not args.changed:
        return parts[0]
    order = np.arange(len(args))
    done = len(args)
    asked: set[str] = set()
    todo = list(args.changed)
    while todo:
        for last, rows in _to_read_again(todo, asked, scenes, cancelled):
            again = args.at(rows)
            again = again.with_option("on_change", None) if last else again
            some = [[column[row] for row in rows] for column in columns]
            try:
                parts.append(kernel(again, scenes, engine, cancelled, *some))
            except FileChangedError as error:
                if not last:
                    raise
                text = f"{error} It was read again already: try later, when it stays as it is"
                raise FileChangedError(text) from error
            order[rows] = np.arange(done, done + len(rows))
            done += len(rows)
            todo += [replace(read, row=rows[read.row]) for read in again.changed]
    return pa.concat_arrays(parts).take(pa.array(order))


def _to_read_again(
    todo: list[RowRead], asked: set[str], scenes: CallScenes, cancelled: Cancelled
) -> list[tuple[bool, list[int]]]:
    """Take the rows that wait, read headers again, and give the rows to read now, and whether for the last time."""
    reads = [*todo]
    todo.clear()
    final = [read.row for read in reads if read.changed_file in asked]
    first = [read for read in reads if read.changed_file not in asked]
    sources = [source for read in first for source in read.sources if source.address == read.changed_file]
    found = scenes.read_again(sources, cancelled) if sources else {}
    asked |= {read.changed_file for read in first}
    rows = []
    for read in first:
        why = found.get(read.changed_file)
        if not isinstance(why, RasteretError):
            rows.append(read.row)
            continue
        shown = safe_address(read.changed_file)
        error = FileChangedError(
            f"{read.describe()}: {shown} was changed since it was indexed, and has no header that can be read: {why}"
        )
        if not read.options.tolerates(error):
            raise error
        read.tell(error)
    return [(last, some) for last, some in ((True, final), (False, rows)) if some]
