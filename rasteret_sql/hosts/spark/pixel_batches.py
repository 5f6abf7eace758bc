"""Reads the pixels of scenes as rows, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.functions.calls.pixel_request import band_request, one_geometry, options_of
from rasteret_sql.functions.calls.pixel_table import context_of
from rasteret_sql.functions.calls.relation_sql import named_error
from rasteret_sql.geo.grid import Affine
from rasteret_sql.hosts.spark.frame_call import FrameCall
from rasteret_sql.hosts.spark.pair_batches import LOOKED_UP, scenes_of
from rasteret_sql.reading.pixel_blocks import Numbers
from rasteret_sql.reading.pixel_table import Part, PixelTable
from rasteret_sql.reading.request import Scene
from rasteret_sql.session.session import Session

_TOGETHER = 1 << 18
"""Pixels that are read together, about; one block may have more."""
_ROWS = 1 << 16
"""Rows of a batch."""
_Found = tuple[PixelTable, list[Part | None]]


def pixel_table(session: Session, call: FrameCall, geometry: str, function: str = "read_pixels") -> PixelTable:
    """The pixels that a call asks for.

    Args:
        session: What it works with.
        call: What is asked for.
        geometry: As text: hexadecimal WKB, or the one that stands for whole images.
        function: What the options are of.
    """
    given = dict(session.settings.of_calls()) | call.given
    for name in ("call", "stats", "geom_column"):
        given.pop(name, None)
    shape, crs = one_geometry({"kind": "VARCHAR", "wkb": None, "text": geometry}, given.pop("geom_crs", None))
    options = options_of(function, given)
    return PixelTable(shape, crs, band_request(call.bands, options), options, session.waiting_blocks)


def read_pixels(
    session: Session, call: FrameCall, batches: Iterator[pa.RecordBatch], geometry: str
) -> Iterator[pa.RecordBatch]:
    """The pixels of scenes, which come as the column scene: columns scene_id, datetime, row, col, x, y and bands."""
    for batch in batches:
        for begin in range(0, batch.num_rows, LOOKED_UP):
            some = batch.column("scene").slice(begin, LOOKED_UP)
            scenes = [(row, one) for row, one in enumerate(scenes_of(some)) if one.id]

            def find(
                _: Cancelled, scenes: Sequence[tuple[int, Scene]] = scenes
            ) -> tuple[PixelTable, list[Part | None]]:
                with named_error(call.function):
                    table = pixel_table(session, call, geometry)
                    return table, table.find([scene for _, scene in scenes], context_of(session, table))

            table, parts = session.engine.call(find)
            for (row, _), part in zip(scenes, parts, strict=True):
                if part is not None:
                    yield from _of_part(session, call, table, part, some[row])


def _of_part(
    session: Session, call: FrameCall, table: PixelTable, part: Part, scene: pa.StructScalar
) -> Iterator[pa.RecordBatch]:
    """The pixels of one scene."""
    for blocks in _together(part):

        def read(cancelled: Cancelled, blocks: Sequence[int] = blocks) -> list[npt.NDArray[Any]]:
            with named_error(call.function):
                counts, runs = table.runs(blocks)
                numbers, rows, cols, places = pixels_of(np.repeat(blocks, counts), runs)
                values, missing = table.read(numbers, places, context_of(session, table), cancelled)
                return [rows, cols, values, missing]

        rows, cols, values, missing = session.engine.call(read)
        lattice = part.grid.lattice
        nowhere = pa.nulls(len(rows), pa.float64())  # of a file that is not georeferenced
        x, y = (nowhere, nowhere) if lattice is None else map(pa.array, _centres(lattice, cols, rows))
        found = {
            "scene_id": pa.repeat(scene["id"], len(rows)),
            "datetime": pa.repeat(scene["datetime"], len(rows)),
            "row": pa.array(rows),
            "col": pa.array(cols),
            "x": x,
            "y": y,
            **{
                name: pa.array(values[:, at], mask=missing[:, at] if missing[:, at].any() else None)
                for at, name in enumerate(call.after)
            },
        }
        whole = pa.RecordBatch.from_arrays([*found.values()], names=[*found])
        for begin in range(0, len(rows), _ROWS):
            yield whole.slice(begin, _ROWS)


def _centres(lattice: Affine, cols: Numbers, rows: Numbers) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """X and y of the centres of pixels."""
    col, row = cols + 0.5, rows + 0.5
    return lattice.a * col + lattice.b * row + lattice.c, lattice.d * col + lattice.e * row + lattice.f


def _together(part: Part) -> Iterator[list[int]]:
    """The numbers of the blocks of a scene that are read together."""
    some: list[int] = []
    pixels = 0
    for at in range(len(part.grid.windows)):
        size = part.grid.pixels(at)
        if some and pixels + size > _TOGETHER:
            yield some
            some, pixels = [], 0
        some.append(part.first + at)
        pixels += size
    if some:
        yield some


def pixels_of(blocks: Numbers, runs: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """The pixels of runs: block, row, column and place in the block of each.

    Args:
        blocks: Number of the block of each run.
        runs: As `PixelTable.runs` gives them.
    """
    row, col, place, lengths = runs
    steps = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    of_blocks, rows, cols, places = (np.repeat(side, lengths) for side in (blocks, row, col, place))
    return of_blocks, rows, cols + steps, places + steps
