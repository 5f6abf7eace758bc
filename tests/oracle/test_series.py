"""zonal_series against DuckDB's own aggregates over the pixels that read_pixels gives of the same scenes."""

import pytest

import rasteret_sql
from tests.sampling import some

SQUARE = "POLYGON ((600000 5099970, 600030 5099970, 600030 5100000, 600000 5100000, 600000 5099970))"
AGGREGATES = {
    "median": "median(v)",
    "p90": "quantile_cont(v, 0.9)",
    "p2.5": "quantile_cont(v, 0.025)",
    "mean": "avg(v)",
    "sum": "sum(v)",
    "min": "min(v)",
    "max": "max(v)",
    "count": "count(v)",
    "stddev": "stddev(v)",
    "stddev_pop": "stddev_pop(v)",
    "variance": "variance(v)",
    "variety": "count(DISTINCT v)",
}


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    with rasteret_sql.connect(workspace_dir=tmp_path_factory.mktemp("ws")) as connection:
        connection.execute("FROM rasteret_build_from_stac('tiny', 'tests/sql/data/tiny.json')").fetchall()
        connection.execute(
            "CREATE TABLE dated AS SELECT id, "
            "TIMESTAMP '2024-01-05' + INTERVAL (17 * row_number() OVER (ORDER BY id)) DAY AS datetime "
            "FROM rasteret.tiny WHERE id IN ('plain', 'nodata', 'masked', 'floats')"
        )
        connection.execute("CREATE TABLE fields AS SELECT $1 AS geometry", [SQUARE])
        yield connection


@pytest.mark.parametrize("band", ["b", "b / 3.0"])
@pytest.mark.parametrize("agg", some(tuple(AGGREGATES), 6))
def test_the_pixels_of_a_period_are_one_set(con, agg, band):
    got = con.execute(
        f"SELECT month(period), value FROM zonal_series(dated, fields, '{band}', agg := '{agg}', geom_crs := 32632)"
    ).fetchall()
    expected = con.execute(
        f'SELECT month(datetime) AS m, CAST({AGGREGATES[agg]} AS DOUBLE) FROM (SELECT datetime, "{band}" AS v '
        f"FROM read_pixels(dated, '{band}', geom := '{SQUARE}', geom_crs := 32632)) GROUP BY m ORDER BY m"
    ).fetchall()
    assert len(got) == len(expected) > 1
    for (month, value), (other, wanted) in zip(got, expected, strict=True):
        assert month == other
        assert value == pytest.approx(wanted, rel=1e-6)
