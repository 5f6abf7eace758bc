"""A kernel over the rows of a call: by the backend that each row names, and again where files were changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from rasteret_sql.engine.scheduler import Engine
from rasteret_sql.errors import FileChangedError
from rasteret_sql.index.found import BandSource
from rasteret_sql.kernels.options import pixel_options
from rasteret_sql.kernels.rows import Cancelled, PixelArguments, Scenes, resolve

Kernel = Callable[..., pa.Array]
"""(args, scenes, engine, cancelled, *columns) → an array, a value each row."""


class CallScenes(Scenes, Protocol):
    """A session, as calls need it."""

    def through(self, backend: str) -> CallScenes:
        """The same session, reading by another backend, known by name."""

    def read_again(self, sources: Iterable[BandSource], cancelled: Cancelled) -> int:
        """Read the headers of files again; how many of the files were changed."""


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
    columns: Iterable[Sequence[Any]],
) -> pa.Array:
    try:
        return kernel(args, scenes, engine, cancelled, *columns)
    except FileChangedError:
        again = [row for row, text in enumerate(args.options) if pixel_options(text).on_change == "refresh"]
        if not again:
            raise
        sources = [source for read in resolve(args.at(again), scenes) for source in read.sources]
        if not scenes.read_again(sources, cancelled):
            raise
    # Once: a file that changes under the second try, too, is an error.
    return kernel(args.with_option("on_change", None), scenes, engine, cancelled, *columns)
