"""Parcels of zones, without Spark: each row is in one, and a parcel meets every image that a row of it meets."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from rasteret_sql.geo.lonlat_cells import cells, may_meet
from rasteret_sql.hosts.spark import parcels


def some_boxes(count, widest):
    """Boxes anywhere, also beyond 180°, the last ones nowhere and anywhere."""
    random = np.random.default_rng(count)
    west, south = random.uniform(-190, 190, count), random.uniform(-89, 70, count)
    width, height = random.uniform(0.01, widest, (2, count))
    boxes = np.column_stack([west, south, west + width, np.minimum(south + height, 90)])
    boxes[-2:] = [[np.nan] * 4, [-np.inf, -np.inf, np.inf, np.inf]]
    return boxes


@pytest.mark.parametrize("widest", [0.1, 3, 60, 170])
def test_each_row_is_in_a_parcel_that_meets_what_it_meets(widest):
    boxes = some_boxes(700, widest)
    names = [f"zone {at}" for at in range(699)]
    rows = pa.record_batch({"n": range(700), "name": [*names, None], "list": [[at] for at in range(700)]})
    made, places = parcels.packed(rows, boxes)
    images = some_boxes(60, 3)[:-2]
    found = []
    for parcel, place in zip(made, places.to_pylist(), strict=True):
        inside = parcels.opened([parcel["rows"].as_buffer()])
        assert inside.num_rows == parcel["count"].as_py()
        assert inside.equals(rows.take(inside.column("n")))
        found += (numbers := inside.column("n").to_pylist())
        box = np.array([[place[side] for side in ("west", "south", "east", "north")]])
        for image in images:
            if may_meet(boxes[numbers], image[None]).any():
                assert may_meet(box, image[None]).all()
        # Its cells are those of its rows, so that it is not joined with more scenes than these.
        wanted = {int(one) for one in cells(boxes[numbers], images=False)[1]}
        assert set(place["cells"]) == wanted
    assert sorted(found) == sorted({*range(700)} - {698})


def test_neighbours_are_together():
    random = np.random.default_rng(3)
    at = random.uniform((7, 45), (9, 47), (9000, 2))
    made, _ = parcels.packed(pa.record_batch({"n": range(9000)}), np.column_stack([at, at + 1e-4]))
    assert max(made.field("count").to_pylist()) == parcels.ROWS
    # Four cells with 2,250 zones each, in three parcels each; zones on a border have cells of two.
    assert 12 <= len(made) <= 20


def test_large_rows_are_in_parcels_of_few():
    rows = pa.record_batch({"n": range(40), "data": [bytes(200_000)] * 40})
    made, _ = parcels.packed(rows, np.array([[7.1, 45.1, 7.2, 45.2]] * 40))
    assert made.field("count").to_pylist() == [5] * 8


def test_of_no_rows_there_are_no_parcels():
    rows = pa.record_batch({"n": pa.array([1, 2], pa.int64())})
    for some, boxes in [(rows, np.full((2, 4), np.nan)), (rows.slice(0, 0), np.empty((0, 4)))]:
        made, places = parcels.packed(some, boxes)
        assert (len(made), len(places)) == (0, 0)
    assert made.type == parcels.PARCEL
    assert places.type == parcels.PLACE
