"""The functions that give a value, in Spark SQL."""

from __future__ import annotations

import pytest

import rasteret_sql

SQUARE = "POLYGON ((600000 5099980, 600020 5099980, 600020 5100000, 600000 5100000, 600000 5099980))"
"""Of the pixels 1, 2, 5 and 6 of the scene `plain`."""


def rows(spark, sql):
    return [tuple(row) for row in spark.sql(sql).collect()]


def test_a_statistic_is_that_of_duckdb(functions, workspace):
    con = rasteret_sql.connect(workspace_dir=workspace)
    calls = [
        f"zonal_stat('plain', 'b', '{SQUARE}', 'mean', geom_crs => 32632, collection => 'tiny')",
        f"zonal_stats('plain', 1, '{SQUARE}', geom_crs => 'EPSG:32632', collection => 'tiny').p25",
        "sample_point('plain', 'b', 'POINT (600005 5099995)', geom_crs => 32632, collection => 'tiny')",
        "read_chip('plain', 'b', collection => 'tiny').data",
    ]
    found = rows(functions, f"SELECT {', '.join(calls)}")
    assert found == con.sql(f"SELECT {', '.join(calls)}").fetchall()
    assert found[0][:3] == (3.5, 1.75, 1.0)


def test_chips_and_their_defaults_are_those_of_duckdb(functions, workspace):
    con = rasteret_sql.connect(workspace_dir=workspace)
    assert len(con.sql("SELECT id FROM rasteret.tiny").fetchall()) == 8
    calls = [
        "chip_values(read_chip('plain', 'b'))",
        "chip_stats(read_chip('plain', 'b')).mean",
        "chip_math('a + b', {}) IS NULL",
    ]
    text = f"SELECT {', '.join(calls)}"
    found = rows(functions, text.format("struct(read_chip('plain', 'b') AS a, NULL AS b)"))
    assert found == con.sql(text.format("{'a': read_chip('plain', 'b'), 'b': NULL}")).fetchall()
    assert found[0][1:] == (6.5, True)


def test_a_call_with_named_arguments_goes_into_another_by_a_subquery(functions, workspace):
    con = rasteret_sql.connect(workspace_dir=workspace)
    call = f"read_chip('plain', 'b', '{SQUARE}', geom_crs => 32632, collection => 'tiny')"
    text = f"SELECT chip_values(chip), chip_stats(chip).sum FROM (SELECT {call} AS chip)"
    assert rows(functions, text) == con.sql(text).fetchall() == [([1.0, 2.0, 5.0, 6.0], 14.0)]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (f"zonal_stat('plain', 'c', '{SQUARE}', 'mean')", 'zonal_stat: unknown band "c" in collection "tiny"'),
        (f"zonal_stat('plain', 'b', '{SQUARE}', 'mean', collection => 'bay')", 'no collection "bay" is open or cached'),
        (f"zonal_stat('plan', 'b', '{SQUARE}', 'mean')", 'did you mean "plain"?'),
        (f"zonal_stat('plain', 'b', '{SQUARE}', 'mean', maks => 'b = 1')", 'no argument "maks"; did you mean "mask"?'),
        (
            "chip_math('a + b', struct(read_chip('plain', 'b') AS a, 'text' AS b))",
            "expected a CHIP, such as read_chip gives it, or a STRUCT of CHIPs; got a value of type STRUCT",
        ),
        ("zonal_stat('plain', 'b', 1.5, 'mean')", "geom is of type decimal128(2, 1); expected GEOMETRY, VARCHAR"),
    ],
)
def test_an_error_says_in_the_driver_what_is_wrong(functions, call, says):
    with pytest.raises(Exception, match="Error: ") as caught:
        rows(functions, f"SELECT {call}")
    assert says in str(caught.value)
    # The lines of a traceback, of which only the first are not of the error.
    assert str(caught.value).count("\n") < 14
