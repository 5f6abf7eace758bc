"""Packs zones or points that lie near each other into parcels, so that Spark joins, sorts and moves few large rows.

A parcel is the rows of some neighbours as bytes, with the place of all of them. Of 20,000 zones that meet a scene Spark
has some 20 rows, and not a pair each: which zone meets the scene is found where it is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from rasteret_sql.geo.lonlat_cells import Boxes, Ints, box_of_all, cells, first_cells, rectangles

ROWS = 1024
"""Rows of a parcel, at most."""
_BYTES = 1024 * 1024
"""Bytes of a parcel of several rows, at most."""
_SMALL = 2
"""Cells on a side of what is small: nearly all zones."""
_STRIPS = 32
"""Strips of a cell, by which neighbours come together."""
PARCEL = pa.struct([("name", pa.binary()), ("count", pa.int64()), ("rows", pa.binary())])
"""A digest of the rows, how many there are, and the rows as an Arrow stream."""
PLACE = pa.struct(
    [
        *((side, pa.float64()) for side in ("west", "south", "east", "north")),
        ("col", pa.int64()),
        ("row", pa.int64()),
        ("cells", pa.list_(pa.int64())),
    ]
)
"""The box of something on the globe, its first column and row of cells, and the numbers of all its cells."""


def place_column(boxes: Boxes, *, images: bool) -> pa.StructArray:
    """The place of each box.

    Args:
        boxes: Of geometries, or of images.
        images: True where they are of images.
    """
    offsets, numbers = cells(boxes, images=images)
    cols, rows = first_cells(boxes)
    listed = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(numbers))
    sides = [pa.array(boxes[:, at]) for at in range(4)]
    return pa.StructArray.from_arrays([*sides, pa.array(cols), pa.array(rows), listed], fields=list(PLACE))


def packed(rows: pa.RecordBatch, boxes: Boxes, most_rows: int | None = None) -> tuple[pa.StructArray, pa.StructArray]:
    """Parcels of rows and the places of these; rows whose box is nowhere are left out.

    Args:
        rows: Of zones or points, with all their columns.
        boxes: Of each row.
        most_rows: Of a parcel; `ROWS` by default.
    """
    there = np.flatnonzero(~np.isnan(boxes).any(1))
    boxes = boxes[there]
    sizes = rectangles(boxes)[2]
    boxes[(sizes == 0).any(1)] = (-np.inf, -np.inf, np.inf, np.inf)  # wide ones are joined with all images
    most = max(1, min(most_rows or ROWS, _BYTES * max(rows.num_rows, 1) // max(rows.nbytes, 1)))
    order, begins = _neighbours(boxes, sizes, most)
    borders = list(pairwise([*begins.tolist(), len(order)]))
    sorted_rows = rows.take(pa.array(there[order]))
    made = [_parcel(sorted_rows.slice(begin, end - begin)) for begin, end in borders]
    of_all = [box_of_all(boxes[order[begin:end]]) for begin, end in borders]
    return pa.array(made, PARCEL), place_column(np.array(of_all).reshape(-1, 4), images=False)


def _neighbours(boxes: Boxes, sizes: Ints, most: int) -> tuple[Ints, Ints]:
    """Rows in an order in which neighbours come together, and where in it parcels begin.

    Args:
        boxes: Of the rows; none is nowhere.
        sizes: Cells of each on its sides; 0 of wide ones.
        most: Rows of a parcel, at most.
    """
    cols, cell_rows = first_cells(boxes)
    # The box of a parcel has no more cells than its rows: what is large is with what has the same cells.
    small = (sizes.max(1, initial=0) <= _SMALL) & (sizes > 0).all(1)
    keys = np.column_stack([np.where(small[:, None], 1, sizes), cell_rows, cols])
    with np.errstate(invalid="ignore"):  # of those that are anywhere
        middle = np.nan_to_num((boxes[:, :2] + boxes[:, 2:]) / 2)
    order = np.lexsort([middle[:, 0], np.floor(middle[:, 1] * _STRIPS), *keys.T[::-1]])
    keys = keys[order]
    groups = np.concatenate([[0], np.cumsum((keys[1:] != keys[:-1]).any(1))])[: len(order)]
    within = (np.arange(len(order)) - np.searchsorted(groups, groups)) // most
    begins = np.flatnonzero((np.diff(groups, prepend=-1) != 0) | (np.diff(within, prepend=-1) != 0))
    return order, begins


def _parcel(rows: pa.RecordBatch) -> dict[str, object]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_batch(rows)
    data = sink.getvalue()
    return {"name": hashlib.sha256(data).digest(), "count": rows.num_rows, "rows": data.to_pybytes()}


def opened(parcels: Sequence[pa.Buffer]) -> pa.RecordBatch:
    """The rows of parcels, those of one behind those of the other."""
    tables = [pa.ipc.open_stream(one).read_all() for one in parcels]
    return pa.concat_tables(tables).combine_chunks().to_batches()[0]
