"""Runs read_pixels: writes its SQL, and does the parts of it that DuckDB asks for.

One call keeps what is asked for under a token, a second gives the blocks of each scene, a third the runs of pixels in a
block. DuckDB makes rows of these, and leaves out those that conditions on places leave out, before a fourth reads the
values of up to 2048 pixels. So a tile of which no row is wanted is not read, and LIMIT ends the reading.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.functions.calls.pixel_request import band_request, one_geometry, options_of
from rasteret_sql.functions.calls.relation_sql import named_error, scenes_of, scenes_sql, texts_of
from rasteret_sql.functions.calls.rows import named_arguments
from rasteret_sql.functions.relations import BLOCK, BLOCKS_OF, KEEP_PIXELS, PIXELS_OF, RUN, RUNS_OF
from rasteret_sql.functions.spec import STATEMENT
from rasteret_sql.quoting import quote_name, quote_text
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.pixel_table import Part, PixelTable
from rasteret_sql.session.session import Session

FUNCTION = "read_pixels"


def read_pixels(
    _session: Session,
    _cancelled: Cancelled,
    scenes: pa.Array,
    bands: pa.Array,
    geometries: pa.StructArray,
    texts: pa.Array,
) -> pa.Array:
    """The SQL of each call."""
    return texts_of(("scenes", "band"), _sql, scenes, bands, geometries, texts)


def _sql(scenes: str, bands: str, geometry: dict[str, Any], text: str) -> str:
    columns = [f"got[{at}] AS {quote_name(str(name))}" for at, name in enumerate(band_request(bands), 1)]
    shown = ", ".join(["id AS scene_id", "datetime", "row", "col", "x", "y", *columns])
    # Conditions on x and y are tested on the rows of the pixels, those on row on runs, before values are read.
    x, y = (
        f"{a} * center_col + {b} * center_row + {c}"
        for a, b, c in (("block.a", "block.b", "block.c"), ("block.d", "block.e", "block.f"))
    )
    return f"""{kept_pixels_sql(scenes, bands, geometry, text)},
  __blocks AS (
    SELECT id, datetime, token, unnest({BLOCKS_OF.name}(id, collection, token, {STATEMENT})) AS block
    FROM __scenes, __kept
  ),
  __runs AS (
    SELECT id, datetime, token, block, unnest({RUNS_OF.name}(token, block.number, {STATEMENT})) AS run FROM __blocks
  ),
  __steps AS (
    SELECT id, datetime, token, block, run, unnest(range(run.length)) AS step FROM __runs
  ),
  __pixels AS (
    SELECT id, datetime, token, block, run.row AS row, run.col + step AS col, run.first + step AS place,
      run.row + CAST(0.5 AS DOUBLE) AS center_row, run.col + step + CAST(0.5 AS DOUBLE) AS center_col
    FROM __steps
  ),
  __read AS (
    SELECT id, datetime, row, col, {x} AS x, {y} AS y, {PIXELS_OF.name}(token, block.number, place, {STATEMENT}) AS got
    FROM __pixels
  )
SELECT {shown} FROM __read"""  # noqa: S608 - quoted


def kept_pixels_sql(scenes: str, bands: str, geometry: dict[str, Any], text: str) -> str:
    """The SQL that keeps what is asked for and reads the ids of scenes: `__scenes` and `__kept`.

    The token is used in one place and so made once; below a CTE that is MATERIALIZED, DuckDB 1.5 reads all columns.
    """
    named_arguments(FUNCTION, text)
    given = ", ".join((quote_text(bands), quote_text(text), geometry_value(geometry)))
    return f"""WITH
  __scenes AS (
    {scenes_sql(FUNCTION, scenes)}
  ),
  __kept AS (SELECT {KEEP_PIXELS.name}({given}, {STATEMENT}) AS token)"""


def geometry_value(geometry: dict[str, Any]) -> str:
    """A geometry that crossed into Python, as the SQL of the same value."""
    kind, wkb, text = (geometry[name] for name in ("kind", "wkb", "text"))
    binary = "NULL" if wkb is None else f"from_hex({quote_text(wkb.hex())})"
    texts = ["CAST(NULL AS VARCHAR)" if part is None else quote_text(part) for part in (kind, text)]
    return f"struct_pack(kind := {texts[0]}, wkb := CAST({binary} AS BLOB), text := {texts[1]})"


def keep(
    session: Session, _cancelled: Cancelled, bands: pa.Array, texts: pa.Array, geometries: pa.StructArray
) -> pa.Array:
    """Keep what each call asks for; gives its token."""
    tokens = []
    with named_error(FUNCTION):
        for band, text, geometry in zip(bands.to_pylist(), texts.to_pylist(), geometries.to_pylist(), strict=True):
            given = dict(session.settings.of_calls()) | named_arguments(FUNCTION, text)
            shape, crs = one_geometry(geometry, given.pop("geom_crs", None))
            options = options_of(FUNCTION, given)
            table = PixelTable(shape, crs, band_request(band, options), options, session.waiting_blocks)
            tokens.append(session.pixel_tables.keep(table))
    return pa.array(tokens, pa.int64())


def blocks(session: Session, _cancelled: Cancelled, ids: pa.Array, collections: pa.Array, tokens: pa.Array) -> pa.Array:
    """Find the blocks of each scene."""
    scenes, kept = scenes_of(ids, collections), tokens.to_pylist()
    found: list[Part | None] = [None] * len(scenes)
    with named_error(FUNCTION):
        for token in dict.fromkeys(kept):
            asked = {row: one for row, one in enumerate(scenes) if kept[row] == token and one is not None}
            table = session.pixel_tables.get(token)
            for row, part in zip(asked, table.find([*asked.values()], context_of(session, table)), strict=True):
                found[row] = part
    counts = [0 if part is None else len(part.asked) for part in found]
    numbers = np.concatenate([np.empty(0, np.int64), *(p.first + np.arange(len(p.asked)) for p in found if p)])
    nowhere = (None,) * 6
    transforms = [nowhere if p is None or p.grid.lattice is None else tuple(p.grid.lattice) for p in found]
    at = pa.array(np.repeat(np.arange(len(found)), counts))
    sides = [pa.array(side, pa.float64()).take(at) for side in zip(*transforms, strict=True)] or [
        pa.nulls(0, pa.float64())
    ] * 6
    values = pa.StructArray.from_arrays([pa.array(numbers), *sides], fields=list(BLOCK))
    return pa.ListArray.from_arrays(pa.array(np.cumsum([0, *counts]), pa.int32()), values)


def runs(session: Session, _cancelled: Cancelled, tokens: pa.Array, numbers: pa.Array) -> pa.Array:
    """Find the runs of the pixels of each block."""
    kept, blocks_of = tokens.to_pylist(), numbers.to_pylist()
    counts: list[int] = []
    found = []
    with named_error(FUNCTION):
        for begin, end in _spans(np.array(kept, np.int64)):
            some, its_runs = session.pixel_tables.get(kept[begin]).runs(blocks_of[begin:end])
            counts += some
            found.append(its_runs)
    sides = np.concatenate([np.empty((4, 0), np.int64), *found], axis=1)
    values = pa.StructArray.from_arrays([pa.array(side) for side in sides], fields=list(RUN))
    return pa.ListArray.from_arrays(pa.array(np.cumsum([0, *counts]), pa.int32()), values)


def values(session: Session, cancelled: Cancelled, *columns: pa.Array) -> pa.Array:
    """Read the values of each pixel, one a band."""
    tokens, numbers, places = (column.to_numpy(zero_copy_only=False) for column in columns)
    results = []
    with named_error(FUNCTION):
        for begin, end in _spans(tokens):
            table = session.pixel_tables.get(int(tokens[begin]))
            found, missing = table.read(numbers[begin:end], places[begin:end], context_of(session, table), cancelled)
            offsets = np.arange(len(found) + 1, dtype=np.int32) * found.shape[1]
            mask = missing.ravel() if missing.any() else None
            results.append(pa.ListArray.from_arrays(pa.array(offsets), pa.array(found.ravel(), mask=mask)))
            session.progress(table.done, table.total, "tiles")
    if not results:
        return pa.nulls(0, PIXELS_OF.returns)
    return results[0] if len(results) == 1 else pa.concat_arrays(results)


def _spans(tokens: np.ndarray) -> list[tuple[int, int]]:
    """Begin and end of the rows of each statement; all are of one, as a rule."""
    borders = [0, *(np.flatnonzero(np.diff(tokens)) + 1).tolist(), len(tokens)]
    return [(begin, end) for begin, end in pairwise(borders) if end > begin]


def context_of(session: Session, table: PixelTable, function: str = FUNCTION) -> ReadContext:
    """The context with which the pixels of a call are read."""
    return replace(session.reading(function).through(table.options.backend), counts_pairs=False)
