"""Arrays of Spark in declared types, with NULLs of every kind, beside the same values made in that type."""

from __future__ import annotations

import pyarrow as pa
import pytest

from rasteret_sql.functions.types import CHIPS
from rasteret_sql.hosts.spark.declared_types import declared
from rasteret_sql.hosts.spark.spark_types import plain_type
from rasteret_sql.result_types import CHIP

PLACED = {
    "data": b"\x01\x02",
    "mask": None,
    "dtype": "uint8",
    "bands": ["b"],
    "height": 1,
    "width": 2,
    "transform": [10.0, 0.0, 5.0, 0.0, -10.0, 7.0],
    "crs": "EPSG:32632",
    "nodata": None,
}
UNPLACED = {**PLACED, "data": b"\x03\x04", "transform": None, "crs": None, "nodata": 3.0}
ROWS = [None, PLACED, UNPLACED, None, PLACED]
NAMED = [None, [], [("a", PLACED), ("b", None)], [("c", UNPLACED)], None]
CASES = [
    (CHIP, ROWS),
    (CHIP, []),
    (CHIP, [None]),
    (pa.list_(CHIP), [None, [], ROWS, [None], ROWS[1:]]),
    (CHIPS.field("named").type, NAMED),
    (pa.list_(pa.float64(), 2), [None, [1.0, 2.0], None, [3.0, None]]),
    (pa.list_(pa.string()), [None, ["a", None], []]),
    (pa.int64(), [None, 1]),
]


@pytest.mark.parametrize(("kind", "values"), CASES)
def test_values_and_nulls_stay(kind, values):
    column = pa.array(values, plain_type(kind, large=False))
    for part in (slice(None), slice(1, None), slice(1, 3)):
        found = declared(column[part], kind)
        found.validate(full=True)
        assert found.to_pylist() == pa.array(values[part], kind).to_pylist()
        assert found.type == kind


def test_lists_of_another_length_are_refused():
    with pytest.raises(pa.ArrowInvalid, match="not all lists have 6 values"):
        declared(pa.array([{**PLACED, "transform": [1.0] * 5}], plain_type(CHIP, large=False)), CHIP)
