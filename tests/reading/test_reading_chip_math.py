"""`chip_math` and `chip_mask` against DuckDB's own evaluation of the same SQL over the values of the chips."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rasteret_sql
from tests.sampling import examples

EXPRESSIONS = (
    "a + b",
    "a * 3 - b // 2",
    "CASE WHEN a > b THEN a ELSE -b END",
    "greatest(a, b) + coalesce(a, 7)",
    "nullif(a, b)",
    "a IN (1, 2, 3) OR b IS NULL",
    "abs(a - b) % 5",
)


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    with rasteret_sql.connect(workspace_dir=tmp_path_factory.mktemp("ws")) as connection:
        yield connection


def chips(draw):
    dtype = draw(st.sampled_from(["uint8", "int16", "float32"]))
    low = 0 if dtype == "uint8" else -20
    arrays = []
    for _ in range(2):
        values = draw(st.lists(st.integers(low, 20), min_size=4, max_size=4))
        valid = draw(st.lists(st.booleans(), min_size=4, max_size=4))
        arrays.append((np.array(values, dtype).reshape(2, 2), np.array(valid).reshape(2, 2)))
    return arrays


@settings(max_examples=examples(40))
@given(data=st.data(), expression=st.sampled_from(EXPRESSIONS))
def test_expressions_are_those_of_duckdb(con, data, expression):
    (a, a_valid), (b, b_valid) = chips(data.draw)
    given_chips = [rasteret_sql.from_numpy(x, mask=ok, bands=[name]) for x, ok, name in
                   ((a, a_valid, "a"), (b, b_valid, "b"))]  # fmt: skip
    made, masked = con.execute(
        f"SELECT chip_values(chip_math('{expression}', {{'a': $1, 'b': $2}})), "
        f"chip_values(chip_mask($1, chip_math('{expression}', {{'a': $1, 'b': $2}})))",
        given_chips,
    ).fetchone()
    places = [
        tuple(value if ok else None for value, ok in zip(x.ravel().tolist(), valid.ravel().tolist(), strict=True))
        for x, valid in ((a, a_valid), (b, b_valid))
    ]
    kind = "DOUBLE" if a.dtype.kind == "f" else "BIGINT"
    rows = [con.execute(f"SELECT CAST({expression} AS DOUBLE) FROM (SELECT $1::{kind} AS a, $2::{kind} AS b)", pair)
            .fetchone()[0] for pair in zip(*places, strict=True)]  # fmt: skip
    assert made == rows
    assert masked == [None if row else value for value, row in zip(places[0], rows, strict=True)]
