"""Scales that a table says of its bands: with the offset that the columns of each row ask for, as items of an API."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
import shapely

import rasteret_sql
from tests.sampling import some

TINY = Path(__file__).parents[1] / "sql" / "data"
"""red.tif is 100 to 1200."""


@pytest.mark.parametrize(
    ("columns", "stored", "mean"),
    some(
        [
            ({"earthsearch:boa_offset_applied": [True]}, {"scale": 0.0001, "offset": -0.1}, 0.065),
            ({"earthsearch:boa_offset_applied": [False]}, {"scale": 0.0001, "offset": -0.1}, -0.035),
            ({}, {"scale": 0.0001, "offset": -0.1}, -0.035),
            ({"s2:processing_baseline": ["05.10"]}, {}, -0.035),
            ({"s2:processing_baseline": ["02.14"]}, {}, 0.065),
            ({}, {}, 650),
        ],
        3,
    ),
)
def test_the_offset_of_sentinel_2(tmp_path, columns, stored, mean):
    assets = {"red": {"href": str(TINY / "red.tif"), "type": "image/tiff", "raster:bands": [{"nodata": 0, **stored}]}}
    rows = {
        "id": ["a"], "collection": ["sentinel-2-l2a"], "datetime": ["2024-01-01T00:00:00Z"],
        "geometry": [shapely.Point(9, 46).wkb], "bbox": [[9.0, 46.0, 9.0, 46.0]],
        "assets": [json.dumps(assets)], **columns,
    }  # fmt: skip
    con = rasteret_sql.connect(workspace_dir=tmp_path)
    con.register("given", pa.table(rows))
    con.execute("CREATE TABLE rows AS FROM given")
    con.execute("FROM rasteret_build_from_table('rows', name := 't')").fetchall()
    (found,) = con.execute("SELECT zonal_stat('a', 'red', '(whole image)', 'mean', scaled := true)").fetchone()
    assert found == pytest.approx(mean, rel=1e-5)
